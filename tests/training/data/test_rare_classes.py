"""Every class is on both sides of a split, however rare."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from rebnn_search.config import UserError
from rebnn_search.training.data.splits import stratified

COUNTS = [[60, 60, 60, 3], [300, 200, 3], [500, 500, 3], [200, 200, 200, 4], [2, 2], [40, 2, 2, 2], [97, 3]]


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_of_every_class_something_is_on_either_side(counts: list[int], fraction: float) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    size = round(fraction * len(labels))
    names = [f"{k}" for k in range(len(counts))]
    if not len(counts) <= size <= len(labels) - len(counts):
        with pytest.raises(UserError, match="both sides need at least one of each"):
            stratified(labels, fraction, 0, names, "test", "x")
        return
    for seed in range(20):
        left, off = stratified(labels, fraction, seed, names, "test", "x")
        assert len(off) == size and sorted([*left.tolist(), *off.tolist()]) == list(range(len(labels)))
        for side in (left, off):
            assert side.tolist() == sorted(side.tolist())
            assert torch.bincount(labels[side], minlength=len(counts)).min() >= 1


def test_where_none_is_missing_it_is_scikit_learn_s() -> None:
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor([50, 30, 20]))
    for seed in range(5):
        left, off = train_test_split(np.arange(100), test_size=20, random_state=seed, stratify=labels.numpy())
        found = stratified(labels, 0.2, seed, ["a", "b", "c"], "test", "x")
        assert found[0].tolist() == sorted(left) and found[1].tolist() == sorted(off)
