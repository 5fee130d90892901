"""The ONNX format: a graph from normalised images (batch, C, H, W) to logits (batch, classes), any batch, float32."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rebnn_search.base.files import write_whole
from rebnn_search.config import UserError
from rebnn_search.export._check import check_values
from rebnn_search.export._graph import IMAGES, LOGITS, check_graph
from rebnn_search.export._header import KEY, Header, read_header
from rebnn_search.export._info import ModelInfo
from rebnn_search.export._loaded import LoadedModel
from rebnn_search.export._network import fold, restore
from rebnn_search.export.formats.base import FORMATS, ModelFormat
from rebnn_search.export.sizes import LayerSize

PLACEHOLDER = "0" * 64
"""Stands where the checksum of the file will: it is that of the file with this in its place."""


@FORMATS.register("onnx")
class Onnx(ModelFormat):
    """A graph from normalised images to logits, for other runtimes; needs ``pip install 'rebnn-search[export]'``."""

    file = "model.onnx"
    engine = "onnxruntime"
    packages = ("onnx", "onnxscript", "onnxruntime")
    asked_late = True  # by one byte

    def claims(self, content: bytes) -> bool:
        """Whether this begins as an ONNX file does, with the version of the format."""
        return content.startswith(b"\x08")

    def write(self, network: nn.Module, info: ModelInfo, path: Path) -> Sequence[LayerSize]:
        """Write what `export_onnx` does."""
        export_onnx(network, info, path)
        return ()

    def read(self, content: bytes, path: Path) -> LoadedModel:
        """Open a session of onnxruntime's."""
        compute, info = load_onnx(content, path)
        return LoadedModel(info, compute, engine="onnxruntime")


def export_onnx(network: nn.Module, info: ModelInfo, path: str | Path) -> None:
    """Write a trained network as an ONNX file.

    Arguments as `rebnn_search.export.export_packed`; its ``metadata_props`` hold the header of a packed file.

    Raises:
        UserError: If the packages are missing, or as `rebnn_search.export.export_packed`.
    """
    _needs("onnx")
    _needs("onnxscript")
    state = fold(network)
    check_values(state.tensors, path)
    plain = restore(info, state, path)
    # Of two images: an axis of one would be taken for fixed.
    example = torch.zeros(2, info.channels, info.image_size, info.image_size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's, of its own code
            program = torch.onnx.export(
                plain, (example,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},), input_names=[IMAGES],
                output_names=[LOGITS], external_data=False, verbose=False,
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        raise UserError(f"{path}: the network cannot be written as ONNX: {str(error).splitlines()[0]}") from None
    assert program is not None
    model = _without_origins(program.model_proto)
    model.metadata_props.add(key=KEY, value=Header(info, state.binary).seal(PLACEHOLDER))
    content = model.SerializeToString()
    digest = hashlib.sha256(content).hexdigest()
    write_whole(Path(path), content.replace(PLACEHOLDER.encode(), digest.encode(), 1))


def load_onnx(content: bytes, path: Path) -> tuple[Callable[[Tensor], Tensor], ModelInfo]:
    """Make a function from normalised images to logits of an ONNX file.

    Its header and checksum come first, then its graph is compared with them, and only then onnxruntime sees it.

    Raises:
        UserError: If onnx or onnxruntime is missing, or the file cut short, altered, of another version, no model, or its graph is
            none of a network's with such images and classes. The function: if the graph cannot be computed.
    """
    onnx, runtime = _needs("onnx"), _needs("onnxruntime")
    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # protobuf's errors have no common base with ours or Python's
        raise UserError(f"{path}: is damaged, or no model that rebnn_search exported") from None
    found = [entry.value for entry in model.metadata_props if entry.key == KEY]
    sealed = read_header({KEY: found[0]} if len(found) == 1 else {}, path)
    if hashlib.sha256(content.replace(sealed.digest.encode(), PLACEHOLDER.encode(), 1)).hexdigest() != sealed.digest:
        raise UserError(f"{path}: is damaged: its checksum does not match")
    info = sealed.header.info
    check_graph(onnx, model, info, path)
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime's errors have no common base
        raise UserError(f"{path}: onnxruntime cannot compute its graph") from None

    def logits(images: Tensor) -> Tensor:
        try:
            (found,) = session.run([LOGITS], {IMAGES: images.numpy()})
        except Exception as error:  # as above
            raise UserError(f"{path}: onnxruntime cannot compute its graph ({type(error).__name__})") from None
        return torch.from_numpy(found)

    return logits, info


def _without_origins(model: Any) -> Any:
    """Take from a graph the names of the source files and lines that it was made of: paths of this machine, most of the file."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
    return model


def _needs(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UserError(f"ONNX needs the package {package}: pip install 'rebnn-search[export]'") from None
