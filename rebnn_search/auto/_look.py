"""What kind of data there are, before anything is trained on them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rebnn_search.auto.source import Source
from rebnn_search.config import UserError
from rebnn_search.training.data import DATASETS, Data
from rebnn_search.training.data.groups import groups_in_names
from rebnn_search.training.data.images import DamagedImageError, advice, decoding, open_picture
from rebnn_search.training.data.listing import EXTENSIONS, class_names, split_folders, visible_files
from rebnn_search.training.data.splits import GIVEN
from rebnn_search.training.data.tables import is_regression, is_table, labels_of, notes, read_table

SHARE = 0.2
"""Of the samples for validation, and for the test, where the data do not say."""
GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "F"})
LOOKED_AT, LEAST_LOOKED_AT = 64, 4
"""Pictures with room for colour that are decoded to see whether they have any: of all classes together, and at the least of each."""
TINIEST, LARGEST = 8, 64
"""Sides of images that are trained on."""
LABEL_NAMES = ("label", "class", "target", "y")
"""What a column of labels may be called where none is named."""


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        data: The recipe's ``data``; of images without ``image_size``.
        images: Whether they are images; otherwise rows of a table.
        side: Of the images, as they will be read at most.
        notes: Lines for the user.
        example: A file that a model of these data can classify.
    """

    data: dict[str, Any]
    images: bool
    side: int
    notes: list[str] = field(default_factory=list)
    example: str = ""

    def open(self, **options: Any) -> Data:
        """Open the data, with further options."""
        given = {**self.data, **options}
        return DATASETS[given.pop("name")](**given).open()


def look_at(source: Source) -> Look:
    """Look at data.

    Raises:
        UserError: If there is nothing of the kind, or it cannot be trained on; the message names file, class or column.
    """
    path, label, group, skip_damaged = source.path.absolute(), source.label, source.group, source.skip_damaged
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    kind = "" if path.is_dir() else path.suffix.lower()
    if label is not None and not is_table(path):
        raise UserError(f"--label {label}: is for tables; the classes of {path} are {'its folders' if not kind else 'in y'}")
    if skip_damaged and kind:
        raise UserError(f"--skip-damaged: is for folders of images; {path} is a file")
    if group is not None and kind == ".npz":
        raise UserError(f"--group {group}: is for tables and folders of images; {path} has no names to go by")
    if path.is_dir():
        return _folder(path, skip_damaged, group)
    if kind == ".npz":
        return _arrays(path)
    if is_table(path):
        return _table(path, label, group)
    raise UserError(
        f"{path}: expected a folder of class folders with images, an .npz file (X, y) or a table: .csv or .tsv, also .gz, or .parquet"
    )


def _folder(root: Path, skip_damaged: bool, group: str | None) -> Look:
    splits = split_folders(root)
    base = splits.get("train", root)
    classes = class_names(base)
    images: list[Path] = []
    others: list[Path] = []
    for name in classes:
        files = visible_files(base / name)
        found = [path for path in files if path.suffix.lower() in EXTENSIONS]
        others += [path for path in files if path.suffix.lower() not in EXTENSIONS]
        if base == root:
            _enough(name, len(found), root)
        images += found
    if not images:
        raise UserError(f"{base}: its class folders hold no images ({', '.join(sorted(EXTENSIONS))})")
    images, sides, grey = _headers(images, skip_damaged)
    if not images:
        raise UserError(f"{base}: none of its pictures can be decoded")
    side = int(np.median(sides))
    options: dict[str, Any] = {"validation": SHARE, "test": SHARE}  # of no account where there are folders of them
    if skip_damaged:
        options["skip_damaged"] = True
    if group is not None:
        options["group"] = group
    data = {"name": "image_folder", "root": str(root), "grayscale": grey, **options}
    notes = [f"{len(images):,} {'grey' if grey else 'colour'} images, the shorter side {min(sides)} to {max(sides)} pixels"]
    if group is not None:
        together = set(groups_in_names(images, base, _expression(group), str(root)))
        notes.append(f"pictures of one group stay together: {len(together):,} groups")
    aside = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    aside = [name for name in aside if splits and root / name not in splits.values()]
    if aside:
        notes.append(f"passed over, being neither to train on, to validate on nor to test: {', '.join(aside)}")
    if others:
        more = ", ..." if len(others) > 3 else ""
        named = ", ".join(str(path.relative_to(root)) for path in others[:3])
        notes.append(f"passed over {len(others)} file{'s' if len(others) > 1 else ''} not named as images: {named}{more}")
    return Look(data, True, min(max(side, TINIEST), LARGEST), notes, str(_first_sound(images)))


def _expression(group: str) -> re.Pattern[str]:
    try:
        return re.compile(group)
    except re.error as error:
        raise UserError(f"--group {group}: is no regular expression: {error}") from None


def _first_sound(images: Sequence[Path]) -> Path:
    """The first picture that can be decoded whole; the first one if none can, which opening the data will report."""
    for path in images:
        try:
            open_picture(path, grayscale=True)
        except UserError:
            continue
        return path
    return images[0]


