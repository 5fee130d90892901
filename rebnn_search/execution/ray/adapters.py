"""What Tune calls: a searcher that hands out trials, a scheduler and a stopper that end them, a callback for errors, a reporter.

All pass on to the `Controller` and keep nothing of their own, so that Tune's snapshots of them are empty.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune import Callback, ProgressReporter
from ray.tune.result import DONE, TRIAL_ID
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from rebnn_search.execution.controller import Controller
from rebnn_search.execution.ray.stateless import Stateless
from rebnn_search.execution.ray.trainable import TASK, UPDATE
from rebnn_search.execution.task import Decision, TrialTask, TrialUpdate

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial

MAX_LOOKAHEAD = 10_000_000
"""Samples Tune may ask for: more than any search has; the searcher says when it is finished."""


class LedgerSearcher(Searcher):
    """Hands out trials, at most ``limit()`` at a time.

    Args:
        controller: Who knows which trial comes next.
        limit: Called each time, so that a growing or shrinking cluster is used as it is.
    """

    def __init__(self, controller: Controller, limit: Callable[[], int]) -> None:
        super().__init__(metric=None, mode=None)
        self._controller = controller
        self._limit = limit

    def suggest(self, trial_id: str) -> dict[str, TrialTask] | str | None:
        """Return a configuration, None to wait, or FINISHED, which Tune takes as final."""
        if self._controller.exhausted:
            return None if self._controller.live else Searcher.FINISHED
        if self._controller.live >= self._limit():
            return None
        return {TASK: self._controller.next_task()}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, object], **spec: object) -> bool:
        """Accept that the ledger, not Tune, knows the metric."""
        return True

    def on_trial_result(self, trial_id: str, result: dict[str, object]) -> None:
        """Do nothing: the scheduler has passed the result on."""

    def on_trial_complete(self, trial_id: str, result: dict[str, object] | None = None, error: bool = False) -> None:
        """Do nothing: the scheduler and the callback have passed the end on."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default", **kwargs: object) -> None:
        """Write nothing: the ledger is the record."""

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the ledger is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: the ledger is the record."""


class LedgerScheduler(Stateless, FIFOScheduler):
    """Passes every result on and stops a trial where the answer says so.

    Args:
        controller: Who decides.
        limit: How many trials the search may hold, where that can shrink: an actor that no next trial waits for is then given up,
            of which Tune itself keeps one, with all that it holds.
    """

    def __init__(self, controller: Controller, limit: Callable[[], int] | None = None) -> None:
        super().__init__()
        self._controller = controller
        self._limit = limit

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, object]) -> str:
        """Stop a trial that the pruner ended, or that is done."""
        decision = self._pass_on(trial, result)
        self._keep_actors(tune_controller)
        return str(TrialScheduler.CONTINUE if decision is Decision.CONTINUE else TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: TuneController, trial: Trial, result: dict[str, object]) -> None:
        """Take in a last result: Tune does not show it to `on_trial_result` when the trainable itself says it is done."""
        self._pass_on(trial, result)
        self._controller.put_back(trial.config[TASK])
        self._keep_actors(tune_controller)

    def _keep_actors(self, tune_controller: TuneController) -> None:
        if self._limit is not None:  # Tune has no public way
            tune_controller._reuse_actors = self._controller.live < self._limit()

    def _pass_on(self, trial: Trial, result: dict[str, Any]) -> Decision:
        return self._controller.update(trial.config[TASK], result.get(UPDATE, TrialUpdate()))

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        """Put a trial back that was stopped before it began."""
        self._controller.put_back(trial.config[TASK])


class TrialCallback(Stateless, Callback):
    """Passes on which trials have an actor, and which Tune gave up; lets go of what Tune remembers of those that ended."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Take in that a trial waits for its resources no more: it has an actor, a new one or one used before."""
        self._controller.at_work(trial.config[TASK])

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Forget the trial's last result and the averages of Tune's own metrics: it would keep 25 KB of each to the search's end."""
        trial.metric_analysis.clear()
        trial.metric_n_steps.clear()
        last = trial.run_metadata.last_result
        for key in last.keys() - {DONE, TRIAL_ID}:
            del last[key]

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Fail the trial with what Tune knows of the cause."""
        file = trial.error_file
        message = Path(file).read_text(encoding="utf-8") if file and Path(file).exists() else "the worker died"
        self._controller.error(trial.config[TASK], message)


class StopWhenAsked(Stateless, Stopper):
    """Ends the experiment once the controller was asked to stop."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def __call__(self, trial_id: str, result: dict[str, object]) -> bool:
        """Stop no single trial: that is the scheduler's to do."""
        return False

    def stop_all(self) -> bool:
        """Whether everything shall end."""
        return self._controller.ending


class ReportsNothing(Stateless, ProgressReporter):
    """Keeps Tune from reporting: in a notebook it would clear the cell's output, whatever its verbosity, to have it for itself."""

    def should_report(self, trials: list[Trial], done: bool = False) -> bool:
        """Say that there is nothing to report."""
        return False

    def report(self, trials: list[Trial], done: bool, *sys_info: str) -> None:
        """Report nothing."""
