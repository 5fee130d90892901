"""CIFAR-10 as class folders, with a fixed validation split, for the searches ``table_3_7_cifar10*.yaml``.

    python benchmarks/cifar10_folder.py ARCHIVE data/cifar10
    python benchmarks/cifar10_folder.py ARCHIVE data/cifar10_subset --per-class 1000

``ARCHIVE`` is a tar of pictures, ``train/CLASS/*`` and ``test/CLASS/*`` (compressed as may be), or the directory in which
`torchvision.datasets.CIFAR10` has ``cifar-10-batches-py``, whose pictures are written as PNG. The rule: of each class's training
pictures, sorted by name, the last 500 are ``val/``; of the others all, or the first ``--per-class``, are ``train/``; the test split
is ``test/``, whole. There is the whole folder or none.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp

from rebnn_search.base.errors import UserError, exit_on_user_error
from rebnn_search.training.data.listing import EXTENSIONS
from rebnn_search.training.vision import torchvision_module

VALIDATION = 500
"""Pictures of each class in ``val/``."""
SPLITS = ("train", "test")
PICKLES = "cifar-10-batches-py"
ABOUT = "about.json"
"""What the folder was made of, beside its splits."""

Picture = tuple[str, str, str, bytes]
"""Split (of `SPLITS`), class, file name, file."""


def pictures(source: Path) -> Iterator[Picture]:
    """The pictures of an archive or of torchvision's directory, in any order.

    Raises:
        UserError: If it is neither, or damaged.
    """
    if source.is_dir():
        yield from _pickled(source)
        return
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                parts = [part for part in PurePosixPath(member.name).parts if part != "."]
                if not member.isfile() or PurePosixPath(member.name).suffix.lower() not in EXTENSIONS:
                    continue
                if len(parts) < 3 or parts[-3] not in SPLITS or ".." in parts:
                    raise UserError(f"{source}: holds {member.name}: expected train/CLASS/PICTURE and test/CLASS/PICTURE")
                file = archive.extractfile(member)
                assert file is not None
                yield parts[-3], parts[-2], parts[-1], file.read()
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UserError(f"{source}: cannot be read as an archive: {error}") from None


def _pickled(source: Path) -> Iterator[Picture]:
    from PIL import Image

    CIFAR10 = torchvision_module("datasets").CIFAR10
    for split in SPLITS:
        try:
            dataset = CIFAR10(str(source), train=split == "train", download=False)
        except RuntimeError as error:
            raise UserError(f"{source}: holds no sound {PICKLES}: {' '.join(str(error).split())}") from None
        for index, (pixels, label) in enumerate(zip(dataset.data, dataset.targets, strict=True)):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, format="PNG")
            yield split, dataset.classes[label], f"{index:05d}.png", file.getvalue()


def make_folder(source: Path, out: Path, per_class: int | None = None, validation: int = VALIDATION) -> dict[str, int]:
    """Write the folder.

    Args:
        source: As of `pictures`.
        out: Must not be there.
        per_class: Training pictures of each class; None takes all but those for validation.
        validation: Validation pictures of each class.

    Returns:
        How many pictures each split has.

    Raises:
        UserError: If ``out`` is there, or the source has too few pictures of a class, or none.
    """
    if out.exists():
        raise UserError(f"{out}: is there already")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        for split, name, file, content in pictures(source):
            folder = partial / split / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
        if not (partial / "train").is_dir() or not (partial / "test").is_dir():
            raise UserError(f"{source}: needs pictures in train/CLASS and test/CLASS")
        for folder in sorted((partial / "train").iterdir()):
            _divide(source, folder, partial / "val" / folder.name, per_class, validation)
        counts = {
            split: sum(1 for path in (partial / split).rglob("*") if path.is_file()) for split in ("train", "val", "test")
        }
        (partial / ABOUT).write_text(json.dumps({"source": source.name, "pictures": counts}) + "\n", encoding="utf-8")
        partial.chmod(0o755)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return counts


def _divide(source: Path, train: Path, val: Path, per_class: int | None, validation: int) -> None:
    """Move a class's last pictures to validation, and remove what training does not take."""
    files = sorted(train.iterdir())
    wanted = (1 if per_class is None else per_class) + validation
    if len(files) < wanted:
        raise UserError(f"{source}: class {train.name} has {len(files)} training pictures, and {wanted} are asked for")
    val.mkdir(parents=True)
    for file in files[len(files) - validation :]:
        file.rename(val / file.name)
    for file in files[: len(files) - validation][per_class:] if per_class is not None else ():
        file.unlink()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description="Make class folders of CIFAR-10, with a fixed validation split.")
    p.add_argument("archive", type=Path, metavar="ARCHIVE", help=f"a tar of class folders, or the directory with {PICKLES}")
    p.add_argument("out", type=Path, metavar="OUT", help="the folder to make")
    p.add_argument(
        "--per-class", type=int, metavar="K", help="only the first K training pictures of each class, by sorted name"
    )
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0."""
    args = parser().parse_args(argv)
    if args.per_class is not None and args.per_class < 1:
        raise UserError(f"--per-class {args.per_class}: must be at least 1")
    if not args.archive.exists():
        raise UserError(f"{args.archive}: there is no such archive")
    counts = make_folder(args.archive, args.out, args.per_class)
    print(f"{args.out}: " + ", ".join(f"{count:,} {split}" for split, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(exit_on_user_error(main))
