"""Folders of class folders of images: ImageNet's layout, and anybody's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from rebnn_search.config import Component, UserError
from rebnn_search.training.data._augment import AUGMENTATIONS, AugmentationOption
from rebnn_search.training.data._base import DATASETS, Data, Dataset, Split
from rebnn_search.training.data._images import read_images
from rebnn_search.training.data._resident import ResidentData, Samples, channel_statistics
from rebnn_search.training.data._split import check_fractions, stratified
from rebnn_search.training.data._streaming import StreamingData

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
RESIDENT_BYTES = 2 * 1024**3
"""Decoded images up to this many bytes stay in memory where ``resident`` is ``auto``."""
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

CROP_FLIP: Component[Any] = Component("name", "crop_flip", {}, AUGMENTATIONS["crop_flip"])
IMAGENET: Component[Any] = Component("name", "imagenet", {}, AUGMENTATIONS["imagenet"])


@dataclass(frozen=True)
class Listing:
    """The files of one split and their labels."""

    files: list[Path]
    labels: Tensor


@DATASETS.register("image_folder")
class ImageFolder(Dataset):
    """``root/train/CLASS/*.jpg``, and ``val/`` and ``test/`` likewise; or ``root/CLASS/*.jpg`` with the splits drawn from it.

    Without ``val/`` (or ``validation/``) a stratified share of ``train/`` is the validation split, without ``test/`` another one the
    test split. Files that are no images by their ending are passed over.

    Args:
        root: The folder.
        image_size: Side to which images are scaled (the shorter side) and cropped (the centre).
        grayscale: One channel instead of three.
        validation: Share for validation where there is no folder for it.
        test: Share for the test where there is no folder for it.
        split_seed: Of the stratified splits.
        resident: Keep the decoded images in memory, on the training device: ``auto`` up to 2 GiB. Otherwise they are read and
            decoded again in every epoch, by ``workers`` processes.
        workers: Processes that read; 0 reads in the trainer's own.
        augment: Augmentation of training batches.

    Raises:
        ValueError: If a size or share is out of range.
    """

    def __init__(
        self,
        *,
        root: str,
        image_size: int = 32,
        grayscale: bool = False,
        validation: float = 0.1,
        test: float = 0.1,
        split_seed: int = 0,
        resident: Literal["auto"] | bool = "auto",
        workers: int = 2,
        augment: AugmentationOption = CROP_FLIP,
    ) -> None:
        check_fractions(validation=validation, test=test)
        if image_size < 4:
            raise ValueError(f"image_size must be at least 4, not {image_size}")
        if workers < 0:
            raise ValueError(f"workers must be >= 0, not {workers}")
        self.root, self.image_size, self.grayscale = Path(root), image_size, grayscale
        self.validation, self.test, self.split_seed = validation, test, split_seed
        self.resident, self.workers, self.augment = resident, workers, augment

    def open(self) -> Data:
        """List the files, split them, and decode them if they are to stay in memory."""
        classes, listings = self._list()
        channels = 1 if self.grayscale else 3
        total = sum(len(listing.files) for listing in listings.values()) * channels * self.image_size**2
        resident = total <= RESIDENT_BYTES if self.resident == "auto" else self.resident
        if resident:
            splits = {
                name: Samples(read_images(listing.files, self.image_size, self.grayscale), listing.labels)
                for name, listing in listings.items()
            }
            mean, std = channel_statistics(splits["train"].images)
            return ResidentData(splits, classes, mean, std, self.augment.build())
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        if self.grayscale:
            mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
        return StreamingData(
            {name: (listing.files, listing.labels) for name, listing in listings.items()}, classes, self.image_size,
            self.grayscale, mean, std, self.augment.build(), self.workers,
        )  # fmt: skip

    def _list(self) -> tuple[list[str], dict[Split, Listing]]:
        if not self.root.is_dir():
            raise UserError(f"data.root: {self.root}: no such folder")
        train = self.root / "train"
        base = train if train.is_dir() else self.root
        classes = class_names(base)
        listings: dict[Split, Listing] = {"train": list_images(base, classes)}
        for name, folders in (("validation", ("val", "validation", "valid")), ("test", ("test",))):
            there = next((self.root / folder for folder in folders if (self.root / folder).is_dir()), None)
            if there is not None and base == train:
                if class_names(there) != classes:
                    odd = sorted(set(class_names(there)) ^ set(classes))
                    raise UserError(f"data.root: {there} has other classes than {base}: {', '.join(odd[:5])}")
                listings[name] = list_images(there, classes)  # type: ignore[index]
        whole, taken = listings["train"], 0.0
        for name, share in (("test", self.test), ("validation", self.validation)):
            if name not in listings:
                left, off = stratified(whole.labels, share / (1 - taken), self.split_seed, classes, name, str(base))
                listings[name] = pick(whole, off)  # type: ignore[index]
                whole, taken = pick(whole, left), taken + share
        listings["train"] = whole
        return classes, listings


@DATASETS.register("imagenet")
class ImageNet(ImageFolder):
    """ImageNet in ``train/`` and ``val/`` class folders, streamed at 224×224 with the published runs' augmentation.

    ``val/`` is what papers report, so it is the test split here; selection sees a share of ``train/``.

    Args:
        root: The folder.
        image_size: Side of the images.
        validation: Share of ``train/`` for validation.
        split_seed: Of that split.
        workers: Processes that read.
        augment: Augmentation of training batches.
    """

    def __init__(
        self,
        *,
        root: str,
        image_size: int = 224,
        validation: float = 0.02,
        split_seed: int = 0,
        workers: int = 8,
        augment: AugmentationOption = IMAGENET,
    ) -> None:
        super().__init__(
            root=root, image_size=image_size, validation=validation, split_seed=split_seed, resident=False, workers=workers,
            augment=augment,
        )  # fmt: skip

    def _list(self) -> tuple[list[str], dict[Split, Listing]]:
        for folder in ("train", "val"):
            if not (self.root / folder).is_dir():
                raise UserError(
                    f"data.root: {self.root / folder}: no such folder; ImageNet needs train/ and val/ with class folders"
                )
        classes = class_names(self.root / "train")
        test = list_images(self.root / "val", class_names(self.root / "val"))
        if class_names(self.root / "val") != classes:
            raise UserError(f"data.root: {self.root}: train/ and val/ have different classes")
        whole = list_images(self.root / "train", classes)
        left, off = stratified(whole.labels, self.validation, self.split_seed, classes, "validation", str(self.root))
        return classes, {"train": pick(whole, left), "validation": pick(whole, off), "test": test}


def class_names(folder: Path) -> list[str]:
    """The class folders of a folder, sorted.

    Raises:
        UserError: If there are fewer than two.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise UserError(f"data.root: {folder}: needs at least two class folders, has {found}")
    return names


def list_images(folder: Path, classes: Sequence[str]) -> Listing:
    """The images below the class folders, in the order of class and path.

    Raises:
        UserError: If a class has none.
    """
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
        if not found:
            raise UserError(f"data.root: {folder / name}: holds no images ({', '.join(sorted(EXTENSIONS))})")
        files += found
        labels += [label] * len(found)
    return Listing(files, torch.tensor(labels, dtype=torch.int64))


def pick(listing: Listing, indices: Tensor) -> Listing:
    """Some of a listing."""
    return Listing([listing.files[index] for index in indices.tolist()], listing.labels[indices])
