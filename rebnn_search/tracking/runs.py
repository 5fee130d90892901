"""The runs of one search in MLflow, each made once however often it is asked for."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.tracking.client import artifact_location, make_client

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

SEARCH_TAG = "rebnn_search.search"
"""Tag with the search's identity, on the parent and every child."""
TRIAL_TAG = "rebnn_search.trial"
"""Tag with the trial's number, on children alone."""
STATE_TAG = "state"
"""Tag with the state: of a trial as the study has it, of a search RUNNING, INTERRUPTED or FINISHED."""
CONFIGURATION_TAG = "configuration"
"""Tag with the number of a trial's configuration, where configurations have several seeds."""
SEED_TAG = "seed"
"""Tag with a trial's seed, likewise."""
LAST_TAG = "rebnn_search.last_report"
"""Tag of an ended run with the step and the time of the trial's last report: by it one knows whether it tells of the same ones."""
OPENED_TAG = "rebnn_search.opened"
"""Tag with the time, in milliseconds since 1970, of the search's last run on the parent, of a search's first on the experiment."""
NOTE_TAG = "mlflow.note.content"
"""Tag that the UI shows as a run's description, in Markdown."""
PARENT_TAG = "mlflow.parentRunId"
KIND_TAG = "mlflow.experimentKind"
"""Tag by which the UI knows an experiment of trained models from one of language model traces."""
BATCH = 1000
"""Most metrics, and PARAM_BATCH params, that MLflow takes in one call."""
PARAM_BATCH = 100
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED", "FINISHED": "FINISHED", "INTERRUPTED": "KILLED"}
"""MLflow's status of a run in each state."""


class Stamped(Protocol):
    """A report, as far as it can be told from another."""

    @property
    def step(self) -> int:
        """Its place among the reports, from 1."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970."""


def last_report(reports: Sequence[Stamped]) -> str:
    """What `LAST_TAG` says of a trial with these reports."""
    return f"{reports[-1].step} at {reports[-1].timestamp}" if reports else "none"


@dataclass(frozen=True)
class Point:
    """All metrics of one report. The same point sent twice is one point: MLflow compares time, step and value."""

    step: int
    timestamp: int
    metrics: Mapping[str, float]


