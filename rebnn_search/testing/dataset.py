"""What an opened dataset keeps to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rebnn_search.training.data import Data, Split
from rebnn_search.training.data.base import SPLITS

Open = Callable[[], Data]
BATCH = 8


def _all(data: Data, split: Split, **options: Any) -> tuple[Tensor, Tensor]:
    batches = list(data.batches(split, batch_size=BATCH, **options))
    return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])


def gives_each_sample_once(open_data: Open) -> None:
    """Every split: as many images and labels as it has samples, of the shape and classes that it says."""
    data = open_data()
    for split in SPLITS:
        images, labels = _all(data, split)
        size = data.image_size
        assert images.shape == (data.size(split), data.channels, size, size), f"{split}: images {tuple(images.shape)}"
        assert images.dtype == torch.float32 and torch.isfinite(images).all(), f"{split}: images must be finite float32"
        assert labels.dtype == torch.int64 and int(labels.min()) >= 0 and int(labels.max()) < data.num_classes


def is_the_same_when_opened_again(open_data: Open) -> None:
    """Splits are a function of the options alone."""
    first, second = open_data(), open_data()
    for split in SPLITS:
        for a, b in zip(_all(first, split), _all(second, split), strict=True):
            assert torch.equal(a, b), f"{split}: other samples, or another order"


def orders_by_seed_and_epoch(open_data: Open) -> None:
    """The same of both gives the same order, another of one another order, and each has every sample."""
    data = open_data()
    orders = [_all(data, "train", shuffle=True, seed=s, epoch=e)[0] for s, e in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert torch.equal(orders[0], orders[1]), "one seed and epoch, two orders"
    assert not torch.equal(orders[0], orders[2]) and not torch.equal(orders[0], orders[3]), "one order whatever seed and epoch"
    assert torch.equal(orders[0].flatten(1).sum(1).sort().values, orders[2].flatten(1).sum(1).sort().values)


def goes_on_in_the_middle_of_an_epoch(open_data: Open) -> None:
    """An epoch begun at its third batch gives what one from the beginning gives from there: trainings are resumed there."""
    options: dict[str, Any] = {"batch_size": BATCH, "shuffle": True, "augment": True, "seed": 1, "epoch": 2, "drop_last": True}
    data = open_data()
    whole, rest = list(data.batches("train", **options)), list(data.batches("train", start=2, **options))
    assert len(rest) == max(0, len(whole) - 2)
    for (images, labels), (more, again) in zip(whole[2:], rest, strict=True):
        assert torch.equal(images, more) and torch.equal(labels, again)


def is_shared_out_among_ranks(open_data: Open) -> None:
    """The ranks' parts, one after another, are the batch that one process would get."""
    options: dict[str, Any] = {"batch_size": BATCH, "shuffle": True, "augment": True, "seed": 1}
    data = open_data()
    parts = [list(data.batches("train", rank=rank, world_size=2, **options)) for rank in range(2)]
    for index, (images, labels) in enumerate(data.batches("train", **options)):
        torch.testing.assert_close(torch.cat([part[index][0] for part in parts]), images)
        assert torch.equal(torch.cat([part[index][1] for part in parts]), labels)


def joins_what_it_validates_on(open_data: Open) -> None:
    """Joined, training has all of both splits and validation nothing; the test split is as it was."""
    data = open_data()
    joined = data.joined()
    assert joined.size("validation") == 0
    assert len(joined.labels("train")) == len(data.labels("train")) + len(data.labels("validation"))
    assert torch.equal(_all(joined, "test")[0], _all(data, "test")[0])


DATASET_CHECKS = (
    gives_each_sample_once, is_the_same_when_opened_again, orders_by_seed_and_epoch, goes_on_in_the_middle_of_an_epoch,
    is_shared_out_among_ranks, joins_what_it_validates_on,
)  # fmt: skip
"""For anything that opens the data, such as ``MyDataset(root=...).open``."""
