"""Decodes image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rebnn_search.config import UserError


def read_images(files: Sequence[Path], size: int, grayscale: bool) -> Tensor:
    """Decode images to (N, C, size, size) uint8.

    Raises:
        UserError: Naming the first file that cannot be decoded.
    """
    out = torch.empty((len(files), 1 if grayscale else 3, size, size), dtype=torch.uint8)
    for index, file in enumerate(files):
        out[index] = read_image(file, size, grayscale)
    return out


def read_image(file: Path, size: int, grayscale: bool) -> Tensor:
    """Decode one image to (C, size, size) uint8: the shorter side scaled to the size, the centre cropped.

    Raises:
        UserError: If it cannot be decoded; the message names it.
    """
    from PIL import Image  # comes with torchvision; only those who read images need it

    try:
        with Image.open(file) as image:
            converted = image.convert("L" if grayscale else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{file}: is damaged or no image: {error}") from None
    width, height = converted.size
    if (width, height) != (size, size):
        scale = size / min(width, height)
        converted = converted.resize(
            (max(size, round(width * scale)), max(size, round(height * scale))), Image.Resampling.BILINEAR
        )
        left, top = (converted.width - size) // 2, (converted.height - size) // 2
        converted = converted.crop((left, top, left + size, top + size))
    array = np.asarray(converted, dtype=np.uint8)
    return torch.from_numpy(array.copy()).view(size, size, -1).permute(2, 0, 1)
