"""A search as tracking knows it: everything a report is made of, with nothing else of the search at hand."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import yaml

from rebnn_search.base.layout import SEARCH_FILE
from rebnn_search.base.metrics import EPOCHS, FINAL, REPORTS, final
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.execution.trial_runs import LATENT_FILE
from rebnn_search.report.record import EVALUATION_FILE, Evaluation, read_evaluation
from rebnn_search.study.ranking import Standing, best_of, pareto_front, rank, standing
from rebnn_search.study.result import COMPARED
from rebnn_search.study.search import Search, restore_search
from rebnn_search.study.spec import Params
from rebnn_search.tracking import (
    CONFIGURATION_TAG,
    SEARCH_TAG,
    SEED_TAG,
    STATE_TAG,
    TRIAL_TAG,
    VIEW_TAG,
    compare_link,
    find_parent,
    find_runs,
    view_link,
)
from rebnn_search.tracking.client import ARTIFACTS, SQLITE, make_client
from rebnn_search.tracking.runs import STATUS

if TYPE_CHECKING:
    from mlflow.entities import Run

RUNS_FILE = "runs.json"
REPORT_FOLDER = "report"
"""Folder of the parent run's artifacts."""


@dataclass(frozen=True)
class TrackedTrial:
    """One child run.

    Attributes:
        metrics: The last value of every metric.
        start, end: Milliseconds since 1970; no end while it runs.
    """

    number: int
    name: str
    run_id: str
    state: str
    reason: str | None
    params: Params
    configuration: int
    seed: int | None
    metrics: Mapping[str, float]
    start: int
    end: int | None

    @property
    def epochs_per_report(self) -> float:
        """Epochs between two reports."""
        return self.metrics.get(final(EPOCHS), 1.0) / max(1.0, self.metrics.get(final(REPORTS), 1.0))


