"""torchvision, imported where it is needed: it is heavy, and most recipes do without."""

from __future__ import annotations

import importlib
import threading
from types import ModuleType

import torch

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
"""Operators whose mere names torchvision's Python code asks for at its import."""

_lock = threading.Lock()
_library: list[torch.library.Library] = []


def torchvision_module(name: str) -> ModuleType:
    """Import ``torchvision.<name>``, beside a CPU-only torch too.

    torchvision's wheels carry operators built for CUDA, which do not load beside a CPU-only torch; its import then fails on the first
    that is not there. With their schemas declared, datasets, transforms and models work; detection, which would call them, is not
    used here.
    """
    with _lock:
        try:
            return importlib.import_module(f"torchvision.{name}")
        except RuntimeError as error:
            if "torchvision::" not in str(error) or _library:
                raise
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in SCHEMAS.values():
            library.define(schema)  # type: ignore[no-untyped-call]
        _library.append(library)
        return importlib.import_module(f"torchvision.{name}")
