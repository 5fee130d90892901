"""What computes a network's logits: torch, or OpenVINO on bits where that is right and faster."""

from __future__ import annotations

import functools
import statistics
import threading
import warnings
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from rebnn_search.config import Notice, UserError
from rebnn_search.export._info import ModelInfo
from rebnn_search.export._loaded import LoadedModel
from rebnn_search.export._lowering import CannotLowerError, lower, openvino

Compute = Callable[[Tensor], Tensor]
ENGINES = ("torch", "openvino", "auto")
"""What can be asked for."""
KERNELS = ("jit_avx2", "jit_avx512")
"""How OpenVINO calls its binary convolutions for bits. Its one for SSE 4.2 does not run, its reference one is slow."""
SIZES = (32, 1)
"""Images that are computed at once: a graph of binary convolutions is of one batch size."""
PROBES = 4
LARGEST = 2**21
"""Numbers in an image that is computed on loading: what size they have is the file's to say."""
CLOSE = 1e-3
"""Of the largest logit: rounding is far below, what a wrong kernel computes far above."""
TURNS, SECONDS = 5, 0.5
"""To measure an engine in: so often, or so long."""
LONGEST = 1.0
"""Seconds of a batch that is measured. What a longer one gains by being a batch is little: its images take long themselves."""


class NoEngineError(Exception):
    """OpenVINO cannot compute a network here; the message says why."""


class _Request:
    """A compiled model with memory of its own for images and logits: to hand over arrays takes longer than a small network.

    Args:
        compiled: The model, with one input and one output.
    """

    def __init__(self, compiled: Any) -> None:
        request = compiled.create_infer_request()
        self.infer: Callable[[], Any] = request.infer
        self.images, self.logits = request.get_input_tensor().data, request.get_output_tensor().data


def openvino_core() -> Any:
    """The process's one core of OpenVINO, made at the first call.

    Each core gives the thread that makes it a stack for signals and unmaps it at its end. Of several that do not end in the reverse
    order one leaves the thread a stack that is gone (OpenVINO 2026.4), and the next signal with a handler, of a child's end say, ends
    the process.

    Raises:
        ImportError: If OpenVINO is not installed.
    """
    return _core(openvino())


@functools.cache
def _core(module: Any) -> Any:
    return module.Core()


class OpenVINO:
    """Computes a network's logits by OpenVINO, in float32 but for the binary layers, whose sums are exact.

    Called with normalised images (n, C, H, W) float32, any n, from any thread; as many threads of its own as torch has.

    Args:
        network: In evaluation mode, its binary layers with the weights that they use.
        info: Of the model.

    Raises:
        NoEngineError: If it is not installed, this processor has no kernel for bits, or the network no place in a graph.
    """

    def __init__(self, network: nn.Module, info: ModelInfo) -> None:
        self._network, self._info = network, info
        try:
            self._core = openvino_core()
        except ImportError:
            raise NoEngineError("OpenVINO is not installed: pip install 'rebnn-search[openvino]'") from None
        self._compiled: dict[int, Any] = {}
        self._lock, self._local = threading.Lock(), threading.local()
        self._request(1)

    def __call__(self, images: Tensor) -> Tensor:
        """The logits (n, classes).

        Raises:
            UserError: If they cannot be computed: there is not the memory.
        """
        try:
            return self._infer(images) if len(images) in SIZES else torch.cat([self._infer(part) for part in _parts(images)])
        except (NoEngineError, RuntimeError) as error:
            raise UserError(f"OpenVINO cannot compute {len(images)} images ({type(error).__name__})") from None

    def _infer(self, images: Tensor) -> Tensor:
        request = self._request(len(images))
        request.images[...] = images.numpy()
        request.infer()
        return torch.from_numpy(request.logits.copy())

    def _request(self, size: int) -> _Request:
        """The request of this thread for so many images."""
        requests: dict[str, _Request] = self._local.__dict__
        if (found := requests.get(f"{size}")) is None:
            with self._lock:
                if size not in self._compiled:
                    self._compiled[size] = self._made(size)
            found = requests[f"{size}"] = _Request(self._compiled[size])
        return found

    def _made(self, size: int) -> Any:
        shape = (size, self._info.channels, self._info.image_size, self._info.image_size)
        try:
            lowered = lower(self._network, shape)
        except CannotLowerError as error:
            raise NoEngineError(f"OpenVINO cannot compute this network: {error}") from None
        except Exception as error:  # a user's network may do anything, and OpenVINO's errors have no common base
            raise NoEngineError(f"OpenVINO cannot compute this network ({type(error).__name__})") from None
        if not lowered.binary:
            raise NoEngineError(f"no layer can be computed on bits: {next(iter(lowered.real.values()), 'none is binary')}")
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # else all processes that compute at once share the first cores
        }
        try:
            compiled = self._core.compile_model(lowered.model, "CPU", settings)
            kernels = list(binary_kernels(compiled))
        except Exception as error:  # as above
            raise NoEngineError(f"OpenVINO cannot compute this network ({type(error).__name__})") from None
        if len(kernels) != len(lowered.binary) or not all(kernel.startswith(KERNELS) for kernel in kernels):
            raise NoEngineError("OpenVINO has no kernel for bits on this processor")
        return compiled


