"""Size of the packed model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from rebnn_search.study.objectives.base import OBJECTIVES, MeasuredNetwork, MeasuredObjective

LENGTH_BYTES = 8
"""At the beginning of a safetensors file: how long its header is."""


@OBJECTIVES.register("bytes")
class Bytes(MeasuredObjective):
    """Bytes of the packed model: a bit for a binary weight, 32 for any other number; less is better.

    Args:
        of: ``weights`` counts what the network consists of; ``file`` also the header of the model file, some kB in which recipe and
            names of classes stand, and which therefore differ a little between configurations of one network.
    """

    static = True
    units: ClassVar[Mapping[str, float]] = {
        "": 1.0,
        "B": 1.0,
        "kB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
    }
    least = 0.0
    form = ",.0f"

    def __init__(self, of: Literal["weights", "file"] = "weights") -> None:
        self._of = of

    def heading(self, name: str) -> str:
        """Its name, and that of the file's."""
        return name if self._of == "weights" else f"{name} (file)"

    def measure(self, model: MeasuredNetwork) -> float:
        """The length of the file, without its header where that does not count."""
        header = LENGTH_BYTES + int.from_bytes(model.packed[:LENGTH_BYTES], "little")
        return float(len(model.packed) - (header if self._of == "weights" else 0))
