"""Imports torchvision, also where its operators were built for another torch than the one installed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import torch

SCHEMAS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", "qnms(Tensor d, Tensor s, float t) -> Tensor")

_kept: list[Any] = []


def torchvision(module: str) -> ModuleType:
    """Return a module of torchvision, for example ``"datasets"``.

    Beside a CPU-only torch the published wheels' operators cannot be loaded, and the import fails for want of two detection
    operators' schemas. Nothing here detects anything, so then the schemas alone are declared.
    """
    try:
        return import_module(f"torchvision.{module}")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in SCHEMAS:
        if not hasattr(torch.ops.torchvision, schema.split("(")[0]):
            library.define(schema)
    _kept.append(library)  # its schemas live as long as it does
    return import_module(f"torchvision.{module}")
