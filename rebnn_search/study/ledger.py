"""The ledger: the Optuna study as the one record of what was asked, reported, pruned and finished.

Tune's experiment state, the tracking server and the checkpoints can each be lost or behind; what the ledger says is so. One
driver writes it. Nothing is pickled: a study opened again from its journal asks, prunes and finishes as before.
"""

from __future__ import annotations

import copy
import math
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.storages import InMemoryStorage, get_storage
from optuna.trial import FrozenTrial, TrialState

from rebnn_search.base.metrics import BEST_VAL_LOSS, BEST_VAL_TOP1, EPOCHS, HEADLINE, REPORTS, VAL_LOSS, VAL_TOP1
from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.leftovers import leftover_trials, set_aside
from rebnn_search.study.asking import Asking
from rebnn_search.study.attributes import INFEASIBLE, PARAMS, PAUSED, REASON, SEARCH_ID, SUMMARY, TAKEN_UP
from rebnn_search.study.draft import DraftStorage
from rebnn_search.study.history import HistoryStorage
from rebnn_search.study.optuna_log import optuna_muted
from rebnn_search.study.pruners import build_pruner, settle, unjudged
from rebnn_search.study.ranking import Standing, best_of, standing_of
from rebnn_search.study.record import lost, open_record, where
from rebnn_search.study.samplers import has_trait
from rebnn_search.study.search import Search
from rebnn_search.study.spec import Params
from rebnn_search.study.views import FirstObjectiveView, UnprunedView
from rebnn_search.training.report_log import NEEDED, ReportLog, TrackedReport


