"""Trained networks as files: one bit a binary weight, plain torch, or ONNX; and those files as models again."""

from rebnn_search.export._info import ModelInfo, describe
from rebnn_search.export._loaded import LoadedModel, load_model
from rebnn_search.export._onnx import export_onnx
from rebnn_search.export._packed import export_packed
from rebnn_search.export._sources import Trained, find_trained
from rebnn_search.export._torch import export_torch
from rebnn_search.export.sizes import LayerSize

__all__ = [
    "LayerSize",
    "LoadedModel",
    "ModelInfo",
    "Trained",
    "describe",
    "export_onnx",
    "export_packed",
    "export_torch",
    "find_trained",
    "load_model",
]
