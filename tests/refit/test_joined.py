"""Training on training and validation split together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rebnn_search.config import UserError, parse, validate
from rebnn_search.study.load import load_search
from rebnn_search.train import main as train
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.data import Digits, ImageFolder

TINY = """
data: {name: digits}
network: {name: digits_resnet, width: 4}
stage_one: {epochs: 1}
epochs: 1
batch_size: 256
reports_per_epoch: 1
"""


def make(text: str = TINY, **update: Any) -> Recipe:
    return validate(Recipe, parse(text, "tiny.yaml")).model_copy(update=update)


@pytest.mark.parametrize("resident", [True, False])
def test_joined_data_are_both_splits_and_never_the_test(tmp_path: Path, resident: bool) -> None:
    for label, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        for index in range(20):
            Image.fromarray(np.full((8, 8), 100 * label + index, np.uint8)).save(tmp_path / name / f"{index:02d}.png")
    data = ImageFolder(
        root=str(tmp_path), image_size=8, grayscale=True, validation=0.2, test=0.2, resident=resident, workers=0
    ).open()

    def seen(opened: Any, split: Any) -> list[float]:
        images = [x * opened.std + opened.mean for x, _ in opened.batches(split, batch_size=5)]
        return sorted(round(float(value)) for value in torch.cat(images)[:, 0, 0, 0])

    joined = data.joined()
    assert seen(joined, "train") == sorted(seen(data, "train") + seen(data, "validation"))
    assert seen(joined, "test") == seen(data, "test")
    assert (joined.size("train"), joined.size("validation")) == (32, 0)
    assert joined.labels("train").tolist() == [*data.labels("train").tolist(), *data.labels("validation").tolist()]
    assert torch.equal(joined.mean, data.mean)
    assert torch.equal(joined.std, data.std)


def test_a_recipe_trains_on_both_in_both_stages(tmp_path: Path) -> None:
    trainer = Trainer(make(train_on="train+validation"), device="cpu", workspace=tmp_path)
    whole = Digits().open()
    assert trainer.data.size("train") == whole.size("train") + whole.size("validation")
    report = trainer.next_report()
    assert not [name for name in report.metrics if name.startswith("val/")]
    assert report.iteration == trainer.data.size("train") // 256
    with pytest.raises(ValueError, match="the validation split is empty"):
        trainer.evaluate("validation")
    # Stage one knows the same samples, so it is shared with no trial of the search.
    assert make(train_on="train+validation").stage_one_key() != make().stage_one_key()


def test_what_is_trained_on_the_training_split_alone_keeps_its_stage_one() -> None:
    assert "train_on" not in make().stage_one_recipe()


def test_the_train_command_reports_no_validation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    assert train([str(tmp_path / "tiny.yaml"), "--set", "train_on=train+validation", "--test", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "val loss" not in printed
    assert "train loss" in printed
    assert "test: loss" in printed


@pytest.mark.parametrize("line", ["set: {train_on: train+validation}", "pruner: none"])
def test_no_search_may_train_on_what_it_judges_by(tmp_path: Path, line: str) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    varies = "train_on: {choice: [train, train+validation]}" if line.startswith("pruner") else "seed: {int: [0, 9]}"
    (tmp_path / "space.yaml").write_text(f"recipe: tiny.yaml\nspace: {{{varies}}}\ntrials: 2\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match="train_on: a search judges its trials by the validation split"):
        load_search(tmp_path / "space.yaml")
