"""scikit-learn's handwritten digits: real, and part of the library."""

from __future__ import annotations

import torch

from rebnn_search.config import Component
from rebnn_search.training.data.augmentations import AUGMENTATIONS, AugmentationOption
from rebnn_search.training.data.base import DATASETS, Data, Dataset
from rebnn_search.training.data.normalisation import channel_statistics
from rebnn_search.training.data.resident import ResidentData, Samples
from rebnn_search.training.data.splits import check_fractions, stratified


@DATASETS.register("digits")
class Digits(Dataset):
    """1,797 grey images of 8×8, ten classes (Alpaydin and Kaynak, 1998, the test part of UCI's optical digits).

    Args:
        validation: Share of all samples for validation.
        test: Share of all samples for the test.
        split_seed: Of the stratified split, apart from the recipe's seed so that all seeds share one split.
        augment: Augmentation of training batches.

    Raises:
        ValueError: If the shares leave nothing to train on.
    """

    def __init__(
        self,
        *,
        validation: float = 0.2,
        test: float = 0.2,
        split_seed: int = 0,
        augment: AugmentationOption = Component("name", "none", {}, AUGMENTATIONS["none"]),  # noqa: B008 - frozen
    ) -> None:
        check_fractions(validation=validation, test=test)
        self.validation, self.test, self.split_seed, self.augment = validation, test, split_seed, augment

    def open(self) -> Data:
        """Load and split."""
        from sklearn.datasets import load_digits  # heavy, and of no use to other data

        bunch = load_digits()
        # Grey levels are 0 to 16; as bytes they are kept exactly.
        images = torch.tensor(bunch.images, dtype=torch.uint8).unsqueeze(1)
        labels = torch.tensor(bunch.target, dtype=torch.int64)
        classes = [str(name) for name in bunch.target_names]
        rest, test = stratified(labels, self.test, self.split_seed, classes, "test", "digits")
        share = self.validation / (1 - self.test)
        left, off = stratified(labels[rest], share, self.split_seed, classes, "validation", "digits")
        parts = {"train": rest[left], "validation": rest[off], "test": test}
        splits = {name: Samples(images[part], labels[part]) for name, part in parts.items()}
        mean, std = channel_statistics(splits["train"].images)
        return ResidentData(splits, classes, mean, std, self.augment.build())  # type: ignore[arg-type]