class TrackedSearch:
    """A parent run with its children.

    Args:
        uri: Tracking URI.
        name: The search's name, which is its parent run's.
        identity: As of `rebnn_search.tracking.search.find_parent`.

    Raises:
        UserError: If tracking cannot be read, holds no search of that name, one that never ended, or one without its artifacts.
    """

    def __init__(self, uri: str, name: str, identity: str | None = None) -> None:
        self.uri, self.name = uri, name
        try:
            self.client = make_client(uri)
            self.parent = find_parent(self.client, self.name, identity)
            self.search = self._resolved()
            self.trials = self._children()
        except UserError:
            raise
        except Exception as error:  # MLflow's, SQLAlchemy's, Alembic's and the database driver's own
            raise self._unreadable(error) from error
        self._series: dict[tuple[str, str], list[tuple[int, float]]] = {}
        self.not_evaluated = "this report was drawn from tracking alone, without the search's folder"
        """Why there is no `evaluation`, where there is none."""

    @property
    def view(self) -> str | None:
        """Address of the search's table and charts in MLflow's UI; None where its experiment holds no view of it."""
        key, experiment_id = self.parent.data.tags[SEARCH_TAG], self.parent.info.experiment_id
        if VIEW_TAG + key not in self.client.get_experiment(experiment_id).tags:
            return None
        return view_link(hide_secrets(self.uri), experiment_id, key)

    @property
    def compare(self) -> str | None:
        """Address where the best trials of different configurations stand beside each other there; None for want of two."""
        runs = {trial.number: trial.run_id for trial in self.complete}
        best = [next((runs[number] for number in group if number in runs), None) for group in self.ranked(self.trials)]
        found = [run_id for run_id in best if run_id is not None][:COMPARED]
        return compare_link(hide_secrets(self.uri), self.parent.info.experiment_id, found)

    def _resolved(self) -> Search:
        text = self.artifact(self.parent.info.run_id, SEARCH_FILE)
        if text is None and self.parent.data.tags.get(STATE_TAG) in STATUS:  # it was sent before that was said
            where = hide_secrets(self.parent.info.artifact_uri)
            beside = (
                f"; of a copied database they are looked for in {ARTIFACTS}/ beside it" if self.uri.startswith(SQLITE) else ""
            )
            raise UserError(f"{self.name}: the artifacts of its parent run ({where}) are not here{beside}")
        if text is None:
            raise UserError(f"{self.name}: its parent run holds no {SEARCH_FILE}: the search has not come to an end yet")
        return restore_search(yaml.safe_load(text))

    def _children(self) -> list[TrackedTrial]:
        search_id = self.parent.data.tags[SEARCH_TAG]
        runs = find_runs(self.client, [self.parent.info.experiment_id], f"tags.`{SEARCH_TAG}` = '{search_id}'")
        trials = [self._trial(run) for run in runs if TRIAL_TAG in run.data.tags]
        return sorted(trials, key=lambda trial: trial.number)

    def _trial(self, run: Run) -> TrackedTrial:
        tags = run.data.tags
        number = int(tags[TRIAL_TAG])
        seed = tags.get(SEED_TAG)
        return TrackedTrial(
            number=number,
            name=run.info.run_name,
            run_id=run.info.run_id,
            state=tags.get(STATE_TAG, "RUNNING"),
            reason=tags.get("reason"),
            params=self._params(run.data.params),
            configuration=int(tags.get(CONFIGURATION_TAG, number)),
            seed=None if seed is None else int(seed),
            metrics=run.data.metrics,
            start=run.info.start_time,
            end=run.info.end_time,
        )

    def _params(self, texts: Mapping[str, str]) -> Params:
        """A trial's parameters, of their own types again: MLflow keeps text."""
        found: Params = {}
        for name, parameter in self.search.space.parameters.items():
            if name in texts:
                if parameter.kind == "choice":
                    found[name] = next((value for value in parameter.choice or [] if str(value) == texts[name]), texts[name])
                else:
                    found[name] = parameter.canonical(float(texts[name]))
        return found

    def artifact(self, run_id: str, name: str) -> str | None:
        """The text of a run's artifact, None if it has none of that name."""
        moved = self._moved(run_id)
        if moved is not None:
            return (moved / name).read_text(encoding="utf-8") if (moved / name).is_file() else None
        folder = name.rpartition("/")[0] or None
        if not any(item.path == name for item in self.client.list_artifacts(run_id, folder)):
            return None
        with tempfile.TemporaryDirectory() as folder:
            return Path(self.client.download_artifacts(run_id, name, folder)).read_text(encoding="utf-8")

    def _moved(self, run_id: str) -> Path | None:
        """A run's artifacts beside a database that came from elsewhere with them; None where they are where it says."""
        if not self.uri.startswith(SQLITE):
            return None
        recorded = self.client.get_run(run_id).info.artifact_uri
        beside = Path(self.uri.removeprefix(SQLITE)).parent / ARTIFACTS / run_id / "artifacts"
        gone = recorded.startswith("file:") and not Path(unquote(urlsplit(recorded).path)).exists()
        return beside if gone and beside.is_dir() else None

    def series(self, trial: TrackedTrial, metric: str) -> list[tuple[int, float]]:
        """A metric's values by report, in the order of the reports."""
        key = trial.run_id, metric
        if key not in self._series:
            try:
                points = self.client.get_metric_history(*key)
            except Exception as error:  # as above: it may go away while a report is drawn
                raise self._unreadable(error) from error
            self._series[key] = sorted({point.step: point.value for point in points}.items())
        return self._series[key]

    def _unreadable(self, error: Exception) -> UserError:
        reason = hide_secrets(f"{type(error).__name__}: {error}".splitlines()[0])
        return UserError(f"--tracking-uri {hide_secrets(self.uri)}: cannot be read: {reason}")

    def latent(self, trial: TrackedTrial) -> dict[str, Any] | None:
        """Unit and counts of a trial's latent-weight histograms by epoch."""
        text = self.artifact(trial.run_id, LATENT_FILE)
        return None if text is None else dict(json.loads(text))

    def recipe_values(self, trial: TrackedTrial, names: list[str]) -> dict[str, object]:
        """Values of a trial's recipe by their dotted names."""
        return self.search.recipe_values(trial.params, names)

    @cached_property
    def history(self) -> list[dict[str, object]]:
        """When, where and with what each run of the search was made."""
        text = self.artifact(self.parent.info.run_id, RUNS_FILE)
        return [] if text is None else list(json.loads(text))

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """What is known of the chosen network: of the folder that a report is drawn with, or else what the last report kept."""
        chosen = self.chosen
        text = None if chosen is None else self.artifact(self.parent.info.run_id, f"{REPORT_FOLDER}/{EVALUATION_FILE}")
        return None if text is None or chosen is None else read_evaluation(text, chosen.number)

    @property
    def chosen(self) -> TrackedTrial | None:
        """The trial that the search chooses: of the best configuration the first, whichever of its seeds came out best."""
        complete = {trial.number: trial for trial in self.complete if self.value(trial) is not None}
        spec = self.search.spec
        return next((complete[one] for one in best_of(self._standings(complete.values()), spec.objective, spec.seeds)), None)

    @property
    def complete(self) -> list[TrackedTrial]:
        """The trials trained to their end."""
        return [trial for trial in self.trials if trial.state == "COMPLETE"]

    @property
    def feasible(self) -> list[TrackedTrial]:
        """Those of them whose configuration kept to the constraints, with every seed."""
        complete = [(trial, self.infeasible(trial)) for trial in self.complete]
        broken = {trial.configuration for trial, why in complete if why is not None}
        return [trial for trial, _ in complete if trial.configuration not in broken]

    def infeasible(self, trial: TrackedTrial) -> str | None:
        """Which constraints a trial broke, in words; None if it broke none."""
        return self.search.broken(self.values(trial), ended=trial.state == "COMPLETE")

    def values(self, trial: TrackedTrial) -> dict[str, float]:
        """A trial's objectives, and what constraints are about, by name."""
        known = {name.removeprefix(FINAL): value for name, value in trial.metrics.items() if name.startswith(FINAL)}
        return self.search.values(known)

    @cached_property
    def front(self) -> set[int]:
        """The numbers of the trials on the Pareto front of several objectives."""
        return pareto_front(self._standings(self.trials), self.search.spec.objective, self.search.spec.seeds)

    def _standings(self, trials: Iterable[TrackedTrial]) -> list[Standing]:
        found = [standing(self.search, trial.number, trial.state, self.values(trial)) for trial in trials]
        # A trial's own run knows its configuration, of earlier versions too.
        of = {trial.number: trial.configuration for trial in self.trials}
        return [replace(one, configuration=of[one.number]) for one in found]

    @property
    def objective(self) -> str:
        """Name of the metric that trials are judged by."""
        return self.search.spec.objective.metric

    @property
    def minimize(self) -> bool:
        """Whether less of it is better."""
        return self.search.spec.objective.minimize

    def ranked(self, trials: Iterable[TrackedTrial]) -> list[list[int]]:
        """The numbers of trials by configuration, best first, as `rebnn_search.study.ranking.rank` has them."""
        return rank(self._standings(trials), self.search.spec.objective, self.search.spec.seeds)

    def value(self, trial: TrackedTrial) -> float | None:
        """A trial's objective at its last report."""
        return trial.metrics.get(final(self.objective))
