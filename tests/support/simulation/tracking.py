"""A tracking server that keeps what MLflow's keeps, and fails as one does: it refuses, is slow, or its answer is lost."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support.simulation.kernel import Kernel


@dataclass
class Run:
    """A run as the server keeps it."""

    run_id: str
    experiment_id: str
    name: str
    start_time: int
    status: str = "RUNNING"
    lifecycle: str = "active"
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    points: dict[tuple[str, int, int, float], None] = field(default_factory=dict)
    """(metric, time, step, value): the server keeps one of each."""
    artifacts: dict[str, str] = field(default_factory=dict)

    def steps(self, metric: str) -> list[int]:
        """The steps of a metric's points, in the order they came."""
        return [step for key, _, step, _ in self.points if key == metric]

    def view(self) -> Any:
        """As a client is shown it."""
        metrics: dict[str, tuple[int, int, float]] = {}
        for key, time, step, value in self.points:
            metrics[key] = max(metrics.get(key, (step, time, value)), (step, time, value))
        return SimpleNamespace(
            info=SimpleNamespace(
                run_id=self.run_id, run_name=self.name, status=self.status, start_time=self.start_time,
                experiment_id=self.experiment_id, lifecycle_stage=self.lifecycle,
            ),
            data=SimpleNamespace(
                tags=dict(self.tags), params=dict(self.params), metrics={key: last[2] for key, last in metrics.items()}
            ),
        )  # fmt: skip


class TrackingServer:
    """What is tracked; no process of the simulation, so that it outlives them all."""

    def __init__(self) -> None:
        self.experiments: dict[str, SimpleNamespace] = {}
        self.runs: dict[str, Run] = {}
        self.calls = 0

    def violations(self, states: dict[int, str], *, raced: bool = False, only: str | None = None) -> list[str]:
        """What is wrong with the runs of a search whose trials ended in these states.

        Args:
            states: Of the trials, by number.
            raced: Whether two drivers were at work: what a machine had to say that slept in between may come a second time.
            only: The search's identity, where another may have been lost with its machine before it was stored.
        """
        active = [run for run in self.runs.values() if run.lifecycle == "active"]
        active = [run for run in active if only in (None, run.tags.get("rebnn_search.search"))]
        found = []
        numbers = Counter(run.tags.get("rebnn_search.trial", "parent") for run in active)
        found += [f"{count} runs of {number}" for number, count in numbers.items() if count > 1]
        found += [f"no run of {name}" for name in ["parent", *map(str, states)] if not numbers[name]]
        found += [
            f"a run of {name}, of which the ledger knows nothing" for name in numbers.keys() - {"parent", *map(str, states)}
        ]
        for run in active:
            name = run.tags.get("rebnn_search.trial", "parent")
            twice = [key for key, count in Counter((key, step) for key, _, step, _ in run.points).items() if count > 1]
            found += [f"{sorted(twice)} twice in the run of {name}"] if twice and not raced else []
            found += [f"the run of {name} is open"] if run.status == "RUNNING" else []
            if name != "parent" and int(name) in states and run.tags.get("state") != states[int(name)]:
                found.append(f"the run of {name} says {run.tags.get('state')}, the ledger {states[int(name)]}")
            steps = set(run.steps("val/loss")) - {0}
            if name != "parent" and sorted(steps) != list(range(1, len(steps) + 1)):
                found.append(f"the run of {name} has the reports {sorted(steps)}")
        return found


