"""Folders of class folders of images: ImageNet's layout, and anybody's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from rebnn_search.config import Component, Notice, UserError
from rebnn_search.training.data._streaming import StreamingData, find_damaged
from rebnn_search.training.data.augmentations import AUGMENTATIONS, Augmentation, AugmentationOption
from rebnn_search.training.data.base import DATASETS, SPLITS, Data, Dataset, Split
from rebnn_search.training.data.decoded_cache import decode_once, fingerprint
from rebnn_search.training.data.groups import check_apart, groups_in_names, numbered
from rebnn_search.training.data.images import DamagedImageError, advice, left_out
from rebnn_search.training.data.listing import Listing, class_names, list_images, pick, split_folders
from rebnn_search.training.data.normalisation import channel_statistics
from rebnn_search.training.data.resident import ResidentData, Samples
from rebnn_search.training.data.splits import check_fractions, drawn_splits, stratified

RESIDENT_BYTES = 2 * 1024**3
"""Decoded images up to this many bytes stay in memory where ``resident`` is ``auto``."""
WHOLE = 2
"""Side of the squares that resident whole pictures are scaled to, in sides of the images: of a crop of the whole each pixel is then
the mean of four."""
CROP_PCT = 7 / 8
"""Share of a picture's shorter side that evaluation keeps where training crops at random: 224 of 256."""
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

CROP_FLIP: Component[Augmentation] = Component("name", "crop_flip", {}, AUGMENTATIONS["crop_flip"])
IMAGENET: Component[Augmentation] = Component("name", "imagenet", {}, AUGMENTATIONS["imagenet"])


CROPPED: tuple[Split, ...] = ("train", "validation")
"""Splits whose whole pictures are kept for crops: the last training is on both."""
_damaged: dict[str, list[Path]] = {}
"""Damaged files of listings that this process has decoded already, by `fingerprint`: each trial opens the data again."""
_reported: set[tuple[Path, tuple[Path, ...]]] = set()


