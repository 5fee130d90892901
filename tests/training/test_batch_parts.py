"""Parts of a batch too small for a BatchNorm, and a warm-up longer than training: told before anything is trained."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import nn

from rebnn_search.config import UserError
from rebnn_search.training import Recipe, Trainer, load_recipe
from rebnn_search.training.batch_parts import needs_two, part_counts, smallest_part
from rebnn_search.training.data.base import rank_part
from rebnn_search.training.distributed import World

Make = Callable[..., Recipe]
MLP = "network={name: mlp, width: 4}"
FREE = "network={name: mlp, width: 4, norm: false}"


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("accumulate", [1, 2, 3, 4])
def test_the_smallest_part_is_that_of_the_batches(accumulate: int, workers: int) -> None:
    from rebnn_search.training.data.base import rank_part

    for size in range(max(accumulate, workers), 30):
        batch = torch.arange(size)
        shares = [batch[rank_part(size, rank, workers)] for rank in range(workers)]
        found = [len(part) for share in shares for part in share.chunk(accumulate)]
        assert smallest_part(size, accumulate, workers) == min(found)


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "message"),
    [
        (
            1,
            1,
            r"recipe\.yaml:4: batch_size = 1: the network's BatchNorm has no variance of a single sample: must be at least 2",
        ),
        (4, 4, r"recipe\.yaml:4: batch_size = 4: accumulate = 4 leaves a part of a single sample, .*; 8 leaves none"),
        (13, 4, r"recipe\.yaml:4: batch_size = 13: accumulate = 4 leaves a part of a single sample"),
    ],
)
def test_a_recipe_file_is_told_file_line_and_key(tmp_path: Path, batch_size: int, accumulate: int, message: str) -> None:
    file = tmp_path / "recipe.yaml"
    text = "data: digits\nnetwork: {{name: mlp, width: 4{}}}\nepochs: 1\nbatch_size: {}\naccumulate: {}\n"
    file.write_text(text.format("", batch_size, accumulate))
    with pytest.raises(UserError, match=message):
        load_recipe(file, new=True)
    file.write_text(text.format(", norm: false", batch_size, accumulate))
    assert load_recipe(file, new=True).batch_size == batch_size  # nothing in it needs two
    file.write_text(text.format("", 2 * accumulate, accumulate))
    assert load_recipe(file, new=True).batch_size == 2 * accumulate


def test_a_network_of_the_user_s_is_tried_before_training(recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 10))

    monkeypatch.setattr("rebnn_search.training.building._built", build)
    with pytest.raises(UserError, match=r"^batch_size = 1: the network's BatchNorm has no variance of a single sample"):
        Trainer(recipe(FREE, "batch_size=1"))
    Trainer(recipe(FREE, "batch_size=2"))


def test_the_workers_shares_count(recipe: Make) -> None:
    made = recipe(MLP, "batch_size=8", "accumulate=2")
    Trainer(made)
    with (
        patch.object(World, "current", classmethod(lambda cls: cls(0, 4))),
        pytest.raises(
            UserError, match=r"batch_size = 8: accumulate = 2 on 4 workers leaves a part of a single .*; 16 leaves none"
        ),
    ):
        Trainer(made)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("accumulate", [1, 2, 3, 4, 5])
def test_the_numbers_of_parts_are_those_of_the_shares(accumulate: int, workers: int) -> None:
    for size in range(max(accumulate, workers), 30):
        shares = [torch.zeros(size)[rank_part(size, rank, workers)] for rank in range(workers)]
        assert part_counts(size, accumulate, workers) == {len(share.chunk(accumulate)) for share in shares}


def test_ranks_that_would_wait_for_one_another_for_ever_are_told(recipe: Make) -> None:
    """Of 9 samples one rank has 5, in parts of 2, 2 and 1, the other 4, in four parts."""
    made = recipe("batch_size=9", "accumulate=4", "sync_batch_norm=true")
    Trainer(made)
    with patch.object(World, "current", classmethod(lambda cls: cls(0, 2))):
        with pytest.raises(UserError, match=r"batch_size = 9: with accumulate = 4 the 2 workers' .* a multiple of 2"):
            Trainer(made)
        with pytest.raises(UserError, match="needs every worker on a GPU"):
            Trainer(recipe("batch_size=10", "accumulate=4", "sync_batch_norm=true"))


def test_where_a_channel_has_several_pixels_one_image_is_enough(recipe: Make) -> None:
    trainer = Trainer(recipe("batch_size=1", "epochs=1", "reports_per_epoch=500"))
    assert trainer.next_report().iteration == 3


def test_trying_a_network_leaves_it_and_the_randomness_as_they_were() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    assert not needs_two(network, 1, 8)
    assert needs_two(network, 1, 3)
    assert not network.training
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("warmup", [3, 4])
def test_a_warm_up_as_long_as_training_is_refused(tmp_path: Path, warmup: int) -> None:
    file = tmp_path / "recipe.yaml"
    text = "data: digits\nnetwork: digits_resnet\nepochs: 3\nschedule:\n  name: cosine\n  warmup_epochs: {}\n{}"
    file.write_text(text.format(warmup, ""))
    with pytest.raises(UserError, match=rf"recipe\.yaml:6: schedule\.warmup_epochs = {warmup}: must be less than epochs, 3"):
        load_recipe(file, new=True)
    file.write_text(text.format(2, ""))
    assert load_recipe(file, new=True).epochs == 3
    file.write_text(text.format(2, "stage_one: {epochs: 2}\n"))
    with pytest.raises(UserError, match=r"recipe\.yaml:6: schedule\.warmup_epochs = 2: must be less than stage_one\.epochs, 2"):
        load_recipe(file, new=True)


def test_what_is_on_disk_is_read_as_it_is(recipe: Make) -> None:
    """A training begun before this was refused goes on."""
    kept = recipe("schedule={name: linear, warmup_epochs: 9}")
    assert Recipe.model_validate(kept.dump()).dump() == kept.dump()
    with pytest.raises(UserError, match=r"^schedule\.warmup_epochs = 9: must be less than epochs, 2: "):
        kept.check()
