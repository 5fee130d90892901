"""A search that has enough ends by itself, where the undisturbed one would, and may be told otherwise afterwards."""

import pytest

from rebnn_search.config import UserError
from rebnn_search.execution.publish import TEST, settled
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.testing.pause_rule import REPORTS, away, drive, simulated_search

PLAIN = ("trials=40", "sampler=random")
PROMOTION = "pruner={name: promotion, startup_trials: 5, every: 5, second_look: 4, second_looks: 2}"


def test_good_enough_is_enough() -> None:
    with simulated_search(*PLAIN) as (search, path):
        whole = drive(search, path / "whole")
        wanted = sorted(trial.value or 0.0 for trial in whole)[3]
        first = next(trial.number for trial in whole if (trial.value or 0.0) <= wanted)
        assert 0 < first < 39
        few = load_search(path / "space.yaml", [*PLAIN, f"stop_when={{value: {wanted!r}}}"])
        assert drive(few, path / "few") == whole[: first + 1]


def test_of_what_is_maximised_more_is_better() -> None:
    maximised = (*PLAIN, "objective={metric: val/top1, direction: maximize}")
    with simulated_search(*maximised) as (search, path):
        whole = drive(search, path / "whole")
        wanted = sorted(trial.value or 0.0 for trial in whole)[-4]
        first = next(trial.number for trial in whole if (trial.value or 0.0) >= wanted)
        few = load_search(path / "space.yaml", [*maximised, f"stop_when={{value: {wanted!r}}}"])
        assert drive(few, path / "few") == whole[: first + 1]


def test_nothing_better_in_so_many_is_enough() -> None:
    with simulated_search(*PLAIN, "stop_when={no_better_in: 7}") as (search, path):
        ended = drive(search, path / "s")
        best = min(ended, key=lambda trial: trial.value or 0.0).number
        assert len(ended) == best + 1 + 7 < 40
        assert drive(search, path / "s") == ended, "finished: nothing is left to do"


def test_one_that_had_enough_has_nothing_left_to_do_for_which_to_wait_for_a_cluster() -> None:
    with simulated_search(*PLAIN, "stop_when={no_better_in: 7}") as (search, path):
        drive(search, path / "s")
        ledger = Ledger(SearchFolder(path / "s"), search)
        assert not settled(search, ledger), "the test split has not been read for the best one"
        ledger.note(TEST, {str(trial.number): {"top1": 1.0, "top5": 1.0} for trial in ledger.best})
        assert settled(search, ledger)


@pytest.mark.parametrize("workers", [1, 6])
def test_with_promotion_what_waits_is_trained_on(workers: int) -> None:
    with simulated_search("trials=400", "sampler=random", PROMOTION, "stop_when={no_better_in: 40}") as (search, path):
        ended = drive(search, path / "s", workers=workers)
        assert 40 < len(ended) < 400
        whole = [trial for trial in ended if len(trial.reports) == REPORTS]
        assert len(whole) >= len(ended) // 10 and all(trial.state != "RUNNING" for trial in ended)


@pytest.mark.parametrize(("pruner", "wanted"), [("pruner=none", 5), (PROMOTION, 12)])
def test_stopped_anywhere_it_ends_as_the_undisturbed_one(pruner: str, wanted: int) -> None:
    with simulated_search(*PLAIN, pruner, f"stop_when={{no_better_in: {wanted}}}") as (search, path):
        whole = drive(search, path / "whole")
        assert len(whole) < 40
        for after in range(1, sum(len(trial.reports) for trial in whole), 37):
            drive(search, path / f"{after}", stop_after=after)
            assert drive(search, path / f"{after}") == whole, f"stopped after report {after}"


def test_a_configuration_has_all_its_seeds() -> None:
    with simulated_search("trials=60", "sampler=random", "seeds=3", "stop_when={no_better_in: 7}") as (search, path):
        ended = drive(search, path / "s")
        assert len(ended) < 60 and len(ended) % 3 == 0


def test_of_several_objectives_the_front_counts() -> None:
    several = ("objectives=[val/loss, val/top1]", "stop_when={no_better_in: 7}")
    with simulated_search(*PLAIN, *several) as (search, path):
        ended = drive(search, path / "s")
        best = min(ended, key=lambda trial: away(trial.params)).number
        assert len(ended) == best + 1 + 7


def test_one_may_change_ones_mind() -> None:
    with simulated_search(*PLAIN) as (search, path):
        few = load_search(path / "space.yaml", [*PLAIN, "stop_when={no_better_in: 5}"])
        assert len(drive(few, path / "s")) < 40
        assert drive(search, path / "s") == drive(search, path / "whole"), "without it the search goes on"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{}", r"stop_when.*says nothing: give value, no_better_in or both"),
        ("{no_better_in: 0}", r"stop_when.no_better_in = 0"),
        ("{value: .nan}", r"stop_when.value = nan"),
        ("{values: 3}", r"stop_when.values"),
        ("7", r"stop_when = 7"),
    ],
)
def test_a_slip_is_told(value: str, said: str) -> None:
    with simulated_search() as (_, path), pytest.raises(UserError, match=said):
        load_search(path / "space.yaml", [f"stop_when={value}"])