class Ledger:
    """The study of one search, with the reports of its trials.

    Args:
        folder: Where the search lives; the caller holds its driver lock. None keeps study and reports in memory, without a file.
        search: The resolved search.
        url: Database that holds the study; None for the journal in the folder.

    Raises:
        UserError: If the journal of a search that was begun is gone, damaged before its last line or another's, or the database
            cannot be used, or is not the one that the search was begun with, or holds another search's study of this name.
    """

    def __init__(self, folder: SearchFolder | None, search: Search, url: str | None = None) -> None:
        self._folder = folder
        self._search = search
        self._metric = search.spec.objective.metric
        self._several = len(search.goals) > 1
        self._live: dict[int, optuna.Trial] = {}
        self._reports: dict[int, ReportLog] = {}
        self._storage = InMemoryStorage() if folder is None else get_storage(open_record(folder, url))
        name, objective = "search" if folder is None else folder.name, search.spec.objective
        with optuna_muted():
            pruner, self.pauses = build_pruner(search.spec.pruner)
            study = optuna.create_study(
                study_name=name,
                storage=self._storage,
                directions=[goal.direction for goal in search.goals],
                load_if_exists=True,
            )
            self._study_id = study._study_id
            everything = self.trials
            seen: Any = self._storage
            if not has_trait(search.spec.sampler, "complete_history"):
                seen = HistoryStorage(self._storage, self._study_id, objective, search.goals)
            self._drafts = DraftStorage(seen, self._study_id, everything)
            shown: Any = UnprunedView(self._drafts) if self._several else self._drafts
            self.study = optuna.load_study(study_name=name, storage=shown, pruner=pruner)
            first: Any = FirstObjectiveView(self._drafts)
            self._judging = self.study
            if self._several:
                self._judging = optuna.load_study(study_name=name, storage=first, pruner=pruner)

        self._asking = Asking(search, self.study, self._drafts, everything)
        self._known = {t.number: t.last_step or 0 for t in everything if t.state == TrialState.RUNNING}
        """Reports that the study had of unfinished trials when it was opened."""
        self.search_id = uuid.uuid4().hex if folder is None else self._identify(folder, url)
        """The search's identity, by which tracking finds its runs."""
        if folder is not None and folder.search_file.exists():
            for number in leftover_trials(folder, {t.number for t in everything if PARAMS in t.user_attrs}):
                set_aside(folder, number)
        complete = [t for t in everything if t.state == TrialState.COMPLETE]
        settle(pruner, next((trial.last_step for trial in complete), None))
        self.completed = len(complete)
        """Trials trained to their end."""
        self.reached = Counter(step for trial in everything for step in trial.intermediate_values)
        """How many trials made a report, by its number."""
        self.taken_up = Counter(step for trial in everything for step in trial.user_attrs.get(TAKEN_UP, ()))
        """How many trials went on after they had waited, by their reports then."""
        self.ended = Counter(t.last_step or 0 for t in everything if t.state.is_finished() and TAKEN_UP in t.user_attrs)
        """How many trials ended that had waited and gone on, by their reports then."""
        self.lost = Counter(step for trial in everything if (step := _lost_since(trial)) is not None)
        """How many of those that went on ended before their end, by their reports when they last went on."""

    def _identify(self, folder: SearchFolder, url: str | None) -> str:
        begun = folder.search_id if folder.search_file.exists() else None
        noted = self.noted(SEARCH_ID)
        if noted is None:
            if begun is not None or folder.trials.exists():
                raise UserError(f"{folder.name}: {lost(folder, url)}")
            noted = uuid.uuid4().hex
            self.note(SEARCH_ID, noted)
        elif begun not in (None, noted):
            raise UserError(f"{folder.name}: {where(folder, url)} is of another search than search.yaml here")
        return str(noted)

    @property
    def trials(self) -> list[FrozenTrial]:
        """Every trial, by number."""
        return self._storage.get_all_trials(self._study_id, deepcopy=False)

    def trial(self, number: int) -> FrozenTrial:
        """The trial of a number."""
        return self._storage.get_trial(self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number))

    def params(self, number: int) -> Params:
        """The configuration of a trial."""
        return dict(self.trial(number).user_attrs[PARAMS])

    def reports(self, number: int) -> ReportLog:
        """The reports of a trial."""
        if number not in self._reports:
            self._reports[number] = self.open_reports(number)
        return self._reports[number]

    def open_reports(self, number: int) -> ReportLog:
        """As `reports`, of a trial that ended: not remembered. In memory there are none left."""
        file = None if self._folder is None else self._folder.report_file(number)
        return ReportLog(file, (self._metric, *NEEDED))

    @property
    def asked(self) -> int:
        """How many trials have been asked for in full."""
        return self._asking.asked

    def ask(self) -> tuple[int, Params]:
        """Begin the next trial: its number and configuration.

        Raises:
            UserError: If it would be the first, and another search of this name has taken the record's place meanwhile.
        """
        if self.asked == 0 and self._folder is not None:
            self._check_own(self._folder)
        return self._asking.ask()

    def _check_own(self, folder: SearchFolder) -> None:
        """See that the study is still this search's: one without a trial looks like that of a driver that died at its start."""
        try:
            holder = self._storage.get_study_user_attrs(self._study_id).get(SEARCH_ID)
        except KeyError:
            holder = None
        if holder != self.search_id:
            raise UserError(
                f"{folder.name}: another search took this name in the ledger meanwhile: begin again, with another --name"
            )

    def report(self, number: int, report: TrackedReport) -> bool:
        """Record a report. False if its step was known already.

        Raises:
            UserError: If it lacks what trials are judged by.
        """
        if self._metric not in report.metrics:
            raise UserError(f"trial #{number}: its reports have no {self._metric}, by which the search judges")
        if not self.reports(number).append(report):
            return False
        self._report_to_study(number, report)
        return True

    def _report_to_study(self, number: int, report: TrackedReport) -> None:
        with optuna_muted():
            self._handle(number).report(report.metrics[self._metric], report.step)
        if report.step > self._known.get(number, 0):
            self.reached[report.step] += 1

    def should_prune(self, number: int) -> bool:
        """Whether a trial is to end after its latest report: the pruner would end it, or a constraint is broken whatever is trained.

        Never at its final one: that trial is complete.
        """
        log = self.reports(number)
        if self.infeasible(number) is not None:
            return True
        known = self._known.get(number, 0)
        if not log.reports or log.reports[-1].final or log.last_step < known:
            return False  # reports that were lost and are made again have been judged, the last of them perhaps
        return self._judge_again(self.trial(number)) if log.last_step == known else self._judge(number)

    def why_pruned(self, number: int) -> str:
        """Why a trial is to end after its latest report."""
        broken = self.infeasible(number)
        return prune_reason(self._search, self.reports(number).last_step) if broken is None else f"{INFEASIBLE}: {broken}"

    def infeasible(self, number: int) -> str | None:
        """Which constraints a trial under way is beyond for good, in words; None if there is none, or it is not known yet."""
        reports = self.reports(number).reports
        if not self._search.limits or not reports or reports[-1].final:
            return None
        return self._search.broken(self.summary(number), ended=False)

    def _judge(self, number: int) -> bool:
        with optuna_muted():
            return self._handle(number).should_prune()

    def _judge_again(self, trial: FrozenTrial) -> bool:
        """What the pruner says of the last report that the study has of a trial: it may have been asked before, or not."""
        shown = copy.copy(trial)
        shown.system_attrs = unjudged(trial.system_attrs, trial.intermediate_values[trial.last_step or 0])
        with self._drafts.drafting(shown):
            verdict = self._judge(trial.number)
            self._drafts.keep()
        return verdict

    def standing(self, number: int) -> float:
        """The objective at a trial's latest report, turned so that less is better; infinite before the first."""
        log = self.reports(number).reports
        return self._search.spec.objective.sort_key(log[-1].metrics[self._metric]) if log else math.inf

    def pause(self, number: int) -> None:
        """Let a trial wait after its latest report."""
        self._handle(number).set_user_attr(PAUSED, self.reports(number).last_step)

    def take_up(self, number: int) -> Params:
        """Let a trial that waits go on. Returns its configuration."""
        waited = self.trial(number)
        step = waited.user_attrs[PAUSED]
        # In this order: killed between the two, the trial is one that was not judged yet, and is made to wait again.
        self._handle(number).set_user_attr(PAUSED, None)
        self._handle(number).set_user_attr(TAKEN_UP, [*waited.user_attrs.get(TAKEN_UP, ()), step])
        self.taken_up[step] += 1
        return self.params(number)

    def went_on(self, number: int) -> bool:
        """Whether a trial went on after it had waited, and has not reported since."""
        return self.reports(number).last_step in self.trial(number).user_attrs.get(TAKEN_UP, ())

    @property
    def paused(self) -> list[int]:
        """The trials that wait, by number."""
        return [t.number for t in self.trials if t.state == TrialState.RUNNING and t.user_attrs.get(PAUSED) is not None]

    def complete(self, number: int) -> None:
        """Finish a trial with the objectives of its final report, or as failed if that lacks one, or what a constraint is about."""
        last = self.reports(number).reports[-1]
        missing = next((goal.name for goal in self._search.judged if goal.name not in last.metrics), None)
        if missing is not None:
            self._finish(number, TrialState.FAIL, f"its last report has no {missing}")
            return
        self._finish(number, TrialState.COMPLETE, None, [last.metrics[goal.name] for goal in self._search.goals])
        settle(self.study.pruner, last.step)
        self.completed += 1

    def prune(self, number: int, reason: str) -> None:
        """Finish a trial as pruned."""
        self._finish(number, TrialState.PRUNED, reason)

    def fail(self, number: int, reason: str) -> None:
        """Finish a trial as failed."""
        self._finish(number, TrialState.FAIL, reason)

    def _finish(self, number: int, state: TrialState, reason: str | None, values: Sequence[float] | None = None) -> None:
        trial = self._handle(number)
        summary = self.summary(number)
        if state != TrialState.FAIL:
            self._tell_constraints(trial, summary, ended=state == TrialState.COMPLETE)
        if summary:
            trial.set_user_attr(SUMMARY, summary)
        if reason is not None or REASON in trial.user_attrs:  # of a failure that a crash kept from being recorded
            trial.set_user_attr(REASON, reason)
        with optuna_muted():
            self.study.tell(number, values, state=state)
        ended = self.trial(number)
        self.ended[ended.last_step or 0] += TAKEN_UP in ended.user_attrs
        if (step := _lost_since(ended)) is not None:
            self.lost[step] += 1
        self._live.pop(number, None)
        self._reports.pop(number, None)

    def _tell_constraints(self, trial: optuna.Trial, values: Mapping[str, float], *, ended: bool) -> None:
        known = self._storage.get_trial(trial._trial_id).constraints
        for limit in self._search.limits:
            if limit.name in values and limit.name not in known and (ended or limit.goal.static):
                trial.set_constraint(limit.name, limit.excess(values[limit.name]))

    def summary(self, number: int) -> dict[str, float]:
        """The headline metrics of a trial's last report and its objectives, with ``epochs`` and ``reports`` so far; empty before the
        first.
        """
        trial = self.trial(number)
        if trial.state.is_finished():
            known: dict[str, float] = trial.user_attrs.get(SUMMARY, {})
            return known
        return summarised(self.reports(number).reports, [goal.name for goal in self._search.extras])

    def _handle(self, number: int) -> optuna.Trial:
        if number not in self._live:
            with optuna_muted():
                self._live[number] = optuna.Trial(self._judging, self.trial(number)._trial_id)
        return self._live[number]

    def recover(self) -> list[tuple[int, Params]]:
        """Bring the ledger up to date after a stop of any kind, and return the trials to go on with, less those that are paused.

        Reports that reached the disk but not the study are entered; a trial whose last report was final is completed, and one
        that the pruner would have ended at its last report is pruned: both are what the stopped driver was about to do.
        """
        pending: list[tuple[int, Params]] = []
        for trial in self.trials:
            if trial.state != TrialState.RUNNING or PARAMS not in trial.user_attrs:
                continue
            log = self.reports(trial.number)
            final = next((report.step for report in log.reports if report.final), 0)
            known = trial.last_step or 0
            infeasible = self.infeasible(trial.number) is not None
            if log.last_step > known:
                log.sync()
            doomed = not infeasible and 0 < known <= log.last_step and known != final and self._judge_again(trial)
            for report in log.reports:
                if report.step not in trial.intermediate_values:
                    self._report_to_study(trial.number, report)
                    doomed = not report.final and not infeasible and self._judge(trial.number)
            if log.reports and log.reports[-1].final:
                self.complete(trial.number)
            elif doomed or infeasible:
                self.prune(trial.number, self.why_pruned(trial.number))
            else:
                paused = trial.user_attrs.get(PAUSED)
                if paused is not None and log.last_step > paused:  # it went on, and the record of that is lost
                    self.take_up(trial.number)
                    paused = None
                if paused is None:
                    pending.append((trial.number, dict(trial.user_attrs[PARAMS])))
        return pending

    @property
    def best(self) -> list[FrozenTrial]:
        """The trials of the best configuration that were trained to their end, by number; empty while there is none.

        See `rebnn_search.study.ranking.best_of`.
        """
        complete = {trial.number: trial for trial in self.trials if trial.state == TrialState.COMPLETE}
        standings = [self.standing_of(trial) for trial in complete.values()]
        return [complete[number] for number in best_of(standings, self._search.spec.objective, self._search.spec.seeds)]

    def standing_of(self, trial: FrozenTrial) -> Standing:
        """What a trial is ranked by."""
        return standing_of(self._search, trial, self.summary(trial.number))

    def note(self, key: str, value: Any) -> None:
        """Keep something about the search itself (JSON)."""
        self.study.set_user_attr(key, value)

    def noted(self, key: str) -> Any:
        """What was kept under a key, or None."""
        return self.study.user_attrs.get(key)


