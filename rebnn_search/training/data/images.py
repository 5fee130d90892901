"""Decodes image files, whole, by their centre or by a part of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rebnn_search.config import Notice, UserError

if TYPE_CHECKING:
    from PIL.Image import Image, Transpose


NAMED = 3
"""Damaged pictures that a notice names."""
DEEP_MODES = ("I", "F")
"""Pictures of 32 bits a pixel, as Pillow calls them."""
SIXTEEN_BITS = ("PNG", "PPM")
"""Formats whose mode I is of 16 bits, from 0 to 65,535: a PGM's own maximum is that to Pillow."""
DARK = 2**12
"""Values that a picture of 16 bits has more than, unless it is nearly black or of a camera of fewer bits."""
_told: list[Path] = []
"""The picture of which this process has said so."""
ALPHA_MODES = ("LA", "PA", "RGBA", "RGBa")
ORIENTATION = 0x0112
"""EXIF's tag of how the camera was held."""


class DamagedImageError(UserError):
    """A file that is there and can be read, and is no picture."""


def left_out(damaged: Sequence[Path | str], total: int) -> str:
    """What was left out of so many pictures, in words; the first few by name."""
    names = ", ".join(map(str, damaged[:NAMED]))
    return f"left out {len(damaged):,} of {total:,} pictures, damaged or no images: {names}{', ...' if len(damaged) > NAMED else ''}"


def advice(error: UserError) -> str:
    """The message of a file of a dataset that could not be decoded, with what can be done about it."""
    if not isinstance(error, DamagedImageError):
        return str(error)
    return (
        f"{error}; mend it, take it away, or have damaged pictures left out and named: skip_damaged: true in the recipe's data, "
        "or --skip-damaged of auto"
    )


def open_picture(file: Path, grayscale: bool) -> Image:
    """Decode a whole picture, to one channel or three: upright by its EXIF orientation, what is transparent laid on white.

    Raises:
        DamagedImageError: If it cannot be decoded; the message names it.
        UserError: If it is not there, cannot be read, or has 32 bits a pixel.
    """
    from PIL import Image  # comes with torchvision; only those who read images need it

    with decoding(file), Image.open(file) as image:
        if image.mode in DEEP_MODES and not (image.mode == "I" and image.format in SIXTEEN_BITS):
            raise UserError(f"{file}: has 32 bits a pixel, whose range nothing tells; save it with 8, or give arrays as .npz")
        image.load()
        if image.mode.startswith("I"):
            _tell_dark(file, np.asarray(image))
        turn = _turn(image)
        picture = _flat(image).convert("L" if grayscale else "RGB")
        return picture if turn is None else picture.transpose(turn)


def _flat(image: Image) -> Image:
    """An image with eight bits a channel and nothing to see through."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits, which convert cuts off at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ALPHA_MODES or "transparency" in image.info:
        drawn = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn)
    return image


def _tell_dark(file: Path, pixels: np.ndarray[Any, Any]) -> None:
    """Say of 16 bits a pixel that only 12 or fewer are used, once a process."""
    most = int(pixels.max(initial=0))
    if 0 < most < DARK and not _told:
        _told.append(file)
        warnings.warn(
            f"{file}: has 16 bits a pixel and no value above {most:,}: white is taken to be 65,535, and this nearly black; if a "
            "camera of 12 bits made such pictures, say, save them with the whole range, or with 8 bits",
            Notice,
            stacklevel=2,
        )


def _turn(image: Image) -> Transpose | None:
    """How an image is to be turned or mirrored to be as its EXIF orientation says; None for as it is."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
    }  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return turns.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # spoilt EXIF beside sound pixels makes the parser raise what it pleases
        return None


