"""A search's result as its folder tells it, finished or not, without a driver: nothing is written and nothing mended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial
from pydantic import ValidationError

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import Document, UserError, explain
from rebnn_search.config.component import NO_SUCH
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import RUNS, SUMMARY
from rebnn_search.study.cost import cost_of
from rebnn_search.study.ledger import summarised
from rebnn_search.study.record import read_study
from rebnn_search.study.result import Best, Result, leaderboard
from rebnn_search.study.search import Search, restore_search
from rebnn_search.training.report_log import read_reports


class StoredRecord:
    """The record of a search as it lies there; the search may still run.

    Args:
        folder: Where the search lives.
        search: The resolved search.
        url: Database of its Optuna study; None for the journal in the folder.

    Raises:
        UserError: If the record cannot be read.
    """

    def __init__(self, folder: SearchFolder, search: Search, url: str | None = None) -> None:
        self._folder, self._extras = folder, [goal.name for goal in search.extras]
        study = read_study(folder, url)
        self._trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
        self.runs: list[Mapping[str, Any]] = study.user_attrs.get(RUNS, [])
        """When, where and with what each run of the search was made."""

    @property
    def trials(self) -> list[FrozenTrial]:
        """See `rebnn_search.study.result.TrialRecord`."""
        return list(self._trials.values())

    def summary(self, number: int) -> dict[str, float]:
        """See `rebnn_search.study.result.TrialRecord`."""
        trial = self._trials[number]
        if trial.state.is_finished():
            known: dict[str, float] = trial.user_attrs.get(SUMMARY, {})
            return known
        return summarised(read_reports(self._folder.report_file(number)), self._extras)


def stored_search(folder: SearchFolder) -> Search:
    """The resolved search in a folder.

    Raises:
        UserError: If it cannot be read.
    """
    _, data = folder.read_search()
    try:
        return restore_search(data)
    except ValidationError as error:
        mistakes = "; ".join(line.removeprefix("search: ") for line in explain(error, Document("search", {})).splitlines())
        if any(detail["msg"].startswith(NO_SUCH) for detail in error.errors(include_url=False)):
            raise UserError(
                f"{folder.search_file}: {mistakes}\nit may be a part of your own: install the package that has it"
            ) from None
        raise _damaged(folder, mistakes) from None
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, " ".join(str(error).split())) from None


def _damaged(folder: SearchFolder, reason: str) -> UserError:
    return UserError(
        f"{folder.search_file}: is damaged ({reason}); restore it from a copy, or begin a new search under another --name"
    )


def stored_result(folder: SearchFolder, search: Search, record: StoredRecord) -> Result:
    """The result of a search as things stand: of one that is finished with its choice, of another without.

    Raises:
        UserError: If the result's file is damaged.
    """
    known = _finished(folder) if folder.finished else {}
    run_ids = {trial["number"]: trial["run_id"] for trial in known.get("trials", ()) if trial["run_id"] is not None}
    best = known.get("best")
    last = record.runs[-1] if record.runs else {}
    return Result(
        name=folder.name,
        storage=hide_secrets(folder.address),
        tracking_uri=known.get("tracking_uri") or str(last.get("tracking_uri", "")),
        experiment=known.get("experiment") or folder.read_search()[0].rpartition(".")[0],
        parent_run_id=known.get("parent_run_id", ""),
        objective=search.spec.objective.metric,
        direction=search.spec.objective.direction,
        rows=leaderboard(search, record, run_ids),
        best=None if best is None else Best(**{"trials": [best["number"]], **best}),
        interrupted=not folder.finished,
        view=known.get("view"),
        compare=known.get("compare"),
        goals=search.goals,
        extras=search.extras,
        constraints=[str(limit) for limit in search.limits],
        cost=cost_of(folder, record.trials, record.runs),
        data=known.get("data", ()),
    )


def _finished(folder: SearchFolder) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(folder.result_file.read_text(encoding="utf-8"))
        best = known["best"]
        if not isinstance(known["trials"], list) or not (best is None or {"number", "test_top1", "recipe"} <= best.keys()):
            raise ValueError("keys have no sensible values")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder.result_file}: is damaged ({type(error).__name__}: {error}); --resume makes it anew") from None
    return known