def prune_reason(search: Search, step: int) -> str:
    """Why a trial was pruned, in words."""
    return f"{search.spec.pruner.name} pruner at report {step}"


def summarised(reports: Sequence[TrackedReport], extras: Sequence[str] = ()) -> dict[str, float]:
    """What a trial's reports come to: see `Ledger.summary`. Of ``extras``, which not every report has, the latest values."""
    if not reports:
        return {}
    last = reports[-1]
    best = {
        BEST_VAL_LOSS: min(report.metrics[VAL_LOSS] for report in reports),
        BEST_VAL_TOP1: max(report.metrics[VAL_TOP1] for report in reports),
    }
    headline = {name: last.metrics[name] for name in HEADLINE if name in last.metrics}
    found = {name: [report.metrics[name] for report in reports if name in report.metrics] for name in extras}
    late = {name: values[-1] for name, values in found.items() if values}
    return {EPOCHS: last.epoch, REPORTS: last.step, **headline, **best, **late}


def _lost_since(trial: FrozenTrial) -> int | None:
    """The reports at which a trial last went on that then failed, or broke a constraint; None of any other.

    One that waits when the search ends is no such trial.
    """
    steps = trial.user_attrs.get(TAKEN_UP)
    ended = trial.state.is_finished() and trial.state != TrialState.COMPLETE
    return steps[-1] if ended and steps and trial.user_attrs.get(PAUSED) is None else None