@contextmanager
def decoding(file: Path) -> Iterator[None]:
    """Say what is wrong with a picture that is decoded inside.

    Raises:
        DamagedImageError: If it cannot be decoded; the message names it.
        UserError: If it is not there or cannot be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except (MemoryError, UserError):
        raise
    except Exception as error:  # a stranger's bytes make decoders raise SyntaxError, struct.error, EOFError, zlib.error, ...
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(f"{file}: cannot be read: {error.strerror}") from None
        raise DamagedImageError(f"{file}: is damaged or no image: {error}") from None


@dataclass(frozen=True)
class Decoded:
    """Pictures that could be decoded.

    Attributes:
        images: (N, C, size, size) uint8, their centres.
        kept: (N,) int64, which of the files they are.
        whole: (N, C, side, side) uint8, the whole pictures scaled to squares; None where they were not asked for.
        sizes: (N, 2) int64, height and width of the pictures before; likewise.
    """

    images: Tensor
    kept: Tensor
    whole: Tensor | None = None
    sizes: Tensor | None = None


def decode(
    files: Sequence[Path],
    size: int,
    grayscale: bool,
    crop_pct: float = 1.0,
    *,
    whole: int | None = None,
    damaged: list[Path] | None = None,
) -> Decoded:
    """Decode pictures as a validation split has them.

    Args:
        files: The files.
        size: Side of the images.
        grayscale: One channel instead of three.
        crop_pct: Share of the shorter side that is kept (`centre`).
        whole: Side of the squares that whole pictures are scaled to beside that; None for none.
        damaged: Where those go that cannot be decoded, and are left out; None to raise.

    Raises:
        DamagedImageError: Naming the first file that cannot be decoded.
        UserError: Naming one that is not there or cannot be read.
    """
    channels = 1 if grayscale else 3
    images = torch.empty((len(files), channels, size, size), dtype=torch.uint8)
    squares = torch.empty((len(files) if whole else 0, channels, whole or 0, whole or 0), dtype=torch.uint8)
    kept: list[int] = []
    sizes: list[tuple[int, int]] = []
    for index, file in enumerate(files):
        try:
            picture = open_picture(file, grayscale)
        except DamagedImageError:
            if damaged is None:
                raise
            damaged.append(file)
            continue
        images[len(kept)] = as_tensor(centre(picture, size, crop_pct))
        if whole:
            squares[len(kept)] = as_tensor(cut_out(picture, (0, 0, picture.height, picture.width), whole))
            sizes.append((picture.height, picture.width))
        kept.append(index)
    count, indices = len(kept), torch.tensor(kept, dtype=torch.int64)
    if not whole:
        return Decoded(images[:count], indices)
    return Decoded(images[:count], indices, squares[:count], torch.tensor(sizes, dtype=torch.int64).view(-1, 2))


def resized_side(size: int, crop_pct: float) -> int:
    """The side to which the shorter one of a picture is scaled, of which the middle ``size`` is kept: 256 for 224 and 7/8."""
    return max(size, round(size / crop_pct))


def centre(picture: Image, size: int, crop_pct: float) -> Image:
    """The shorter side scaled to `resized_side`, the middle cropped: torchvision's ``Resize`` and ``CenterCrop`` to the pixel."""
    from PIL.Image import Resampling

    side, (width, height) = resized_side(size, crop_pct), picture.size
    if min(width, height) != side:
        shorter = min(width, height)
        picture = picture.resize((int(side * width / shorter), int(side * height / shorter)), Resampling.BILINEAR)
    left, top = round((picture.width - size) / 2), round((picture.height - size) / 2)
    return picture.crop((left, top, left + size, top + size))


def cut_out(picture: Image, box: Sequence[int], size: int) -> Image:
    """A part of a picture, its top, left, height and width given in pixels, scaled to a square."""
    from PIL.Image import Resampling

    top, left, height, width = box
    return picture.crop((left, top, left + width, top + height)).resize((size, size), Resampling.BILINEAR)


def as_tensor(picture: Image) -> Tensor:
    """A picture as (C, H, W) uint8."""
    array = np.asarray(picture, dtype=np.uint8)
    return torch.from_numpy(array.reshape(picture.height, picture.width, -1).copy()).permute(2, 0, 1)
