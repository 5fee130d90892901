"""OpenVINO as what computes a network's logits."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Container, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rebnn_search.config import UserError
from rebnn_search.export._info import ModelInfo
from rebnn_search.export._lowering import CannotLowerError, Sums, lower, openvino

KERNELS = ("jit_avx2", "jit_avx512")
"""How OpenVINO calls its binary convolutions for bits. Its one for SSE 4.2 does not run, its reference one is slow."""
SIZES = (32, 1)
"""Images that are computed at once: a graph of binary convolutions is of one batch size."""


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
        sums: What binary layers are computed in: ``bits``, or ``int8`` where the processor is good at that, else float32.

    Raises:
        NoEngineError: If it is not installed, this processor has no kernel for bits, or the network no place in a graph.
    """

    def __init__(self, network: nn.Module, info: ModelInfo, sums: Sums = "bits") -> None:
        self._network, self._info, self.sums = network, info, sums
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

    @property
    def kernels(self) -> set[str]:
        """What OpenVINO calls the kernels of the layers that multiply."""
        kinds = ("Convolution", "FullyConnected", "BinaryConvolution")
        return {kernel for compiled in list(self._compiled.values()) for kernel in kernels(compiled, kinds)}

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
            lowered = lower(self._network, shape, self.sums)
        except CannotLowerError as error:
            raise NoEngineError(f"OpenVINO cannot compute this network: {error}") from None
        except Exception as error:  # a user's network may do anything, and OpenVINO's errors have no common base
            raise NoEngineError(f"OpenVINO cannot compute this network ({type(error).__name__})") from None
        if not lowered.binary and self.sums != "float32":
            why = next(iter(lowered.real.values()), "none is binary")
            raise NoEngineError(f"no layer can be computed {'on bits' if self.sums == 'bits' else 'in int8'}: {why}")
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,  # else all processes that compute at once share the first cores
        }
        try:
            compiled = self._core.compile_model(lowered.model, "CPU", settings)
            binary = list(kernels(compiled, ("BinaryConvolution",)))
        except Exception as error:  # as above
            raise NoEngineError(f"OpenVINO cannot compute this network ({type(error).__name__})") from None
        if self.sums == "bits" and (
            len(binary) != len(lowered.binary) or not all(kernel.startswith(KERNELS) for kernel in binary)
        ):
            raise NoEngineError("OpenVINO has no kernel for bits on this processor")
        return compiled


def kernels(compiled: Any, layers: Container[str]) -> Iterator[str]:
    """What OpenVINO calls the kernel of each layer of some types in a compiled model."""
    for node in compiled.get_runtime_model().get_ops():
        said = node.get_rt_info()
        if "layerType" in said and said["layerType"].astype(str) in layers:
            yield said["primitiveType"].astype(str)


def _parts(images: Tensor) -> list[Tensor]:
    """Images in parts of the sizes that there are graphs for."""
    parts, begin = [], 0
    for size in SIZES:
        while len(images) - begin >= size:
            parts.append(images[begin : begin + size])
            begin += size
    return parts