@DATASETS.register("image_folder")
class ImageFolder(Dataset):
    r"""``root/train/CLASS/*.jpg``, and ``val/`` and ``test/`` likewise; or ``root/CLASS/*.jpg`` with the splits drawn from it.

    The splits' folders may also be called ``training``, ``valid``, ``validation``, ``dev`` and ``testing``, in upper case or lower.
    Without one for validation a stratified share of ``train/`` is the validation split, without one for the test another one the test
    split. Files that are no images by their ending are passed over, and so are files and folders whose names begin with a dot.

    Pictures are turned upright by their EXIF orientation, and what is transparent in them is laid on white; ``predict`` decodes as
    training does. They are scaled by their shorter side to ``image_size / crop_pct`` and their centre of ``image_size`` is kept, as
    torchvision's ``Resize`` and ``CenterCrop`` do. An augmentation that crops at random (``imagenet``) does so on whole pictures in
    training: on the files' own pixels where they are streamed, as torchvision's ``RandomResizedCrop``; where they are resident on
    whole pictures scaled to squares of twice ``image_size``, with boxes as the files' own height and width give them.

    Args:
        root: The folder.
        image_size: Side of the images.
        grayscale: One channel instead of three.
        validation: Share for validation where there is no folder for it.
        test: Share for the test where there is no folder for it.
        split_seed: Of the stratified splits.
        resident: Keep the decoded images in memory, on the training device: ``auto`` up to 2 GiB; they are decoded once for all
            trainings (`rebnn_search.training.data.decoded_cache`). Otherwise they are read and decoded again in every epoch, by
            ``workers`` processes.
        workers: Processes that read; 0 reads in the trainer's own.
        augment: Augmentation of training batches.
        crop_pct: Share of the shorter side that is kept; ``auto`` is 7/8 (256 to 224) where the augmentation crops at random, as in
            the published runs, and otherwise 1, the whole shorter side, as training then sees it.
        skip_damaged: Leave pictures out that cannot be decoded, and say which, instead of refusing. The splits are drawn before
            that: no other picture changes its split. Streamed ones are all decoded once when they are opened.
        group: Regular expression that finds in a picture's path below its split's folder what it belongs with, as
            ``(patient\d+)``: what its first parentheses match, or else all it matches. No group is in two splits.

    Raises:
        ValueError: If a size or share is out of range, or the expression is none.
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
        crop_pct: float | Literal["auto"] = "auto",
        skip_damaged: bool = False,
        group: str | None = None,
    ) -> None:
        check_fractions(validation=validation, test=test)
        try:
            self.group = None if group is None else re.compile(group)
        except re.error as error:
            raise ValueError(f"group is no regular expression: {error}") from None
        if crop_pct != "auto" and not 0 < crop_pct <= 1:
            raise ValueError(f"crop_pct must be within (0, 1], not {crop_pct}")
        if image_size < 4:
            raise ValueError(f"image_size must be at least 4, not {image_size}")
        if workers < 0:
            raise ValueError(f"workers must be >= 0, not {workers}")
        self.root, self.image_size, self.grayscale = Path(root), image_size, grayscale
        self.validation, self.test, self.split_seed = validation, test, split_seed
        self.resident, self.workers, self.augment = resident, workers, augment
        self.crop_pct, self.skip_damaged = crop_pct, skip_damaged

    def open(self) -> Data:
        """List the files, split them, and decode them if they are to stay in memory."""
        classes, listings = self._list()
        channels = 1 if self.grayscale else 3
        crop, augmentation = self.augment.build().split()
        crop_pct = self.crop_pct if self.crop_pct != "auto" else 1.0 if crop is None else CROP_PCT
        whole = None if crop is None else WHOLE * self.image_size
        total = sum(len(listing.files) for listing in listings.values()) * channels * self.image_size**2
        if whole is not None:
            total += sum(len(listings[name].files) for name in CROPPED) * channels * whole**2
        resident = total <= RESIDENT_BYTES if self.resident == "auto" else self.resident
        if resident:
            splits, told = self._decoded(listings, classes, crop_pct, whole)
            mean, std = channel_statistics(splits["train"].images)
            decoded = ResidentData(splits, classes, mean, std, augmentation, crop=crop, crop_pct=crop_pct)
            decoded.left_out = told
            return decoded
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        if self.grayscale:
            mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
        sound, told = self._sound(listings, classes) if self.skip_damaged else (listings, None)
        streamed = StreamingData(
            {name: (listing.files, listing.labels) for name, listing in sound.items()}, classes, self.image_size,
            self.grayscale, mean, std, augmentation, self.workers, crop, crop_pct,
        )  # fmt: skip
        streamed.left_out = told
        return streamed

    def _decoded(
        self, listings: dict[Split, Listing], classes: Sequence[str], crop_pct: float, whole: int | None
    ) -> tuple[dict[Split, Samples], str | None]:
        """The decoded pictures of each split, and what `_tell` says of those that could not be."""
        splits: dict[Split, Samples] = {}
        damaged: list[Path] = []
        for name, listing in listings.items():
            try:
                found = decode_once(
                    listing.files, self.image_size, self.grayscale, crop_pct, whole=whole if name in CROPPED else None,
                    damaged=damaged if self.skip_damaged else None,
                )  # fmt: skip
            except DamagedImageError as error:
                raise UserError(advice(error)) from None
            splits[name] = Samples(found.images, listing.labels[found.kept], whole=found.whole, sizes=found.sizes)
        told = self._tell(damaged, listings)
        for name, samples in splits.items():
            self._check_classes(name, listings[name].labels, samples.labels, classes)
        return splits, told

    def _sound(self, listings: dict[Split, Listing], classes: Sequence[str]) -> tuple[dict[Split, Listing], str | None]:
        """The listings without what cannot be decoded, and what `_tell` says of that."""
        files = [file for listing in listings.values() for file in listing.files]
        state = fingerprint(files)
        if state not in _damaged:
            _damaged[state] = find_damaged(files, self.workers)
        damaged = _damaged[state]
        told = self._tell(damaged, listings)
        gone = set(damaged)
        sound: dict[Split, Listing] = {}
        for name, listing in listings.items():
            kept = [index for index, file in enumerate(listing.files) if file not in gone]
            sound[name] = pick(listing, torch.tensor(kept, dtype=torch.int64))
            self._check_classes(name, listing.labels, sound[name].labels, classes)
        return sound, told

    def _tell(self, damaged: Sequence[Path], listings: dict[Split, Listing]) -> str | None:
        """What is left out, in words, which a process says once."""
        if not damaged:
            return None
        names = [str(file.relative_to(self.root)) for file in sorted(damaged)]
        text = f"data.root: {self.root}: {left_out(names, sum(len(listing.files) for listing in listings.values()))}"
        state = (self.root, tuple(damaged))
        if state not in _reported:
            _reported.add(state)
            warnings.warn(text, Notice, stacklevel=2)
        return text

    def _check_classes(self, split: Split, listed: Tensor, sound: Tensor, classes: Sequence[str]) -> None:
        before, after = (torch.bincount(labels, minlength=len(classes)).tolist() for labels in (listed, sound))
        for name, there, count in zip(classes, before, after, strict=True):
            if there and not count:
                raise UserError(f"data.root: {self.root}: every picture of class {name!r} in the {split} split is damaged")

    def check_place(self) -> None:
        """See `Dataset.check_place`."""
        if not self.root.is_dir():
            raise UserError(f"data.root: {self.root}: no such folder")

    def _list(self) -> tuple[list[str], dict[Split, Listing]]:
        self.check_place()
        folders = split_folders(self.root)
        base = folders.get("train", self.root)
        classes = class_names(base)
        listings: dict[Split, Listing] = {}
        for split, there in {"train": base, **folders}.items():
            if class_names(there) != classes:
                odd = sorted(set(class_names(there)) ^ set(classes))
                raise UserError(f"data.root: {there} has other classes than {base}: {', '.join(odd[:5])}")
            listings[split] = list_images(there, classes)
        shares: dict[Split, float] = {"test": self.test, "validation": self.validation}
        shares = {split: share for split, share in shares.items() if split not in listings}
        whole, groups = listings["train"], self._groups(listings, folders)
        drawn = drawn_splits(whole.labels, shares, self.split_seed, classes, str(base), groups)
        return classes, listings | {split: pick(whole, rows) for split, rows in drawn.items()}

    def _groups(self, listings: Mapping[Split, Listing], folders: Mapping[Split, Path]) -> Tensor | None:
        """The group of each picture of ``train/``, which no other folder may have."""
        if self.group is None:
            return None
        source = f"data.root: {self.root}: data.group"
        names = {
            split: groups_in_names(listing.files, folders.get(split, self.root), self.group, source)
            for split, listing in listings.items()
        }
        check_apart(names, source)
        return None if len(listings) == len(SPLITS) else numbered(names["train"], source)


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
        crop_pct: Share of the shorter side that is kept for validation and test: 224 of 256.
        skip_damaged: As of `ImageFolder`: every picture is then decoded once when the data are opened.
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
        crop_pct: float = CROP_PCT,
        skip_damaged: bool = False,
    ) -> None:
        super().__init__(
            root=root, image_size=image_size, validation=validation, split_seed=split_seed, resident=False, workers=workers,
            augment=augment, crop_pct=crop_pct, skip_damaged=skip_damaged,
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
