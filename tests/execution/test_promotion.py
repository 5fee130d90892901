"""Promotion on curves made up: what is trained on and what waits."""

from __future__ import annotations

import json

import pytest

from rebnn_search.base.errors import UserError
from rebnn_search.execution.simulated import RecordedReport
from rebnn_search.study.attributes import PAUSED
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.spec import Params
from rebnn_search.testing import pause_rule
from rebnn_search.testing.pause_rule import REPORTS, away, curve, drive, simulated_search

PROMOTION = "pruner={name: promotion, startup_trials: 8, every: 10, second_looks: 3}"


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("objective", ["val/loss", "val/top1"])
def test_the_best_are_trained_to_the_end_and_nothing_else_for_long(workers: int, objective: str) -> None:
    with simulated_search("trials=30", PROMOTION, f"objective={{metric: {objective}}}") as (search, path):
        done = drive(search, path / "s", workers=workers)
    best = min(done, key=lambda trial: away(trial.params))
    assert len(done) == 30 and {trial.state for trial in done} == {"COMPLETE", "PRUNED"}
    assert best.state == "COMPLETE"
    looks = [len(trial.reports) for trial in done]
    assert {n: looks.count(n) for n in (1, 4, REPORTS)} == {1: 30 - 9, 4: 6, REPORTS: 3}


def test_killed_between_a_report_and_its_pause_it_waits_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(Exception):
        pass

    def killed(ledger: Ledger, number: int) -> None:
        raise KilledError

    with simulated_search("trials=12", PROMOTION) as (search, path):
        whole = drive(search, path / "whole")
        for step in ("pause", "take_up"):
            with monkeypatch.context() as patch, pytest.raises(KilledError):
                patch.setattr(Ledger, step, killed)
                drive(search, path / step)
            assert drive(search, path / step) == whole


def test_the_sampler_learns_from_trials_that_wait() -> None:
    """None is trained to its end before the last is asked for: drawn without a result they would lie anywhere."""
    with simulated_search("trials=60", "pruner={name: promotion, startup_trials: 60}") as (search, path):
        distances = [away(trial.params) for trial in drive(search, path / "s")]
    assert sum(distances[30:]) < sum(distances[:30]) / 2


def test_a_training_shorter_than_a_look_ends_with_it() -> None:
    with simulated_search("trials=10", f"pruner={{name: promotion, startup_trials: 4, second_look: {REPORTS}}}") as (
        search,
        path,
    ):
        states = [trial.state for trial in drive(search, path / "s")]
    assert states.count("COMPLETE") == 1


@pytest.mark.parametrize("reports", [2, 6], ids=["before its second look", "after it"])
def test_others_take_the_places_of_those_that_fail(monkeypatch: pytest.MonkeyPatch, reports: int) -> None:
    """The best of the early ones diverge, as learning rates do that are good at first."""
    lost = RecordedReport(1.0, 0.0, {}, failed="diverged")

    def diverging(params: Params) -> list[RecordedReport]:
        return [*curve(params)[:reports], lost] if away(params) < 0.6 else curve(params)

    monkeypatch.setattr(pause_rule, "curve", diverging)
    with simulated_search("trials=12", "sampler=random", PROMOTION) as (search, path):
        whole = drive(search, path / "s")
        assert {trial.state for trial in whole if away(trial.params) >= 0.6} == {"COMPLETE", "PRUNED"}
        for after in (9, 15, 20, 25):
            drive(search, path / f"{after}", stop_after=after)
            assert drive(search, path / f"{after}") == whole


def test_a_trial_that_went_on_goes_on_where_the_record_of_that_was_lost() -> None:
    """The journal's last lines are gone, and the reports that were made after them are not."""
    rule = "pruner={name: promotion, startup_trials: 4, every: 10, second_looks: 2}"
    with simulated_search("trials=6", "sampler=random", rule) as (search, path):
        whole = drive(search, path / "whole")
        drive(search, path / "s", stop_after=14)  # 4 first looks, 2 second ones of 3 reports, 4 reports of the one promoted
        journal = path / "s" / "study.journal"
        gone = json.dumps({PAUSED: None}, separators=(",", ":"))[1:-1].encode()
        lines = journal.read_bytes().splitlines(keepends=True)
        last = max(number for number, line in enumerate(lines) if gone in line)
        journal.write_bytes(b"".join(lines[:last]))
        assert drive(search, path / "s") == whole


def test_enlarged_it_waits_for_second_looks_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the first end of the search left waiting for good are no second looks that ended early."""
    under_way: list[int] = []
    take_up = Ledger.take_up

    def watched(ledger: Ledger, number: int) -> Params:
        if ledger.reports(number).last_step == 8:
            under_way.append(ledger.taken_up[1] - ledger.reached[8])
        return take_up(ledger, number)

    monkeypatch.setattr(Ledger, "take_up", watched)
    rule = "pruner={name: promotion, startup_trials: 8, every: 10, second_looks: 5, second_look: 8}"
    with simulated_search("trials=30", rule) as (search, path):
        drive(search, path / "s", workers=6)
        with simulated_search("trials=80", rule) as (larger, _):
            drive(larger, path / "s", workers=6)
    assert len(under_way) > 5 and set(under_way) == {0}


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ("keep: 1.5", "between 0 and 1"), ("startup_trials: 0", "at least 1"), ("second_look: 1", "more than first_look, 1"),
    ],
)  # fmt: skip
def test_values_out_of_range_are_told(options: str, allowed: str) -> None:
    with pytest.raises(UserError, match=allowed), simulated_search(f"pruner={{name: promotion, {options}}}"):
        pass
