"""Reads bytes of `torch.save` that hold plain tensors and nothing that runs."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

import torch

from rebnn_search.training.memory import NO_ROOM


def load_plain(content: bytes | memoryview, device: str) -> Any:
    """Load what `torch.save` wrote, without running code of it and in memory of the order of its size.

    Args:
        content: The bytes.
        device: Where all tensors go.

    Raises:
        ValueError: If it is cut short, altered, or holds more than plain tensors, numbers, text and containers of them.
        MemoryError: If there is no room for it.
    """
    file = io.BytesIO(content)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
        # torch.save stores; a compressed or overlapping entry could be thousands of times larger than the file.
        sound = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not sound or sum(entry.file_size for entry in entries) > file.getbuffer().nbytes:
            raise ValueError("its entries are larger than the file")
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of tensors that nobody here writes
            return torch.load(file, map_location=device, weights_only=True)
    except Exception as error:  # an altered pickle raises what zipfile, the unpickler and torch please
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in NO_ROOM):
            raise MemoryError(str(error)) from None
        raise ValueError(f"is damaged, or holds more than plain tensors ({type(error).__name__})") from None
