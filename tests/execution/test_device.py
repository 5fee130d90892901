"""On what a trial is trained: what it asks for, and not what its process happens to see."""

from pathlib import Path

import pytest
import torch

from rebnn_search.execution.serial import from_folder
from rebnn_search.execution.task import TrialTask
from rebnn_search.training import Recipe

RECIPE = {
    "data": "digits",
    "network": {"name": "mlp", "width": 8, "depth": 1},
    "optimizer": "adam",
    "epochs": 1,
    "batch_size": 256,
}


def task(folder: Path, gpus: float) -> TrialTask:
    recipe = Recipe.model_validate(RECIPE).dump()
    return TrialTask(
        number=0, attempt=1, params={}, recipe=recipe, last_step=0, folder=str(folder), remote=None, workers=1, threads=1, gpus=gpus
    )  # fmt: skip


def test_without_a_gpu_of_its_own_it_is_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray leaves all of a machine's GPUs visible to a process that asked for none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    run = from_folder(task(tmp_path, 0.0))
    assert {parameter.device.type for parameter in run.trainer.network.parameters()} == {"cpu"}
    assert run.next_report().step == 1
    run.close()


@pytest.mark.gpu
def test_with_one_it_is_that(tmp_path: Path) -> None:
    run = from_folder(task(tmp_path, 1.0))
    assert {parameter.device.type for parameter in run.trainer.network.parameters()} == {"cuda"}
    run.close()
