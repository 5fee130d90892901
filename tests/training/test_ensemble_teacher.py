"""A teacher of several networks: its softmax is the mean of theirs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rebnn_search.config import UserError
from rebnn_search.training import EnsembleTeacher, Recipe, Trainer
from rebnn_search.training.data import Digits
from rebnn_search.training.ensemble_teacher import write_ensemble
from rebnn_search.training.stages import REAL

Make = Callable[..., Recipe]


def test_its_softmax_is_the_mean_of_its_members(recipe: Make, tmp_path: Path) -> None:
    data, made = Digits().open(), recipe("network={name: mlp, width: 8}")
    networks = []
    for seed in range(3):
        torch.manual_seed(seed)
        networks.append(made.model_copy(update={"weights": REAL}).build_network(data).eval())
    write_ensemble(tmp_path / "teachers", made, networks)
    teacher = EnsembleTeacher(path=str(tmp_path / "teachers")).open(data)
    images = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = torch.stack([network(images).softmax(1) for network in networks]).mean(0)
        torch.testing.assert_close(teacher(images).softmax(1), expected)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_a_student_learns_from_it_and_says_what_is_missing(recipe: Make, tmp_path: Path) -> None:
    made = recipe("network={name: mlp, width: 8}")
    data = Digits().open()
    write_ensemble(tmp_path / "teachers", made, [made.model_copy(update={"weights": REAL}).build_network(data)])
    student = recipe("network={name: mlp, width: 8}", f"loss.teacher={{name: ensemble, path: '{tmp_path / 'teachers'}'}}")
    assert Trainer(student, device="cpu", data=data).next_report().metrics["train/loss"] > 0
    with pytest.raises(UserError, match=r"nowhere holds no weights \(\*\.pt\)"):
        EnsembleTeacher(path=str(tmp_path / "nowhere")).open(data)
    with pytest.raises(UserError, match=r"member-0\.pt does not fit the data"):
        write_ensemble(tmp_path / "teachers", recipe("network={name: mlp, width: 9}"), [])
        EnsembleTeacher(path=str(tmp_path / "teachers")).open(data)
