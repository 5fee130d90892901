"""Trained networks as files: one bit a binary weight, plain torch, or ONNX; and those files as models again."""

from rebnn_search.export._info import ModelInfo, describe
from rebnn_search.export._load import load_model
from rebnn_search.export._loaded import LoadedModel
from rebnn_search.export._sources import Trained, find_trained
from rebnn_search.export.formats import FORMATS, ModelFormat, export_onnx, export_openvino, export_packed, export_torch
from rebnn_search.export.sizes import LayerSize

__all__ = [
    "FORMATS",
    "LayerSize",
    "LoadedModel",
    "ModelFormat",
    "ModelInfo",
    "Trained",
    "describe",
    "export_onnx",
    "export_openvino",
    "export_packed",
    "export_torch",
    "find_trained",
    "load_model",
]
