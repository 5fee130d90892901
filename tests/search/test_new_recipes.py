"""A recipe that no training should begin by is told of when the file is read, or when the trial begins; begun ones go on."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from rebnn_search.config import UserError, parse, validate
from rebnn_search.execution.ray.workers import Rank
from rebnn_search.execution.task import TrialTask
from rebnn_search.storage.locate import checkpoints_of
from rebnn_search.study.load import load_search
from rebnn_search.training import Recipe, Trainer

RECIPE = """\
data: digits
network: {name: mlp, width: 4}
epochs: 2
batch_size: 512
reports_per_epoch: 1
schedule: {name: linear, warmup_epochs: %d}
"""


def search_file(folder: Path, warmup: int, space: str) -> Path:
    (folder / "recipe.yaml").write_text(RECIPE % warmup)
    (folder / "space.yaml").write_text(f"recipe: recipe.yaml\nspace:\n  {space}\ntrials: 2\n")
    return folder / "space.yaml"


def test_the_recipe_s_own_warm_up_is_checked(tmp_path: Path) -> None:
    file = search_file(tmp_path, 2, "optimizer.lr: {choice: [1e-3, 1e-2]}")
    with pytest.raises(UserError, match=r"recipe\.yaml:6: schedule\.warmup_epochs = 2: must be less than epochs, 2"):
        load_search(file)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("schedule.warmup_epochs: {choice: [0, 2]}", r"space\.yaml:3: .* must be less than epochs, 2"),
        ("batch_size: {choice: [1, 64]}", r"space\.yaml:3: .* no variance of a single sample"),
    ],
)
def test_every_value_of_the_space_is_checked(tmp_path: Path, space: str, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        load_search(search_file(tmp_path, 0, space))


def test_a_trial_is_checked_when_it_begins_and_goes_on_if_it_has_begun(tmp_path: Path) -> None:
    recipe = validate(Recipe, parse(RECIPE % 2, "recipe.yaml"))
    task = TrialTask(
        number=0, attempt=1, params={}, recipe=recipe.dump(), last_step=0, folder=str(tmp_path), remote=None, workers=1,
        threads=torch.get_num_threads(), gpus=0,
    )  # fmt: skip
    with pytest.raises(UserError, match=r"^schedule\.warmup_epochs = 2: must be less than epochs, 2"):
        Rank(task, 0, "")
    trainer = Trainer(recipe)
    reports = [asdict(trainer.next_report())]
    checkpoints_of(task.open_folder(), 0).save(1, {"trainer": trainer.state_dict(), "reports": reports})
    rank = Rank(task, 0, "")
    assert rank.run.trainer.reports_done == 1
    rank.close()