class Runs:
    """Parent and child runs of one search.

    Args:
        uri: Tracking URI.
        experiment: Name of the MLflow experiment; made if it is not there.
        search_id: The search's identity, which the ledger keeps.
    """

    def __init__(self, uri: str, experiment: str, search_id: str) -> None:
        self.client = make_client(uri, write=True)
        self.search_id = search_id
        self.experiment_id = self._experiment(experiment, artifact_location(uri))
        self.parent_id: str = ""
        self._begin()

    def _begin(self) -> None:
        """Find the runs that there are. Whatever else is known of them, of a search's or a refit's, begins here."""
        self.children: dict[int, str] = {}
        self.doubles: list[str] = []
        """Runs to be put away: another run of the same trial, or of the search, is kept, or will be made."""
        self._unheard: set[int | None] = set()
        """Trials for which a run was asked for without an answer: it may have been made. None stands for the parent."""
        self._find()

    def _experiment(self, name: str, location: str | None) -> str:
        """The id of an experiment, made if it is not there."""
        from mlflow.exceptions import MlflowException  # as make_client: seconds to import

        found = self.client.get_experiment_by_name(name)
        if found is None:
            tags = {KIND_TAG: "custom_model_development"}
            try:
                made: str = self.client.create_experiment(name, artifact_location=location, tags=tags)
                return made
            except MlflowException:  # another search made it at the same moment
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _find(self) -> None:
        found: dict[int | None, list[Run]] = {}
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], f"tags.`{SEARCH_TAG}` = '{self.search_id}'", max_results=1000, page_token=token
            )
            for run in page:
                number = run.data.tags.get(TRIAL_TAG)
                found.setdefault(None if number is None else int(number), []).append(run)
            token = page.token
            if not token:
                break
        self.doubles = []
        for key, runs in found.items():
            kept = self._kept(runs)
            if key is None:
                self.parent_id = kept
            else:
                self.children[key] = kept

    def _kept(self, runs: Iterable[Run]) -> str:
        """Of several runs of one thing the one that stays: a driver slept while it made one, or MLflow's client tried twice."""
        kept, *others = sorted(runs, key=_order)
        self.doubles += [run.info.run_id for run in others]
        return str(kept.info.run_id)

    def ensure_parent(self, name: str, params: Mapping[str, object]) -> str:
        """Return the parent run, made if it is not there; it is RUNNING again from now."""
        if not self.parent_id and None in self._unheard:
            self._find()
        if not self.parent_id:
            self._unheard.add(None)
            tags = {SEARCH_TAG: self.search_id, STATE_TAG: "RUNNING"}
            self.parent_id = self.client.create_run(self.experiment_id, tags=tags, run_name=name).info.run_id
        self._unheard.discard(None)
        self._params(self.parent_id, params)
        self._reopen(self.parent_id)
        # A write whatever stood there: a database that can only be read is found here, before anything is trained.
        self.client.set_tag(self.parent_id, OPENED_TAG, str(_now()))
        return self.parent_id

    def check_writable(self) -> None:
        """Write something though there is no run yet, for the same reason.

        Raises:
            Exception: MLflow's, if it cannot be written.
        """
        self.client.set_experiment_tag(self.experiment_id, OPENED_TAG, str(_now()))

    def check_files(self) -> None:
        """Write a file to where the experiment keeps those of its runs, and remove it: what cannot be would hold everything up.

        Raises:
            UserError: If it cannot be written; the message says where.
        """
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        location, uri = self.client.get_experiment(self.experiment_id).artifact_location, self.client.tracking_uri
        with TemporaryDirectory() as folder:
            probe = Path(folder) / f"opened-{uuid.uuid4().hex}"
            probe.touch()
            try:
                store = get_artifact_repository(location, tracking_uri=uri)
                store.log_artifact(str(probe))
            except Exception as error:  # MLflow's, or the store's client's own; or that is not installed
                reason = hide_secrets(f"{type(error).__name__}: {error}".splitlines()[0])
                raise UserError(
                    f"--tracking-uri {hide_secrets(uri)}: files cannot be kept at {hide_secrets(location)}, as its experiment says: "
                    f"{reason}"
                ) from error
            with suppress(Exception):  # not every store can remove; an empty file is in nobody's way
                store.delete_artifacts(probe.name)

    def ensure_child(self, number: int, name: str, params: Mapping[str, object], tags: Mapping[str, str] | None = None) -> str:
        """Return the run of a trial, made if it is not there; it is RUNNING again from now."""
        if number not in self.children:
            self._make_child(number, name, tags or {})
        else:
            self._reopen(self.children[number])
        self._params(self.children[number], params)
        return self.children[number]

    def _make_child(self, number: int, name: str, tags: Mapping[str, str]) -> None:
        if number in self._unheard:
            self._find()
        if number not in self.children:
            self._unheard.add(number)
            run = self.client.create_run(
                self.experiment_id, start_time=_now(), tags={**tags, **self.own_tags(number)}, run_name=name
            )
            self.children[number] = run.info.run_id
        self._unheard.discard(number)

    def own_tags(self, number: int) -> dict[str, str]:
        """The tags by which the run of a trial is found again, and its first state."""
        return {SEARCH_TAG: self.search_id, TRIAL_TAG: str(number), STATE_TAG: "RUNNING", PARENT_TAG: self.parent_id}

    def _reopen(self, run_id: str) -> None:
        if self.client.get_run(run_id).info.status != "RUNNING":
            self.client.update_run(run_id, status="RUNNING")
            self.client.set_tag(run_id, STATE_TAG, "RUNNING")

    def _params(self, run_id: str, params: Mapping[str, object]) -> None:
        from mlflow.entities import Param

        known = self.client.get_run(run_id).data.params
        new = [Param(key, str(value)) for key, value in params.items() if key not in known]
        for start in range(0, len(new), PARAM_BATCH):
            self.client.log_batch(run_id, params=new[start : start + PARAM_BATCH])

    def log(self, run_id: str, points: Iterable[Point]) -> None:
        """Log points in as few calls as MLflow's limits allow."""
        from mlflow.entities import Metric

        metrics = [Metric(key, value, p.timestamp, p.step) for p in points for key, value in p.metrics.items()]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def times(self, run_id: str, metric: str) -> dict[int, set[int]]:
        """The times, in milliseconds since 1970, at which each step of a metric was reported; none of step 0, which no report has."""
        found: dict[int, set[int]] = {}
        for point in self.client.get_metric_history(run_id, metric):
            if point.step > 0:
                found.setdefault(point.step, set()).add(point.timestamp)
        return found

    def last_step(self, run_id: str, metric: str) -> int:
        """The last step of a metric, 0 where nothing is logged."""
        return max((point.step for point in self.client.get_metric_history(run_id, metric)), default=0)

    def points(self, number: int) -> list[Point]:
        """The reports of a trial as they were logged, by step; none where it has no run."""
        if number not in self.children:
            return []
        run_id = self.children[number]
        metrics: dict[int, dict[str, float]] = {}
        times: dict[int, int] = {}
        for key in self.client.get_run(run_id).data.metrics:
            for point in self.client.get_metric_history(run_id, key):
                if point.step > 0:  # what a run is compared by stands at step 0
                    metrics.setdefault(point.step, {})[key] = point.value
                    times[point.step] = point.timestamp
        return [Point(step, times[step], metrics[step]) for step in sorted(metrics)]

    def was_deleted(self, number: int) -> bool:
        """Whether somebody else put the run of a trial in the bin; not where that cannot be asked. It then counts as having none."""
        if number not in self.children:
            return False
        try:
            deleted = bool(self.client.get_run(self.children[number]).info.lifecycle_stage == "deleted")
        except Exception:  # the server is away
            return False
        if deleted:
            del self.children[number]
        return deleted

    def forget(self, number: int) -> None:
        """Put the run of a trial in MLflow's bin, as if it had never had one."""
        if number in self.children:
            self.doubles.append(self.children.pop(number))
        self.forget_doubles()

    def forget_doubles(self) -> None:
        """Put `doubles` there, and what an earlier try left of a run to be forgotten: it may be there, and the answer was lost."""
        while self.doubles:
            self._put_away(self.doubles[-1])
            self.doubles.pop()

    def _put_away(self, run_id: str) -> None:
        if self.client.get_run(run_id).info.lifecycle_stage == "active":  # else it was, and the answer was lost
            self.client.set_tag(run_id, STATE_TAG, "LOST")
            self.client.delete_run(run_id)

    def end(self, run_id: str, state: str, tags: Mapping[str, str], summary: Mapping[str, float]) -> None:
        """Give a run its end: state and other tags, summary metrics, MLflow's status. Saying it twice changes nothing.

        A metric that was something else at an earlier end, of a search that was then enlarged, gets a further step: of two values at
        one step MLflow shows the larger.
        """
        from mlflow.entities import RunTag

        self.client.log_batch(
            run_id,
            metrics=self.changed(run_id, summary),
            tags=[RunTag(key, value) for key, value in {**tags, STATE_TAG: state}.items()],
        )
        self.client.set_terminated(run_id, STATUS[state])

    def changed(self, run_id: str, summary: Mapping[str, float]) -> list[Metric]:
        """Those of a run's summary metrics that are not what they were before, at their next steps; NaN is as if there were none."""
        from mlflow.entities import Metric

        run = self.client.get_run(run_id)
        before = run.data.metrics
        fresh = {key: value for key, value in summary.items() if not _same(before.get(key, nan), value)}
        steps = {key: self.last_step(run_id, key) + 1 if key in before else 0 for key in fresh}
        return [Metric(key, value, run.info.start_time, steps[key]) for key, value in fresh.items()]

    def is_ended(self, number: int, state: str, last: str | None = None) -> bool:
        """Whether a trial has a run that was ended in a state, and with a `LAST_TAG` where that is given and the run has one.

        One that an earlier version ended has none, and is left as it is.
        """
        if number not in self.children:
            return False
        run = self.client.get_run(self.children[number])
        tags = run.data.tags
        return bool(
            run.info.status == STATUS[state] and tags.get(STATE_TAG) == state and last in (None, tags.get(LAST_TAG, last))
        )


def _same(one: float, other: float) -> bool:
    return one == other or (isnan(one) and isnan(other))


def _order(run: Run) -> tuple[bool, bool, int, int]:
    """Of several runs of one trial the first is kept: one that was worked with, that was ended, that has more in it, the oldest."""
    data, info = run.data, run.info
    used = OPENED_TAG in data.tags or bool(data.params)
    return not used, info.status == "RUNNING", -len(data.metrics), info.start_time


def _now() -> int:
    return int(time.time() * 1000)
