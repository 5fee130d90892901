"""The search and the last trainings after it, each within its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from rebnn_search.auto._candidate import Candidate, Made, of_file, of_training
from rebnn_search.auto._plan import Plan
from rebnn_search.auto.result import NAME, SPACE_FILE, Interrupted
from rebnn_search.base.signals import signals_given_back
from rebnn_search.config import UserError
from rebnn_search.execution.budget import Budget
from rebnn_search.execution.events import SearchObserver
from rebnn_search.execution.opening import open_search
from rebnn_search.refit import RefitResult, SeedScore, Stopped, finished_search, refit_search
from rebnn_search.refit.progress import ended
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.estimate import Estimate
from rebnn_search.study.ranking import STATES
from rebnn_search.study.result import Best, TrialRow
from rebnn_search.study.search import Search
from rebnn_search.training.report_log import TrackedReport, read_reports

SUM_UP_SECONDS = 2.0
"""Kept for summing up a refit that was ended."""


def search_and_refit(
    out: Path,
    plan: Plan,
    seeds: int,
    finalists: int,
    deadline: float,
    tracking_uri: str,
    say: Callable[[str], None],
    observe: Callable[[Search, Budget], AbstractContextManager[SearchObserver]],
    on_start: Callable[[Callable[[], None]], None],
) -> Made | None:
    """Search, and train the best recipe again. None if no trial came to its end.

    Args:
        out: Folder of the search's file and results.
        plan: What is searched.
        seeds: Last trainings, if there is time for so many.
        finalists: Trials, the chosen one among them, whose networks are kept to be compared.
        deadline: Of all of it, by `time.monotonic`.
        tracking_uri: Where it is tracked.
        say: Called with each line.
        observe: Makes the search's observer.
        on_start: As of `rebnn_search.execution.session.Session.run`.

    Raises:
        Interrupted: If the user stopped the search.
        UserError: If every trial failed.
    """
    folder = SearchFolder(out / "results" / NAME)
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    budget = Budget(max(1.0, deadline - plan.seeds * plan.refit_seconds - 5.0 - time.monotonic()))
    result = search_within(out, SPACE_FILE, folder, budget, tracking_uri, observe, on_start)
    if result is None:
        return None
    best, rows = result
    outcome = refit_within(out, plan, seeds, deadline, tracking_uri, say)
    trials = _finalists(folder, best, rows, plan, finalists)
    if outcome is None or outcome.median is None:
        why = "no time was left for a last training" if outcome is None else "every last training diverged"
        say(f"{why}: the model is the search's chosen trial")
        return Made(trials[0], trials[0], trials[1:], Estimate(best.test_top1, None, 0), len(rows))
    refits = [of_file(Path(path), f"last training, seed {seed}") for seed, path in outcome.models.items()]
    shipped = next(made for made in refits if made.name == f"last training, seed {outcome.median.seed}")
    others = [made for made in refits if made is not shipped]
    return Made(shipped, trials[0], [*others, *trials], outcome.test("top1"), len(rows))


def _finalists(folder: SearchFolder, best: Best, rows: Sequence[TrialRow], plan: Plan, count: int) -> list[Candidate]:
    """The chosen trial and those that come after it, as many as were trained to their ends."""
    numbers = [best.number, *(row.number for row in rows if row.state == STATES[0] and row.number != best.number)][:count]
    return [of_training(folder.trial(number), f"trial #{number}", plan.data) for number in numbers]


def search_within(
    out: Path,
    space_file: str,
    folder: SearchFolder,
    budget: Budget,
    tracking_uri: str,
    observe: Callable[[Search, Budget], AbstractContextManager[SearchObserver]],
    on_start: Callable[[Callable[[], None]], None],
) -> tuple[Best, list[TrialRow]] | None:
    """Search within the budget.

    Returns:
        The chosen trial and all of them, the best first; None if the time was over before any came to its end.

    Raises:
        Interrupted: If the user stopped the search.
        UserError: If every trial failed.
    """
    session = open_search(out / space_file, name=folder.name, storage=str(folder.path.parent), tracking_uri=tracking_uri)
    try:
        # The search's own handlers would only stop the search.
        with signals_given_back(), observe(session.search, budget) as observer:
            watched: SearchObserver = observer
            result = session.run(watched, budget=budget, on_start=on_start)
    except UserError:
        if not budget.over:
            raise
        return None
    if result.interrupted:
        raise Interrupted
    if result.best is None:
        raise UserError(
            f"{folder.path}: no trial was trained to its end: {result.rows[0].reason if result.rows else 'none began'}"
        )
    return result.best, result.rows


class _Watch:
    """Ends a refit when the time is over, or a further seed would not be done by then."""

    def __init__(self, deadline: float, say: Callable[[str], None]) -> None:
        self._deadline, self._say = deadline, say
        self._began = self._longest = 0.0
        self.done: list[SeedScore] = []

    def started(self, seed: int) -> None:
        """Take the time."""
        self._began = time.monotonic()

    def reported(self, seed: int, report: TrackedReport, reports: int) -> bool:
        """End it in time, unless it is all but done."""
        return not report.final and max(time.monotonic(), self._began + self._longest) > self._deadline

    def finished(self, score: SeedScore) -> None:
        """Keep it, and say so."""
        if score not in self.done:
            self._longest = max(self._longest, time.monotonic() - self._began)
            self.done.append(score)
            self._say(f"trained on training and validation split, seed {score.seed}: {ended(score)}")


def refit_within(
    out: Path, plan: Plan, seeds: int, deadline: float, tracking_uri: str, say: Callable[[str], None]
) -> RefitResult | None:
    """Train for as many seeds as there is time for; None if there is none for one."""
    found = finished_search(str(out / "results"), NAME)
    deadline -= SUM_UP_SECONDS
    if time.monotonic() + max(plan.refit_seconds, _measured(out, found.number, plan)) > deadline:
        return None
    watch = _Watch(deadline, say)

    def call(count: int) -> RefitResult:
        return refit_search(found, seeds=count, tracking_uri=tracking_uri, observer=watch)

    try:
        return call(seeds)
    except Stopped:
        return call(len(watch.done)) if watch.done else None


def _measured(out: Path, number: int, plan: Plan) -> float:
    """Seconds of a last training, from the reports of the chosen trial, which shared the machine with others."""
    reports = read_reports(SearchFolder(out / "results" / NAME).report_file(number))
    if len(reports) < 2:
        return 0.0
    each = (reports[-1].timestamp - reports[0].timestamp) / 1000 / (reports[-1].epoch - reports[0].epoch)
    joined = plan.refit_seconds / max(plan.trial_seconds, 1e-9)
    return each * plan.epochs * joined / 1.2
