"""Searching from Python: what ``import rebnn_search as rs`` offers."""

from __future__ import annotations

import json
import shlex
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rebnn_search.base.command import storage_words
from rebnn_search.base.duration import LONGEST, parse_duration
from rebnn_search.base.metrics import VAL_LOSS, VAL_TOP1, VAL_TOP5
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import Notice, UserError
from rebnn_search.execution.budget import Budget
from rebnn_search.execution.events import SearchObserver
from rebnn_search.execution.observers import Observers
from rebnn_search.execution.opening import open_search
from rebnn_search.report import report_search
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.curves import curves_table, write_curves
from rebnn_search.study.result import Best, Result, TrialRow
from rebnn_search.terminal import NotebookProgress, PlainProgress, in_notebook
from rebnn_search.terminal.html import result_html
from rebnn_search.terminal.state import SearchState
from rebnn_search.training import Recipe, load_recipe
from rebnn_search.training.custom_parts import allow

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

if TYPE_CHECKING:
    import pandas as pd

    from rebnn_search.export import LoadedModel

__all__ = ["SearchObserver", "SearchResult", "curves", "search"]


@dataclass(frozen=True, repr=False)
class SearchResult:
    """What a search found.

    Attributes:
        result: The outcome as the command has it: rows, chosen trial, where everything is.
        tracking_uri: Where its runs are.
        report: The page of its report, where one was asked for.
    """

    result: Result
    tracking_uri: str
    report: Path | None = None

    @property
    def best(self) -> Best:
        """The chosen trial: ``number``, ``test_top1``, ``test_top5`` (percent), paths of its ``recipe`` and ``model``.

        Raises:
            UserError: If no trial was trained to its end and kept to the constraints.
        """
        if self.result.best is None:
            raise UserError(f"{self.result.name}: {self.result.none_chosen()}")
        return self.result.best

    @property
    def best_params(self) -> dict[str, object]:
        """The chosen trial's values of what was searched, by their dotted names.

        Raises:
            UserError: As `best`.
        """
        return dict(self._best_row.params)

    @property
    def best_value(self) -> float:
        """The chosen trial's objective (of several the first) on the validation split: ``val/loss`` in nats, ``val/top1`` in percent.
        With several seeds, of the trial that `best` is called after.

        Raises:
            UserError: As `best`.
        """
        row, objective = self._best_row, self.result.objective
        standing = {VAL_LOSS: row.val_loss, VAL_TOP1: row.val_top1, VAL_TOP5: row.val_top5}
        value = row.values.get(objective, standing.get(objective))
        assert value is not None
        return value

    @property
    def trials(self) -> list[TrialRow]:
        """The trials, best first: of each its ``number``, ``state``, ``params``, metrics and ``reason``."""
        return list(self.result.rows)

    @property
    def _best_row(self) -> TrialRow:
        row = self.result.best_row
        if row is None:
            raise UserError(f"{self.result.name}: {self.result.none_chosen()}")
        return row

    @property
    def recipe(self) -> Recipe:
        """The chosen trial's recipe."""
        return load_recipe(self.best.recipe)

    @property
    def front(self) -> list[TrialRow]:
        """The trials on the Pareto front of several objectives, by the first of them; empty where there is one."""
        return [row for row in self.result.rows if row.front]

    def model(self) -> LoadedModel:
        """The chosen trial's network, ready to classify."""
        from rebnn_search.export import load_model

        return load_model(self.best.model)

    def table(self) -> pd.DataFrame:
        """The leaderboard, best first: one row a trial, the recipe's values by their dotted names.

        With several objectives ``front`` says which trials are on the Pareto front; with constraints ``infeasible`` which of them a
        trial broke, None of the others. What is measured of the networks has columns of its name.
        """
        import pandas as pd

        rows = [
            {
                "trial": row.number, "configuration": row.configuration, "seed": row.seed, "state": row.state, **row.recipe,
                "val_loss": row.val_loss, "val_top1": row.val_top1, "val_top5": row.val_top5, "flip_ratio": row.flip_ratio,
                "epochs": row.epochs, "reason": row.reason, "run_id": row.run_id,
                **{goal.name: row.values.get(goal.name) for goal in self.result.extras},
                **({"front": row.front} if self.result.several else {}),
                **({"infeasible": row.infeasible} if self.result.constraints else {}),
            }
            for row in self.result.rows
        ]  # fmt: skip
        return pd.DataFrame(rows)

    @cached_property
    def _figures(self) -> dict[str, Drawing]:
        from rebnn_search.report import TrackedSearch
        from rebnn_search.report.figures import FIGURES, style

        tracked = TrackedSearch(self.tracking_uri, self.result.name, self.result.parent_run_id)
        with style():
            return FIGURES.draw(tracked)

    def figures(self) -> dict[str, Drawing]:
        """The report's figures that this search has the runs for, as `matplotlib.figure.Figure` by name."""
        return dict(self._figures)

    def __repr__(self) -> str:
        best = "no best" if self.result.best is None else f"best #{self.result.best.number}"
        return f"<{type(self).__name__} of {self.result.name}: {len(self.result.rows)} trials, {best}>"

    def _repr_html_(self) -> str:
        return result_html(self.result, self.report)


