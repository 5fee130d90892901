"""What is found out of the chosen network, as it is kept beside the report: a page drawn elsewhere has it from there."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from rebnn_search.config import Strict

if TYPE_CHECKING:
    import numpy as np

EVALUATION_FILE = "evaluation.json"
VERSION = 1


class Contender(Strict):
    """A configuration that was compared over the same validation samples.

    Attributes:
        number: Of its best trial.
        name: What it is called.
        mean: The objective over those samples, mean over its seeds.
        first: Share of the resamples in which it is the best.
        behind: How much worse than the chosen it is, less being better.
        low, high: The 95 % interval of that.
    """

    number: int
    name: str
    mean: float
    first: float
    behind: float
    low: float
    high: float


class Reliability(Strict):
    """The calibration of the most probable class: `rebnn_search.report.statistics.Calibration`."""

    counts: list[int]
    confidence: list[float]
    accuracy: list[float]
    error: float
    chance: float


class Mistake(Strict):
    """A sample that the network is most wrong about.

    Attributes:
        index: In the validation split, from 0.
        label: Index of its class.
        predicted: Index of the class that it is taken for.
        probability: What the network gives that.
        own: What it gives the right one.
        shape: (height, width, channels) of the picture; empty of a table's row.
        pixels: The picture's bytes in base64.
        row: Columns and values of a table's row.
    """

    index: int
    label: int
    predicted: int
    probability: float
    own: float
    shape: list[int]
    pixels: str
    row: dict[str, str]

    def picture(self) -> np.ndarray[Any, Any]:
        """The picture (height, width, channels) uint8."""
        import numpy as np

        return np.frombuffer(base64.b64decode(self.pixels), dtype=np.uint8).reshape(self.shape)


class BatchTime(Strict):
    """Milliseconds, median, of a batch on one thread, and what computed it (`rebnn_search.export.LoadedModel`)."""

    engine: str
    batch: int
    milliseconds: float
    sums: str = "float32"


class Evaluation(Strict):
    """What is known of the chosen network.

    Attributes:
        trial: Its number.
        samples: So many validation samples were computed, drawn at random where they are not all.
        split: So many there are.
        classes: Their names.
        compared: Samples that the contenders were compared over; 0 where they were not.
        contenders: The chosen first, then those next to it, and γ = 0 where there is one.
        missing: Those that were to be compared and could not be, each with why.
        not_compared: Why none was, where there are none.
        correct, total: By class.
        confusion: Of each true class (row) how many are taken for which; None of more classes than a picture has room for.
        confused: Pairs of classes with how often the first was taken for the second, most frequent first.
        reliability: Calibration.
        mistakes: What it is most wrong about, worst first.
        packed: Bytes of the packed model file.
        float32: Bytes of the same numbers, 32 bits each.
        latencies: Of the model.
        seconds: That all of this took.
    """

    version: int = VERSION
    trial: int
    samples: int
    split: int
    classes: list[str]
    compared: int
    contenders: list[Contender]
    missing: list[str] = Field(default_factory=list)
    not_compared: str | None
    correct: list[int]
    total: list[int]
    confusion: list[list[int]] | None
    confused: list[list[int]]
    reliability: Reliability
    mistakes: list[Mistake]
    packed: int
    float32: int
    latencies: list[BatchTime]
    seconds: float

    def dump(self) -> str:
        """As JSON."""
        return self.model_dump_json(indent=None)


def read_evaluation(text: str, trial: int) -> Evaluation | None:
    """Read what `Evaluation.dump` gave; None if it is of another version or trial."""
    try:
        found = Evaluation.model_validate_json(text)
    except (ValidationError, ValueError):
        return None
    return found if found.version == VERSION and found.trial == trial else None
