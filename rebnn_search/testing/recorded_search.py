"""A search as tracking would show it, made up: what checks of the report's parts are given."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from rebnn_search.base.metrics import EPOCHS, REPORTS, TRAIN_LOSS, VAL_LOSS, VAL_TOP1, VAL_TOP5, final, oscillation_name
from rebnn_search.report.record import BatchTime, Contender, Evaluation, Mistake, Reliability
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial
from rebnn_search.study.search import restore_search
from rebnn_search.training.latent import BINS

RECIPE: Mapping[str, Any] = {
    "data": {"name": "digits"}, "network": {"name": "digits_resnet"}, "optimizer": {"name": "adam", "lr": 0.01}, "epochs": 4,
}  # fmt: skip
SPACE: Mapping[str, Any] = {
    "weights": {"choice": ["rebnn", "reactnet", "recu"]},
    "gamma.strategy": {"choice": ["flip_ratio", "constant"], "when": {"weights": "rebnn"}},
    "gamma.value": {"choice": [0.0, 0.01], "when": {"gamma.strategy": "constant"}},
    "optimizer.lr": {"log_uniform": [0.001, 0.1]},
}
METHODS: Sequence[Mapping[str, Any]] = (
    {"weights": "rebnn", "gamma.strategy": "flip_ratio"},
    {"weights": "rebnn", "gamma.strategy": "constant", "gamma.value": 0.0},
    {"weights": "reactnet"},
    {"weights": "recu"},
)
ALL_STATES = (*["COMPLETE"] * 8, *["PRUNED"] * 3, "FAIL", "RUNNING")
"""Of a search that has trials of every kind."""
FEW_STATES: Sequence[Sequence[str]] = ((), ("FAIL",), ("PRUNED",), ("COMPLETE",), ("RUNNING",))
"""Of searches that have next to nothing."""
STEPS = 4
BYTES, MOST_BYTES = "bytes", 1600


class RecordedSearch(TrackedSearch):
    """A search as tracking would show it, out of memory.

    Args:
        states: Of its trials, in their order.
    """

    def __init__(self, states: Sequence[str]) -> None:
        self.name, self.uri = "recorded", ""
        goals = {"objectives": [VAL_LOSS, BYTES], "constraints": {BYTES: f"<= {MOST_BYTES}"}, "pruner": "median"}
        data = {"recipe": dict(RECIPE), "space": dict(SPACE), "fixed": [], "trials": max(1, len(states)), **goals}
        self.search = restore_search(data)
        self.trials = [self._recorded(number, state) for number, state in enumerate(states)]
        complete = [number for number, state in enumerate(states) if state == "COMPLETE"]
        self.evaluation = _evaluation(complete) if complete else None
        self.not_evaluated = "it was made up"
        self.parent: Any = SimpleNamespace(  # of MLflow's run that much is looked at
            info=SimpleNamespace(run_id="parent", experiment_id="0"),
            data=SimpleNamespace(metrics={}, tags={"state": "FINISHED"}),
        )

    def _recorded(self, number: int, state: str) -> TrackedTrial:
        steps = STEPS if state == "COMPLETE" else 2
        metrics = {name: _value(number, name, steps) for name in SERIES}
        metrics |= {final(name): value for name, value in metrics.items()}
        metrics[final(BYTES)] = 1000.0 + 100 * number
        metrics |= {final(EPOCHS): float(steps), final(REPORTS): float(steps)}
        params = {**METHODS[number % len(METHODS)], "optimizer.lr": 0.002 * (1 + number)}
        start = 1_700_000_000_000 + 60_000 * number
        return TrackedTrial(
            number=number, name=f"trial {number}", run_id=str(number), state=state, reason=None, params=params,
            configuration=number, seed=None, metrics=metrics, start=start, end=start + 50_000,
        )  # fmt: skip

    def series(self, trial: TrackedTrial, metric: str) -> list[tuple[int, float]]:
        """A curve that falls."""
        steps = STEPS if trial.state == "COMPLETE" else 2
        return [(step, _value(trial.number, metric, step)) for step in range(1, steps + 1)] if metric in SERIES else []

    def artifact(self, run_id: str, name: str) -> str | None:
        """None."""
        return None

    def latent(self, trial: TrackedTrial) -> dict[str, Any] | None:
        """A histogram at the start and one at the end."""
        counts = [1 + abs(BINS // 2 - place) % 7 for place in range(BINS)]
        return {"unit": 0.1, "counts": {"0": counts, str(STEPS): counts[::-1]}}


def _evaluation(numbers: Sequence[int]) -> Evaluation:
    """Of two classes, with a mistake in each; the trials are contenders, of which there are none where there is one trial."""
    pixels = base64.b64encode(bytes(range(0, 256, 4))).decode("ascii")
    contenders = [
        Contender(
            number=number, name=f"#{number}", mean=0.5 + 0.1 * place, first=1 / len(numbers), behind=0.1 * place,
            low=0.1 * place - 0.15 * (place > 0), high=0.2 * place,
        )
        for place, number in enumerate(numbers)
    ]  # fmt: skip
    mistakes = [
        Mistake(index=place, label=place, predicted=1 - place, probability=0.9, own=0.1, shape=[8, 8, 1], pixels=pixels, row={})
        for place in range(2)
    ]
    return Evaluation(
        trial=numbers[0], samples=20, split=20, classes=["cat", "dog"], compared=20,
        contenders=contenders if len(numbers) > 1 else [], not_compared=None, correct=[9, 9], total=[10, 10],
        confusion=[[9, 1], [1, 9]], confused=[[0, 1, 1], [1, 0, 1]],
        reliability=Reliability(counts=[0, 20], confidence=[0.0, 0.85], accuracy=[0.0, 0.9], error=0.05, chance=0.1),
        mistakes=mistakes, packed=1000, float32=20_000,
        latencies=[BatchTime(engine="torch", batch=1, milliseconds=1.0)], seconds=1.0,
    )  # fmt: skip


RATIOS = ("sequential_oscillation_ratio", "flip_ratio")
OSCILLATION = tuple(oscillation_name(f"layer_{layer:02d}/{ratio}") for layer in range(3) for ratio in RATIOS)
SERIES = (TRAIN_LOSS, VAL_LOSS, VAL_TOP1, VAL_TOP5, *OSCILLATION)


def _value(number: int, metric: str, step: int) -> float:
    noise = int(hashlib.sha256(f"{number}:{metric}".encode()).hexdigest()[:4], 16) / 2**16
    return (1 + noise) / (1 + step)
