"""What a search cost, from its record alone: the time its trials were at work, on how many cores and GPUs, and that of its runs."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

from optuna.trial import FrozenTrial

from rebnn_search.base.duration import duration_text
from rebnn_search.base.metrics import CORE_HOURS, GPU_HOURS, WALL_HOURS
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attempts import Attempt, read_attempts
from rebnn_search.study.attributes import PARAMS, TAKEN_UP
from rebnn_search.training.report_log import TrackedReport, read_reports

HOUR = 3600.0


@dataclass(frozen=True)
class Cost:
    """What a search cost so far.

    Attributes:
        trial_seconds: All attempts of all trials together, what was lost and trained again included.
        core_seconds: CPU cores that they held, times how long.
        gpu_seconds: GPUs, likewise.
        run_seconds: Wall time of each run of the search; of one that was killed, up to the last thing known of it.
    """

    trial_seconds: float
    core_seconds: float
    gpu_seconds: float
    run_seconds: list[float]

    @property
    def wall_seconds(self) -> float:
        """Wall time of all runs."""
        return sum(self.run_seconds)

    def text(self) -> str:
        """It in words."""
        gpus = f" and {self.gpu_seconds / HOUR:.3g} GPU-hours" if self.gpu_seconds else ""
        runs = f"{len(self.run_seconds)} run{'' if len(self.run_seconds) == 1 else 's'}"
        return f"{self.core_seconds / HOUR:.3g} core-hours{gpus}, in {runs} of {duration_text(self.wall_seconds)}"

    def metrics(self) -> dict[str, float]:
        """It as metrics of the search's run."""
        seconds = {CORE_HOURS: self.core_seconds, GPU_HOURS: self.gpu_seconds, WALL_HOURS: self.wall_seconds}
        return {name: value / HOUR for name, value in seconds.items()}

    def dump(self) -> dict[str, object]:
        """It as ``--json`` has it, in seconds."""
        return {**asdict(self), "wall_seconds": self.wall_seconds}


def cost_of(folder: SearchFolder, trials: Iterable[FrozenTrial], runs: Sequence[Mapping[str, Any]]) -> Cost:
    """What a search cost.

    Where an earlier version trained, which noted no attempts, the times of the reports tell (`seconds_spent`).

    Args:
        folder: The search's, which may still run.
        trials: Its record's.
        runs: What the record has of its runs.
    """
    runs = [run for run in runs if "started" in run]
    begun = [datetime.fromisoformat(str(run["started"])).timestamp() for run in runs]
    known = sorted(begun)
    total, cores, gpus = 0.0, 0.0, 0.0
    signs: list[float] = []
    for trial in trials:
        if PARAMS not in trial.user_attrs:
            continue
        attempts = read_attempts(folder.attempts_file(trial.number))
        whole = bool(attempts) and attempts[0].after == 0 and all(attempt.ended is not None for attempt in attempts)
        reports = [] if whole else read_reports(folder.report_file(trial.number))
        for seconds, attempt in _closed(attempts, reports):
            total, cores, gpus = total + seconds, cores + seconds * attempt.cores, gpus + seconds * attempt.gpus
            signs.append(attempt.began / 1000 + seconds)
        before = attempts[0].after if attempts else None
        older = [report for report in reports if before is None or report.step <= before]
        if older:
            seconds, (held, held_gpus) = seconds_spent(trial, older, known)[-1], _held(runs, known, older)
            total, cores, gpus = total + seconds, cores + seconds * held, gpus + seconds * held_gpus
            signs += [report.timestamp / 1000 for report in older]
    signs.sort()
    ends = [(datetime.fromisoformat(str(run["ended"])).timestamp() if "ended" in run else None) for run in runs]
    following = [*known[1:], float("inf")][: len(known)]
    walls = [
        max(0.0, (_last(signs, start, after) if end is None else end) - start)
        for start, after, end in zip(begun, following, ends, strict=True)
    ]
    return Cost(round(total, 3), round(cores, 3), round(gpus, 3), [round(wall, 3) for wall in walls])


def _closed(attempts: Sequence[Attempt], reports: Sequence[TrackedReport]) -> Iterable[tuple[float, Attempt]]:
    """Seconds of each attempt. One whose end nobody noted ended with the last report before the next one began."""
    following = [*(attempt.began for attempt in attempts[1:]), None]
    for attempt, until in zip(attempts, following, strict=False):
        end = attempt.ended
        if end is None:
            mine = [r.timestamp for r in reports if r.step > attempt.after and (until is None or r.timestamp <= until)]
            end = max(mine, default=attempt.began)
        yield max(0, end - attempt.began) / 1000, attempt


def _held(runs: Sequence[Mapping[str, Any]], begun: Sequence[float], reports: Sequence[TrackedReport]) -> tuple[float, float]:
    """Cores and GPUs of a trial in the run that made its first report."""
    place = max(0, bisect_right(begun, reports[0].timestamp / 1000) - 1)
    resources = runs[place].get("resources", {}) if runs else {}
    workers = resources.get("workers_per_trial", 1)
    return workers * resources.get("cpus_per_worker", 1), workers * resources.get("gpus_per_worker", 0.0)


def _last(signs: Sequence[float], start: float, after: float) -> float:
    """The last sign of life between two runs' beginnings."""
    place = bisect_left(signs, after)
    return max(start, signs[place - 1]) if place else start


def seconds_spent(trial: FrozenTrial, reports: Sequence[TrackedReport], runs: Sequence[float]) -> list[float]:
    """Seconds of training up to each report, by the reports' times and when the trial was begun.

    The time until a worker took the trial up is included. Where the search was stopped between two reports, or the trial waited, the
    trial's median between two reports stands for that gap.

    Args:
        trial: Of the record.
        reports: Its reports, at least one.
        runs: When each run of the search began, in seconds since 1970.
    """
    begun = trial.datetime_start
    times = [report.timestamp / 1000 for report in reports]
    ends = [times[0] if begun is None else min(begun.timestamp(), times[0]), *times]
    steps = [0, *(report.step for report in reports)]
    waited = set(trial.user_attrs.get(TAKEN_UP, ()))
    gaps = [
        step in waited or any(before < run <= after for run in runs)
        for step, (before, after) in zip(steps, pairwise(ends), strict=False)
    ]
    spans = [after - before for before, after in pairwise(ends)]
    sound = [span for span, gap in zip(spans, gaps, strict=True) if not gap]
    usual = median(sound) if sound else 0.0
    total, spent = 0.0, []
    for span, gap in zip(spans, gaps, strict=True):
        total += usual if gap else span
        spent.append(round(total, 3))  # timestamps are in milliseconds
    return spent
