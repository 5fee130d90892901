"""A search's own run in MLflow: made before the first trial, with what the UI shows first and the metrics of the driver's machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rebnn_search.study.search import Search
from rebnn_search.tracking import Runs, Tracker, write_view
from rebnn_search.tracking.system import SystemMetrics

ABANDON_SECONDS = 5.0
"""How long the end of a search that failed waits for what is still to be sent of it."""


class ParentRun:
    """The parent run of a search, and the tracker by which it and the trials' runs are sent.

    Args:
        search: The resolved search.
        name: Of the search.
        uri: As `rebnn_search.tracking.check_uri` returned it.
        experiment: MLflow's, by name.
        search_id: Of the search, by which its runs are found again.
        begun: Whether the search had asked for a trial before. One that has not yet may end, or be killed, before it does: nobody
            would come back to its run, so that the first trial makes it.
    """

    def __init__(self, search: Search, name: str, uri: str, experiment: str, search_id: str, *, begun: bool) -> None:
        self._search, self._name, self._begun = search, name, begun
        self.uri, self.experiment = uri, experiment
        self._system = SystemMetrics(uri)
        self._search_id = search_id
        self.tracker = Tracker(self._connect)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Send nothing more of a search that ended in an error: its driver no longer holds it. One that ended well has closed it."""
        if error is not None:
            patient = isinstance(error, Exception) and not self.tracker.connecting
            self.tracker.close(ABANDON_SECONDS if patient else 0.0)

    def _connect(self) -> Runs:
        runs = Runs(self.uri, self.experiment, self._search_id)
        runs.check_files()
        if self._begun:
            self._open(runs)
        else:
            runs.check_writable()
        return runs

    def _open(self, runs: Runs) -> None:
        runs.ensure_parent(self._name, _params(self._search))
        _write_view(self._search, runs)

    def begin(self, runs: Runs) -> None:
        """Make the run and measure the machine: what a new search does before its first trial."""
        self._open(runs)
        self._system.start(runs)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the machine while trials train; from the first trial on, where there was none before."""
        if self._begun:
            self.tracker.do(self._system.start)
        try:
            yield
        finally:
            self._system.stop()


def _write_view(search: Search, runs: Runs) -> None:
    """Write what MLflow's UI shows first of a search, where it is taken."""
    objective = search.spec.objective
    space = {name: not parameter.when for name, parameter in search.space.parameters.items()}
    measured = [goal.name for goal in search.extras]
    write_view(
        runs.client, runs.experiment_id, runs.search_id, runs.parent_id, space, objective.metric, minimize=objective.minimize,
        measured=measured,
    )  # fmt: skip


def _params(search: Search) -> Mapping[str, str]:
    """What the parent run says of the search as parameters."""
    spec = search.spec
    goals = {"objectives": ", ".join(f"{goal.direction} {goal.name}" for goal in search.goals)} if len(search.goals) > 1 else {}
    limits = {"constraints": ", ".join(str(limit) for limit in search.limits)} if search.limits else {}
    return {
        "objective": f"{spec.objective.direction} {spec.objective.metric}",
        **goals,
        **limits,
        "sampler": spec.sampler.name,
        "pruner": spec.pruner.name,
        "sampler_seed": str(spec.sampler_seed),
        "space": ", ".join(search.space),
    }
