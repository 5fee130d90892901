"""A training that was begun on some data goes on with those alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rebnn_search.training import CheckpointDirectory, Recipe, Trainer, TrainingRun
from rebnn_search.training.data import Digits, ResidentData, Samples
from rebnn_search.training.data.facts import OtherDataError

Make = Callable[..., Recipe]


def fewer(count: int) -> ResidentData:
    """The digits' first so many to train on, with the same splits besides."""
    data = Digits().open()
    splits = {split: data.samples(split) for split in ("train", "validation", "test")}  # type: ignore[attr-defined]
    splits["train"] = Samples(splits["train"].images[:count], splits["train"].labels[:count])
    return ResidentData(splits, data.classes, data.mean.flatten(), data.std.flatten())


def test_a_training_does_not_go_on_with_other_data(recipe: Make, tmp_path: Path) -> None:
    made = recipe("epochs=1")
    checkpoints = CheckpointDirectory(tmp_path)
    run = TrainingRun(Trainer(made, data=fewer(1000)), checkpoints=checkpoints, every_report=True)
    run.next_report()
    for count in (900, 500):
        with pytest.raises(OtherDataError) as caught:
            TrainingRun(Trainer(made, data=fewer(count)), checkpoints=checkpoints)
        said = str(caught.value)
        assert said.startswith(f"{tmp_path}: ") and "1,000 to train on" in said and f"{count} to train on" in said
    relabelled = fewer(1000)
    relabelled.samples("validation").labels.add_(1).remainder_(10)
    with pytest.raises(OtherDataError, match="with other labels or in another order"):
        TrainingRun(Trainer(made, data=relabelled), checkpoints=checkpoints)
    TrainingRun(Trainer(made, data=fewer(1000)), checkpoints=checkpoints).next_report()
    state = run.trainer.state_dict()
    Trainer(made, data=fewer(900)).load_state_dict({k: v for k, v in state.items() if k != "facts"})  # of an earlier version
