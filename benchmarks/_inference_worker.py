"""One contender of inference.py: says when it is ready, then computes logits for as many seconds as each line it reads says."""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rebnn_search.export import ModelInfo, load_model
from rebnn_search.export._engine import OpenVINO
from rebnn_search.export._lowering import lower, openvino

Ready = tuple[Callable[[], Any], dict[str, Any]]
"""What computes once, and what there is to say of it."""


def by_torch(folder: Path, batch: int, threads: int) -> Ready:
    """The network as every other format computes it."""
    model = load_model(folder / "packed")
    network = model.network
    assert network is not None
    images = drawn(model.info, batch)

    def compute() -> Any:
        with torch.inference_mode():
            return network(images)

    return compute, {}


def by_onnxruntime(folder: Path, batch: int, threads: int) -> Ready:
    """The ONNX file."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession((folder / "onnx").read_bytes(), options, providers=["CPUExecutionProvider"])
    images = drawn(load_model(folder / "packed").info, batch).numpy()
    return lambda: session.run(None, {"images": images}), {}


def on_bits(folder: Path, batch: int, threads: int) -> Ready:
    """The OpenVINO file."""
    model = load_model(folder / "packed")
    assert model.network is not None
    engine, images = OpenVINO(model.network, model.info), drawn(model.info, batch)
    return lambda: engine(images), {}


def by_openvino(folder: Path, batch: int, threads: int, file: str = "packed", int8: bool = False) -> Ready:
    """OpenVINO without bits: signs and weights as ±1 in float32, or what it takes for int8."""
    model = load_model(folder / file)
    assert model.network is not None
    images = drawn(model.info, batch)
    graph = lower(model.network, images.shape, bits=False).model
    if int8:
        quantize(graph)
    compiled = openvino().Core().compile_model(
        graph, "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads},
    )  # fmt: skip
    request, given = compiled.create_infer_request(), images.numpy()
    kinds = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kernels = {
        info["primitiveType"].astype(str)
        for info in kinds
        if info["layerType"].astype(str) in ("Convolution", "FullyConnected")
    }
    return lambda: request.infer([given], share_inputs=True), {"kernels": sorted(kernels)}


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


def drawn(info: ModelInfo, batch: int) -> torch.Tensor:
    """Normalised images."""
    return torch.randn(batch, info.channels, info.image_size, info.image_size, generator=torch.Generator().manual_seed(0))


CONTENDERS: dict[str, Callable[[Path, int, int], Ready]] = {
    "torch": by_torch, "onnxruntime": by_onnxruntime, "openvino bits": on_bits,
    "openvino int8": lambda folder, batch, threads: by_openvino(folder, batch, threads, int8=True),
    "openvino float32": by_openvino, "openvino real": lambda folder, batch, threads: by_openvino(folder, batch, threads, "real"),
}  # fmt: skip


def main() -> None:
    """Run the contender."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    compute, about = CONTENDERS[args.contender](args.folder, args.batch, args.threads)
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        times: list[float] = []
        end = time.perf_counter() + float(line)
        while not times or time.perf_counter() < end:
            begin = time.perf_counter()
            compute()
            times.append(time.perf_counter() - begin)
        print(json.dumps({"ms": 1000 * statistics.median(times)}), flush=True)


if __name__ == "__main__":
    main()
