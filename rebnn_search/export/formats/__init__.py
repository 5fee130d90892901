"""Model files by the name of their format."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.export.formats._onnx import export_onnx
from rebnn_search.export.formats._openvino import export_openvino
from rebnn_search.export.formats._packed import export_packed, load_packed
from rebnn_search.export.formats._torch import export_torch
from rebnn_search.export.formats.base import FORMATS, ModelFormat, format_of

__all__ = [
    "FORMATS",
    "ModelFormat",
    "export_onnx",
    "export_openvino",
    "export_packed",
    "export_torch",
    "format_of",
    "load_packed",
]

import_modules(__name__)