class Client:
    """The part of `mlflow.MlflowClient` that the program uses.

    Args:
        kernel: Of the simulation.
        server: What it talks to.
    """

    def __init__(self, kernel: Kernel, server: TrackingServer) -> None:
        self._kernel, self._server = kernel, server

    def __getattr__(self, name: str) -> Any:
        method = getattr(self, f"_{name}")

        def call(*args: Any, **options: Any) -> Any:
            return self._call(name, method, args, options)

        return call

    def _call(self, name: str, method: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        from mlflow.exceptions import MlflowException

        self._server.calls += 1
        fault = self._kernel.step("tracking", name, partly=name == "log_batch")
        kind = None if fault is None else fault.kind
        if kind == "slow" and fault is not None:
            self._kernel.sleep(fault.kept)
        if kind == "refuse":
            raise MlflowException(f"{name}: the server is away")
        if fault is not None and fault.kept and name == "log_batch" and kind != "slow":
            options = dict(options)
            for key in ("metrics", "params", "tags"):
                some = list(options.get(key, ()))
                options[key] = some[: round(fault.kept * len(some))]
            method(*args, **options)
            self._kernel.die(fault)
            raise MlflowException(f"{name}: the connection was lost")
        result = method(*args, **options)
        if kind == "unheard":
            raise MlflowException(f"{name}: no answer")
        return result

    def _run(self, run_id: str) -> Run:
        from mlflow.exceptions import MlflowException

        run = self._server.runs.get(run_id)
        if run is None or run.lifecycle != "active":
            raise MlflowException(f"Run '{run_id}' not found, or deleted")
        return run

    def _now(self) -> int:
        return int(self._kernel.wall() * 1000)

    def _get_experiment_by_name(self, name: str) -> Any:
        return self._server.experiments.get(name)

    def _create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> str:
        from mlflow.exceptions import MlflowException

        if name in self._server.experiments:
            raise MlflowException(f"Experiment '{name}' already exists")
        found = SimpleNamespace(
            experiment_id=str(len(self._server.experiments) + 1), name=name, lifecycle_stage="active", tags={}
        )
        self._server.experiments[name] = found
        return found.experiment_id

    def _set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        next(e for e in self._server.experiments.values() if e.experiment_id == experiment_id).tags[key] = value

    def _search_runs(
        self, experiments: Sequence[str], condition: str, max_results: int = 1000, page_token: str | None = None,
        order_by: Any = None,
    ) -> Any:  # fmt: skip
        wanted = dict(re.findall(r"tags\.`([^`]+)` = '([^']*)'", condition))
        assert len(wanted) == condition.count("=") > 0, condition

        class Page(list[Any]):
            token = None

        runs = [run for run in self._server.runs.values() if run.lifecycle == "active" and run.experiment_id in experiments]
        found = [run.view() for run in runs if all(run.tags.get(key) == value for key, value in wanted.items())]
        return Page(reversed(found))  # the newest first

    def _create_run(
        self, experiment_id: str, start_time: int | None = None, tags: Any = None, run_name: str | None = None
    ) -> Any:
        run = Run(f"{len(self._server.runs) + 1:032x}", experiment_id, run_name or "", start_time or self._now())
        run.tags.update(tags or {})
        self._server.runs[run.run_id] = run
        return run.view()

    def _get_run(self, run_id: str) -> Any:
        return self._server.runs[run_id].view()  # deleted ones too

    def _update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        self._run(run_id).status = status or self._run(run_id).status

    def _set_terminated(self, run_id: str, status: str = "FINISHED", end_time: int | None = None) -> None:
        self._run(run_id).status = status

    def _delete_run(self, run_id: str) -> None:
        self._run(run_id).lifecycle = "deleted"

    def _set_tag(self, run_id: str, key: str, value: Any) -> None:
        self._run(run_id).tags[key] = str(value)

    def _log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        from mlflow.exceptions import MlflowException

        run = self._run(run_id)
        for param in params:
            if run.params.get(param.key, param.value) != param.value:
                raise MlflowException(f"Changing param values is not allowed: {param.key}")
            run.params[param.key] = param.value
        for metric in metrics:
            run.points[metric.key, metric.timestamp, metric.step, metric.value] = None
        for tag in tags:
            run.tags[tag.key] = tag.value

    def _get_metric_history(self, run_id: str, key: str) -> Any:
        return [
            SimpleNamespace(key=metric, timestamp=time, step=step, value=value)
            for metric, time, step, value in self._run(run_id).points
            if metric == key
        ]

    def _log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        self._run(run_id).artifacts[artifact_file] = text

    def _log_dict(self, run_id: str, dictionary: Any, artifact_file: str) -> None:
        self._run(run_id).artifacts[artifact_file] = json.dumps(dictionary)

    def _log_artifact(self, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        self._run(run_id).artifacts[Path(local_path).name] = "file"
