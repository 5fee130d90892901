"""The OpenVINO format: the packed file under another name, and with it the wish that OpenVINO computes it.

Not OpenVINO's own files: the graph is made of the checked network when it is loaded, in a fraction of a second and for the processor
at hand, so that nothing of an untrusted file reaches OpenVINO's parser, and the file is read where OpenVINO is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from rebnn_search.export._header import KEY
from rebnn_search.export._info import ModelInfo
from rebnn_search.export._loaded import LoadedModel
from rebnn_search.export.formats._packed import begins_with, export_packed, load_packed
from rebnn_search.export.formats.base import FORMATS, ModelFormat
from rebnn_search.export.sizes import LayerSize

OPENVINO_KEY = f"{KEY}.openvino"


@FORMATS.register("openvino")
class OpenVINOFormat(ModelFormat):
    """One bit for each binary weight; computed by OpenVINO, on bits or in int8, where ``rebnn-search[openvino]`` is installed."""

    file = "openvino.safetensors"
    engine = "auto"
    packages = ("openvino",)
    extra = "openvino"

    def claims(self, content: bytes) -> bool:
        """Whether a safetensors file's metadata begin with this format's header."""
        return begins_with(content, f'{OPENVINO_KEY}"')

    def write(self, network: nn.Module, info: ModelInfo, path: Path) -> Sequence[LayerSize]:
        """Write what `export_openvino` does."""
        return export_openvino(network, info, path)

    def read(self, content: bytes, path: Path) -> LoadedModel:
        """Unpack the network, to the bit."""
        network, info = load_packed(content, path, key=OPENVINO_KEY)
        return LoadedModel(info, network, network)


def export_openvino(network: nn.Module, info: ModelInfo, path: str | Path) -> list[LayerSize]:
    """Write a trained network as a file for OpenVINO: arguments, result and errors as `rebnn_search.export.export_packed`.

    OpenVINO is needed to compute it, not to write it.
    """
    return export_packed(network, info, path, key=OPENVINO_KEY)
