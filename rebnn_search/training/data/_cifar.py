"""CIFAR-10 and CIFAR-100 through torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from filelock import FileLock

from rebnn_search.config import Component, UserError
from rebnn_search.training.data.augmentations import AUGMENTATIONS, Augmentation, AugmentationOption
from rebnn_search.training.data.base import DATASETS, Data, Dataset
from rebnn_search.training.data.normalisation import channel_statistics
from rebnn_search.training.data.resident import ResidentData, Samples
from rebnn_search.training.data.splits import check_fractions, stratified
from rebnn_search.training.vision import torchvision_module

CROP_FLIP: Component[Augmentation] = Component("name", "crop_flip", {}, AUGMENTATIONS["crop_flip"])


class _Cifar(Dataset):
    torchvision_class: ClassVar[str]
    folder: ClassVar[str]

    def __init__(
        self,
        *,
        root: str = "data",
        download: bool = False,
        validation: float = 0.1,
        split_seed: int = 0,
        augment: AugmentationOption = CROP_FLIP,
    ) -> None:
        check_fractions(validation=validation)
        self.root, self.download, self.validation = Path(root), download, validation
        self.split_seed, self.augment = split_seed, augment

    def check_place(self) -> None:
        """See `Dataset.check_place`."""
        if not self.download and not (self.root / self.folder).is_dir():
            raise self._unsound()

    def _unsound(self) -> UserError:
        return UserError(
            f"data.root: no sound {self.torchvision_class} in {self.root / self.folder}: put the dataset's python version there, "
            "name another root, or set data.download to true to fetch it"
        )

    def open(self) -> Data:
        """Read, and split the validation share off the training images."""
        train, test = self._read(train=True), self._read(train=False)
        classes: list[str] = train.classes
        labels = torch.tensor(train.targets, dtype=torch.int64)
        left, off = stratified(labels, self.validation, self.split_seed, classes, "validation", str(self.root))
        images = _as_tensor(train.data)
        mean, std = channel_statistics(images[left])
        splits = {
            "train": Samples(images[left], labels[left]),
            "validation": Samples(images[off], labels[off]),
            "test": Samples(_as_tensor(test.data), torch.tensor(test.targets, dtype=torch.int64)),
        }
        return ResidentData(splits, classes, mean, std, self.augment.build())  # type: ignore[arg-type]

    def _read(self, train: bool) -> Any:
        make = getattr(torchvision_module("datasets"), self.torchvision_class)
        try:
            try:
                return make(self.root, train=train, download=False)
            except RuntimeError:
                if not self.download:
                    raise self._unsound() from None
            except OSError as error:
                raise UserError(f"data.root: {self.torchvision_class} in {self.root} cannot be read: {error}") from None
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f".{self.folder}.lock"):  # workers that begin together fetch and unpack it once
                return make(self.root, train=train, download=True)
        except RuntimeError as error:
            raise UserError(
                f"data.download: what was fetched to {self.root} is no sound {self.torchvision_class} ({error}): take it away "
                "to have it fetched again"
            ) from None
        except OSError as error:
            raise UserError(f"data.download: {self.torchvision_class} could not be fetched to {self.root}: {error}") from None


def _as_tensor(images: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


@DATASETS.register("cifar10")
class Cifar10(_Cifar):
    """60,000 colour images of 32×32, ten classes; 10,000 of them the test split.

    Args:
        root: Folder that holds ``cifar-10-batches-py``.
        download: Fetch it if it is not there.
        validation: Share of the training images for validation.
        split_seed: Of the stratified split.
        augment: Augmentation of training batches.
    """

    torchvision_class = "CIFAR10"
    folder = "cifar-10-batches-py"


@DATASETS.register("cifar100")
class Cifar100(_Cifar):
    """60,000 colour images of 32×32, a hundred classes; 10,000 of them the test split. Options as `Cifar10`."""

    torchvision_class = "CIFAR100"
    folder = "cifar-100-python"
