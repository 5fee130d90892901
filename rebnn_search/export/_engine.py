"""What computes a network's logits: torch, or OpenVINO on bits or in int8, where that is right and faster."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from time import perf_counter

import torch
from torch import Tensor, nn

from rebnn_search.config import Notice, UserError
from rebnn_search.export._info import ModelInfo
from rebnn_search.export._loaded import LoadedModel
from rebnn_search.export._lowering import Sums
from rebnn_search.export._openvino import SIZES, NoEngineError, OpenVINO

Compute = Callable[[Tensor], Tensor]
ENGINES = ("torch", "openvino", "auto")
"""What can be asked for."""
EXACT: Sequence[Sums] = ("bits", "int8")
"""What OpenVINO may compute binary layers in."""
PROBES = 4
LARGEST = 2**21
"""Numbers in an image that is computed on loading: what size they have is the file's to say."""
CLOSE = 1e-3
"""Of the largest logit: rounding is far below, what a wrong kernel computes far above."""
TURNS, SECONDS = 5, 0.5
"""To measure engines in: so often, or so long."""
LONGEST = 1.0
"""Seconds of a batch that is measured. What a longer one gains by being a batch is little: its images take long themselves."""


def checked(network: nn.Module, info: ModelInfo) -> list[OpenVINO]:
    """OpenVINO as a network's engine, in each of `EXACT` in which it computed what torch does for a few images.

    Raises:
        NoEngineError: If it does in none; the message is of the first.
    """
    if info.channels * info.image_size**2 > LARGEST:
        raise NoEngineError(f"images of {info.image_size} pixels a side are too large to be tried on loading")
    probes = _probes(info, PROBES)
    with torch.no_grad():
        expected = network(probes)
    found, errors = list[OpenVINO](), list[NoEngineError]()
    for sums in EXACT:
        try:
            found.append(_right(OpenVINO(network, info, sums), probes, expected))
        except NoEngineError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found


def _right(engine: OpenVINO, probes: Tensor, expected: Tensor) -> OpenVINO:
    try:
        found = engine(probes)
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


def fastest(engines: Sequence[OpenVINO], network: nn.Module, info: ModelInfo, *, at_all: bool = True) -> OpenVINO | None:
    """The fastest engine as measured here, on one image and on a batch if that takes torch no second.

    Args:
        engines: At least one.
        network: Which torch computes.
        info: Of the model.
        at_all: Return None if torch is faster than each of them, at one image or at a batch.
    """
    if len(engines) == 1 and not at_all:
        return engines[0]
    one = _probes(info, 1)
    seconds = [measured([network, *engines], one)]
    if seconds[0][0] * max(SIZES) <= LONGEST:
        seconds.append(measured([network, *engines], one.repeat(max(SIZES), 1, 1, 1)))
    ratios = [[of[index] / max(of[0], 1e-9) for of in seconds] for index in range(1, len(engines) + 1)]
    able = [index for index, of in enumerate(ratios) if not at_all or max(of) <= 1]
    return engines[min(able, key=lambda index: math.prod(ratios[index]))] if able else None


@torch.no_grad()
def measured(engines: Sequence[Compute], images: Tensor) -> list[float]:
    """The median seconds that each engine takes, measured in turn, `TURNS` times after a first or for `SECONDS`."""
    seconds: list[list[float]] = []
    start = perf_counter()
    for _ in range(TURNS + 1):
        seconds.append([])
        for compute in engines:
            begin = perf_counter()
            compute(images)
            seconds[-1].append(perf_counter() - begin)
        if perf_counter() - start > SECONDS:
            break
    return [statistics.median(of) for of in zip(*(seconds[1:] or seconds), strict=True)]  # the first warms up


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
        engines = checked(network, info)
    except NoEngineError as error:
        if engine == "openvino":
            raise UserError(f"{source}: {error}") from None
        warnings.warn(f"{source}: computed by torch: {error}", Notice, stacklevel=2)
        return LoadedModel(info, network, network, reason=str(error))
    found = fastest(engines, network, info, at_all=engine == "auto")
    if found is None:
        return LoadedModel(info, network, network, reason="torch is faster here")
    return LoadedModel(info, found, network, engine="openvino", sums=found.sums)
