"""The contenders of inference.py, each for a process of its own."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rebnn_search.export import ModelInfo, load_model
from rebnn_search.export._engine import OpenVINO
from rebnn_search.export._lowering import lower, openvino

Compute = Callable[[torch.Tensor], Any]
"""From normalised images to logits."""


def by_torch(folder: Path, threads: int) -> Compute:
    """The network as every other format computes it."""
    return torch.inference_mode()(opened(folder / "packed")[0])


def by_onnxruntime(folder: Path, threads: int) -> Compute:
    """The ONNX file."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession((folder / "onnx").read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images.numpy()})


def on_bits(folder: Path, threads: int) -> Compute:
    """The OpenVINO file."""
    return OpenVINO(*opened(folder / "packed"))


class ByOpenVINO:
    """OpenVINO without bits: signs and weights as ±1 in float32, or what it takes for int8."""

    def __init__(self, network: nn.Module, threads: int, int8: bool = False) -> None:
        self._network, self._threads, self._int8 = network, threads, int8
        self._requests: dict[int, Any] = {}
        self.kernels: set[str] = set()

    def __call__(self, images: torch.Tensor) -> Any:
        """The logits."""
        if len(images) not in self._requests:
            self._requests[len(images)] = self._made(images.shape)
        request = self._requests[len(images)]
        request.get_input_tensor().data[...] = images.numpy()
        request.infer()
        return request.get_output_tensor().data.copy()

    def _made(self, shape: torch.Size) -> Any:
        graph = lower(self._network, shape, bits=False).model
        if self._int8:
            quantize(graph)
        settings = {
            "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self._threads,
            "ENABLE_CPU_PINNING": False,
        }  # fmt: skip
        compiled = openvino().Core().compile_model(graph, "CPU", settings)
        said = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
        self.kernels |= {
            info["primitiveType"].astype(str)
            for info in said
            if info["layerType"].astype(str) in ("Convolution", "FullyConnected")
        }
        return compiled.create_infer_request()


def quantize(graph: Any) -> None:
    """Tell OpenVINO that the inputs and weights of layers after a sign fit int8: ±1 and ±α, which it then computes exactly."""
    ops = importlib.import_module("openvino.opset14")
    for node in graph.get_ordered_ops():
        if node.get_type_name() not in ("Convolution", "MatMul") or node.input_value(0).get_node().get_type_name() != "Select":
            continue
        weight = node.input_value(1).get_node().get_data()
        limit = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True).astype(np.float32)
        weights = ops.fake_quantize(node.input_value(1), -limit, limit, -limit, limit, 255)
        low, high = np.float32(-1.28), np.float32(1.27)
        inputs = ops.fake_quantize(node.input_value(0), low, high, low, high, 256)
        node.input(0).replace_source_output(inputs.output(0))
        node.input(1).replace_source_output(weights.output(0))
    graph.validate_nodes_and_infer_types()


def opened(file: Path) -> tuple[nn.Module, ModelInfo]:
    """The network of a model file."""
    model = load_model(file, engine="torch")
    assert model.network is not None
    return model.network, model.info


def drawn(info: ModelInfo, batch: int) -> torch.Tensor:
    """Normalised images."""
    return torch.randn(batch, info.channels, info.image_size, info.image_size, generator=torch.Generator().manual_seed(0))


CONTENDERS: dict[str, Callable[[Path, int], Compute]] = {
    "torch": by_torch, "onnxruntime": by_onnxruntime, "openvino bits": on_bits,
    "openvino int8": lambda folder, threads: ByOpenVINO(opened(folder / "packed")[0], threads, int8=True),
    "openvino float32": lambda folder, threads: ByOpenVINO(opened(folder / "packed")[0], threads),
    "openvino real": lambda folder, threads: ByOpenVINO(opened(folder / "real")[0], threads),
}  # fmt: skip


def work(line: Connection, contender: str, threads: int) -> None:
    """Compute batches of so many images, for so many seconds, of the network in a folder, as often as asked."""
    torch.set_num_threads(threads)
    networks: dict[Path, Compute] = {}
    while True:
        try:
            folder, batch, seconds = line.recv()
        except EOFError:
            return
        if folder not in networks:
            networks[folder] = CONTENDERS[contender](folder, threads)
        compute, images, times = networks[folder], drawn(opened(folder / "packed")[1], batch), list[float]()
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            begin = time.perf_counter()
            compute(images)
            times.append(time.perf_counter() - begin)
        line.send((1000 * statistics.median(times), sorted(getattr(compute, "kernels", ()))))
