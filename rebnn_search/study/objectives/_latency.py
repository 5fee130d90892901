"""Measured time of the exported model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from rebnn_search.export import FORMATS, load_model
from rebnn_search.export.timing import batch_milliseconds, one_thread
from rebnn_search.study.objectives.base import OBJECTIVES, MeasuredNetwork, MeasuredObjective


@OBJECTIVES.register("latency")
class Latency(MeasuredObjective):
    """Milliseconds that the exported model takes for a batch on the CPU: median, one thread, normalisation included; less is better.

    Measured where the trial was trained, beside whatever else runs there: no two measurements are alike, and what is learnt from them
    differs from run to run. A value that was reported is never measured again.

    Args:
        format: Of the model file. What computes it is what does so by default: OpenVINO where it is faster than torch.
        batch: Samples in the batch.
        repeats: Batches that are timed, after ten that are not.

    Raises:
        ValueError: If there is no such format, or a number is less than 1.
    """

    unit = "ms"
    units: ClassVar[Mapping[str, float]] = {"ms": 1.0, "us": 1e-3, "s": 1e3}
    least = 0.0
    form = ".3g"

    def __init__(self, format: str = "onnx", batch: int = 1, repeats: int = 50) -> None:  # noqa: A002 - as the option is called
        if format not in FORMATS:
            raise ValueError(FORMATS.unknown(format))
        for name, value in (("batch", batch), ("repeats", repeats)):
            if value < 1:
                raise ValueError(f"{name} = {value}: must be at least 1")
        self._format, self._batch, self._repeats = format, batch, repeats

    def check(self) -> None:
        """See that what the format needs is installed."""
        form = FORMATS[self._format]
        missing = [name for name in form.packages if find_spec(name) is None]
        if missing:
            raise ValueError(f"format {self._format} needs the package {missing[0]}: pip install 'rebnn-search[{form.extra}]'")

    def heading(self, name: str) -> str:
        """With the format, and the batch if it is one."""
        batch = f", batch of {self._batch}" if self._batch > 1 else ""
        return f"{name} (ms, {self._format}{batch})"

    def measure(self, model: MeasuredNetwork) -> float:
        """Export the model, load it as its users would, and time it."""
        with tempfile.TemporaryDirectory() as folder, one_thread():
            form = FORMATS[self._format]()
            path = Path(folder) / form.file
            form.write(model.network, model.info, path)
            return batch_milliseconds(load_model(path), self._batch, self._repeats)