def _headers(images: Sequence[Path], skip_damaged: bool) -> tuple[list[Path], list[int], bool]:
    """The pictures, their shorter sides, and whether all are grey. Only headers are read, but of some that have room for colour.

    Pictures whose header is damaged are left out, where that is asked for: the dataset says which, and finds the others.
    """
    from PIL import Image

    sound, sides = [], []
    roomy: dict[Path, list[Path]] = {}  # by class folder
    for path in images:
        try:
            with decoding(path), Image.open(path) as image:
                sides.append(min(image.size))
                if image.mode not in GREY_MODES:
                    roomy.setdefault(path.parent, []).append(path)
        except DamagedImageError as error:
            if not skip_damaged:
                raise UserError(advice(error)) from None
            continue
        sound.append(path)
    looked_at = [path for paths in roomy.values() for path in _spread(paths, len(roomy))]
    return sound, sides, not any(_is_coloured(path, skip_damaged) for path in looked_at)


def _spread(paths: Sequence[Path], classes: int) -> list[Path]:
    """Some of a class's, from its first to its last."""
    count = min(len(paths), max(LEAST_LOOKED_AT, LOOKED_AT // classes))
    return [paths[round(place)] for place in np.linspace(0, len(paths) - 1, count)]


def _is_coloured(path: Path, skip_damaged: bool) -> bool:
    """Whether any pixel has a colour."""
    from PIL import Image

    try:
        with decoding(path), Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except DamagedImageError as error:
        if not skip_damaged:
            raise UserError(advice(error)) from None
        return False
    return bool((pixels != pixels[:, :, :1]).any())


def _arrays(path: Path) -> Look:
    from rebnn_search.training.data import Arrays, ResidentData

    try:
        with np.load(path, allow_pickle=False) as file:
            labels = file["y"] if "y" in file.files else None
            given = {split for split, names in GIVEN.items() for name in names if f"X_{name}" in file.files}
    except Exception:  # the dataset says what is wrong with it
        labels = None
    if labels is not None and labels.ndim == 1:
        if labels.dtype.kind in "iuf" and is_regression(list(map(str, labels.tolist()))):
            raise UserError(
                f"{path}: y holds {len(np.unique(labels)):,} different numbers: estimating a number is regression, and this program "
                "tells classes apart; save the class of each sample as y"
            )
        for name, count in zip(*np.unique(labels, return_counts=True), strict=True):
            _enough(str(name), int(count), path, [split for split in ("validation", "test") if split not in given])
    opened = Arrays(path=str(path), validation=SHARE, test=SHARE).open()
    assert isinstance(opened, ResidentData)
    images = opened.image_size > 1
    data = {"name": "arrays", "path": str(path), "validation": SHARE, "test": SHARE}
    size = f"{opened.channels}×{opened.image_size}×{opened.image_size}" if images else f"{opened.channels} features"
    return Look(data, images, opened.image_size, [f"arrays of {size}"], str(path))


def _table(path: Path, label: str | None, group: str | None) -> Look:
    from rebnn_search.training.data import Csv

    table = read_table(path, str(path))
    if label is None:
        fitting = [name for name in table.names if name.lower() in LABEL_NAMES]
        if len(fitting) != 1:
            raise UserError(f"{path}: which column holds the labels? Say --label COLUMN; there are {', '.join(table.names)}")
        label = fitting[0]
    if label not in table.names:
        raise UserError(f"--label {label}: {path} has no such column; there are {', '.join(table.names)}")
    for name, count in Counter(labels_of(table, label, str(path))).items():
        _enough(name, count, path)
    options: dict[str, Any] = {"path": str(path), "label": label, "validation": SHARE, "test": SHARE}
    if group is not None:
        options["group"] = group
    fitted = Csv(**options).open_table(table, str(path), choose=True).fitted
    # By name: what was chosen now is what every trial trains on.
    features = [column.name for column in fitted.preprocessing.columns]
    seen = f"a table of {len(table):,} rows and {len(features)} features, labels in {label!r}"
    seen += f" ({', '.join(table.remarks)})" if table.remarks else ""
    said = notes(table, fitted, str(path))
    if group is not None:
        said.append(f"rows with one {group!r} stay together: {len(set(table.column(group, str(path)))):,} groups")
    return Look({"name": "csv", **options, "features": features}, False, 1, [seen, *said], str(path))


def _enough(name: str, count: int, source: Path, drawn: Sequence[str] = ("validation", "test")) -> None:
    """See that a class has a sample to train on and one for each split that is drawn from these."""
    if count < 1 + len(drawn):
        uses = " and ".join(["to train on", *({"validation": "to validate on", "test": "to test"}[split] for split in drawn)])
        raise UserError(
            f"{source}: class {name!r} has {count} sample{'' if count == 1 else 's'}: each needs at least {1 + len(drawn)}, "
            f"{uses}; add some or take the class away"
        )
