"""The contenders of inference.py, each for a process of its own."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rebnn_search.export import ModelInfo, load_model
from rebnn_search.export._lowering import Sums
from rebnn_search.export._openvino import OpenVINO

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


def by_openvino(sums: Sums, file: str = "packed") -> Callable[[Path, int], Compute]:
    """OpenVINO, with binary layers' sums in one of its ways."""
    return lambda folder, threads: OpenVINO(*opened(folder / file), sums)


def opened(file: Path) -> tuple[nn.Module, ModelInfo]:
    """The network of a model file."""
    model = load_model(file, engine="torch")
    assert model.network is not None
    return model.network, model.info


def drawn(info: ModelInfo, batch: int) -> torch.Tensor:
    """Normalised images."""
    return torch.randn(batch, info.channels, info.image_size, info.image_size, generator=torch.Generator().manual_seed(0))


CONTENDERS: dict[str, Callable[[Path, int], Compute]] = {
    "torch": by_torch, "onnxruntime": by_onnxruntime, "openvino bits": by_openvino("bits"), "openvino int8": by_openvino("int8"),
    "openvino float32": by_openvino("float32"), "openvino real": by_openvino("float32", "real"),
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