def curves(name: str, out: str | Path | None = None, *, storage: str = "results", ledger: str | None = None) -> pd.DataFrame:
    """The reports of a search's finished trials as a table, as ``rebnn-search curves`` writes it. The search may still run.

    Args:
        name: The search's name.
        out: File to write it to as well: ``.csv``, ``.csv.gz`` or ``.parquet``.
        storage: Directory or URI where the search is kept.
        ledger: Database of its Optuna study, if it was begun with one.

    Returns:
        A row for each report: `rebnn_search.study.curves.curves_table` describes the columns.

    Raises:
        UserError: If there is no such search, no trial of it has ended, or the file cannot be written.
    """
    table = curves_table(storage, name, ledger)
    if out is not None:
        write_curves(table, Path(out))
    return table


def search(
    space: str | Path,
    *,
    network: Callable[..., object] | str | None = None,
    data: Callable[..., object] | str | None = None,
    overrides: Mapping[str, object] | Iterable[str] = (),
    trials: int | None = None,
    name: str | None = None,
    storage: str = "results",
    ledger: str | None = None,
    tracking_uri: str | None = None,
    address: str = "local",
    resume: bool = False,
    or_start: bool = True,
    time_budget: str | float | None = None,
    report: bool = False,
    progress: bool | None = None,
    observer: SearchObserver | None = None,
) -> SearchResult:
    """Run a search, as ``python -m rebnn_search.run`` does, but for the report, which is drawn on demand.

    Args:
        space: The search file, or the name of one that comes with the program, as ``gamma``.
        network: A function or class that makes the network, in place of the recipe's (`custom_parts.own_network`). The process's
            environment remembers that it is allowed, as for workers.
        data: A function that returns the samples, in place of the recipe's dataset (`rebnn_search.training.custom_parts.OwnData`).
        overrides: Values of the search file or its recipe by dotted name, ``{"optimizer.lr": 1e-2}``; or ``KEY=VALUE``, as ``--set``.
        trials: How many trials in all.
        name: The search's; by default the file's and the next free number.
        storage: Directory or URI where searches are kept.
        ledger: Database of the Optuna study; None for a journal in the search's folder.
        tracking_uri: MLflow's; by default ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in the working directory.
        address: ``local`` starts a Ray of its own (or uses the one this process has initialised), ``auto`` joins a cluster.
        resume: Go on with the named, or else the newest unfinished, search of the file; start it where there is none.
        or_start: False makes it an error that there is none to go on with.
        time_budget: End after so long (``90s``, ``30m``, ``2h``, or a number of seconds) with the trials there are.
        report: Draw the report at the end, as the command does.
        progress: Print a line for each trial; in a notebook, one picture that is drawn again and again, as a widget where ipywidgets
            is installed. None does so unless there is an observer.
        observer: Notified of every event; what it raises is shown, and harms no search.

    Raises:
        UserError: For a mistake in file or arguments, as the command's message.
    """
    from rich.console import Console

    begun = time.monotonic()
    seconds = None if time_budget is None else _seconds(time_budget)
    own = [f"{key}={{name: '{allow(part)}'}}" for key, part in (("network", network), ("data", data)) if part is not None]
    session = open_search(
        space, overrides=[*own, *_as_words(overrides)], trials=trials, name=name, storage=storage, ledger=ledger,
        tracking_uri=tracking_uri, address=address, resume=resume and not or_start, or_start=resume and or_start,
    )  # fmt: skip
    budget = None if seconds is None else Budget(seconds, begun)
    state = SearchState.of(session.search, budget)
    display: SearchObserver = SearchObserver()
    if progress or (progress is None and observer is None):
        display = NotebookProgress(state) if in_notebook() else PlainProgress(Console(highlight=False), state)
    with Observers(display, [] if observer is None else [observer]) as observers:
        result = session.run(observers, budget=budget)
    page = _report(session.tracking_uri, session.folder, str(storage)) if report and not result.interrupted else None
    return SearchResult(result, session.tracking_uri, page)


def _report(uri: str, folder: SearchFolder, storage: str) -> Path | None:
    """Draw the report of a search. Returns its page, None where it could not be made: the search is done anyway."""
    try:
        return report_search(uri, folder)
    except (Exception, KeyboardInterrupt) as error:  # a picture is worth no search
        why = "it was stopped" if isinstance(error, KeyboardInterrupt) else hide_secrets(str(error))
        command = shlex.join(["rebnn-search", "report", folder.name, *storage_words(storage), "--tracking-uri", uri])
        warnings.warn(f"no report: {why}; {hide_secrets(command)} tries again", Notice, stacklevel=3)
        return None


def _as_words(overrides: Mapping[str, object] | Iterable[str]) -> list[str]:
    if isinstance(overrides, str):
        return [overrides]
    if not isinstance(overrides, Mapping):
        return list(overrides)
    try:
        return [
            f"{key}={json.dumps(value, ensure_ascii=False, allow_nan=False, default=_python_s)}"
            for key, value in overrides.items()
        ]
    except (TypeError, ValueError) as error:
        raise UserError(f"overrides: values are those of a YAML file: {error}") from None


def _python_s(value: object) -> object:
    """A number of numpy's, or of an array of one, as Python's."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"Object of type {type(value).__name__} is none")


def _seconds(time_budget: str | float) -> float:
    """A time budget as a file, a command or a program gives it."""
    if isinstance(time_budget, str):
        return parse_duration(time_budget, "time_budget")
    if not 0 < time_budget <= LONGEST:
        raise UserError(
            f"time_budget {time_budget}: expected seconds above 0, at most {LONGEST}, or a time such as 90s, 30m or 2h"
        )
    return float(time_budget)