def binary_kernels(compiled: Any) -> Iterator[str]:
    """What OpenVINO calls the kernel of each binary convolution of a compiled model."""
    for node in compiled.get_runtime_model().get_ops():
        said = node.get_rt_info()
        if "layerType" in said and said["layerType"].astype(str) == "BinaryConvolution":
            yield said["primitiveType"].astype(str)


def _parts(images: Tensor) -> list[Tensor]:
    """Images in parts of the sizes that there are graphs for."""
    parts, begin = [], 0
    for size in SIZES:
        while len(images) - begin >= size:
            parts.append(images[begin : begin + size])
            begin += size
    return parts


def checked(network: nn.Module, info: ModelInfo) -> OpenVINO:
    """OpenVINO as a network's engine, having computed what torch does for a few images.

    Raises:
        NoEngineError: If it cannot, or does not.
    """
    if info.channels * info.image_size**2 > LARGEST:
        raise NoEngineError(f"images of {info.image_size} pixels a side are too large to be tried on loading")
    engine = OpenVINO(network, info)
    probes = _probes(info, PROBES)
    try:
        with torch.no_grad():
            expected, found = network(probes), engine(probes)
    except UserError as error:
        raise NoEngineError(str(error)) from None
    # Rounding may turn the sign of what is nearly zero, and with it an image's logits, but not those of all.
    if found.shape != expected.shape or not _close(found, expected).any():
        raise NoEngineError("OpenVINO computes other logits than torch here")
    return engine


def _close(found: Tensor, expected: Tensor) -> Tensor:
    return (found - expected).abs().amax(1) <= CLOSE * expected.abs().amax().clamp(min=1e-30)


def _probes(info: ModelInfo, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, info.channels, info.image_size, info.image_size, generator=generator)


def faster(network: nn.Module, info: ModelInfo, engine: Compute) -> bool:
    """Whether an engine is no slower than torch, measured here: on one image, and on a batch that takes torch no second."""
    alone, seconds = measured(engine, network, _probes(info, 1))
    if alone > 1 or seconds * max(SIZES) > LONGEST:
        return alone <= 1
    return measured(engine, network, _probes(info, 1).repeat(max(SIZES), 1, 1, 1))[0] <= 1


@torch.no_grad()
def measured(first: Compute, second: Compute, images: Tensor) -> tuple[float, float]:
    """The median of the ratios of two engines' times, in turn, and that of the second's seconds.

    They are measured `TURNS` times after a first, or for `SECONDS`.
    """
    ratios: list[float] = []
    seconds: list[float] = []
    start = perf_counter()
    for _ in range(TURNS + 1):
        times = []
        for compute in (first, second):
            begin = perf_counter()
            compute(images)
            times.append(perf_counter() - begin)
        seconds.append(times[1])
        ratios.append(times[0] / max(times[1], 1e-9))
        if perf_counter() - start > SECONDS:
            break
    return statistics.median(ratios[1:] or ratios), statistics.median(seconds[1:] or seconds)  # the first warms up


def with_engine(model: LoadedModel, engine: str, source: str) -> LoadedModel:
    """A model computed by another engine.

    Args:
        model: As read from its file.
        engine: Of `ENGINES`.
        source: The file, for messages.

    Raises:
        UserError: If the file holds no network, or the engine is ``openvino`` and cannot compute it.
    """
    network, info = model.network, model.info
    if network is None:
        raise UserError(f"{source}: is computed by {model.engine} alone: it holds a graph and no network")
    if engine == "torch":
        return model
    try:
        compute = checked(network, info)
    except NoEngineError as error:
        if engine == "openvino":
            raise UserError(f"{source}: {error}") from None
        warnings.warn(f"{source}: computed by torch: {error}", Notice, stacklevel=2)
        return LoadedModel(info, network, network, reason=str(error))
    if engine == "auto" and not faster(network, info, compute):
        return LoadedModel(info, network, network, reason="torch is faster here")
    return LoadedModel(info, compute, network, engine="openvino")
