"""What the report calls chosen is what the search chooses, and numbers are told of the trial that they belong to."""

import re
from collections import Counter
from statistics import fmean

import pytest
from support.made_search import SPACE, MadeSearch

from rebnn_search.report import page
from rebnn_search.report.answers import QUESTIONS, Answer
from rebnn_search.report.best_so_far import best_so_far
from rebnn_search.report.configurations import configurations
from rebnn_search.report.early_looks import early_looks
from rebnn_search.report.strategies import methods
from rebnn_search.report.tracked import TrackedSearch


def asked(search: TrackedSearch, name: str) -> Answer:
    found = next(question for question in QUESTIONS if question.name == name).ask(search)
    assert found is not None
    return found


def test_of_several_seeds_the_first_is_chosen_not_the_luckiest() -> None:
    search = MadeSearch(24, seeds=3, pruned=0)
    losses = [trial.metrics["final/val/loss"] for trial in search.trials]
    configurations = [losses[first : first + 3] for first in range(0, 24, 3)]
    best = min(range(8), key=lambda k: fmean(configurations[k]))
    search.change(3 * best, metrics={**search.trials[3 * best].metrics, "final/val/loss": max(configurations[best])})
    search.change(3 * best + 2, metrics={**search.trials[3 * best + 2].metrics, "final/val/loss": min(configurations[best])})
    assert search.chosen is not None and search.chosen.number == 3 * best
    # The answer is of that trial: its first layer flips most, the others' last.
    flips = search._series[f"run{3 * best}", "oscillation/layer_00/flip_ratio"]
    search._series[f"run{3 * best}", "oscillation/layer_00/flip_ratio"] = [(step, 100 * value) for step, value in flips]
    assert "number 1 does most" in asked(search, "layers").short


def test_a_configuration_of_which_one_seed_broke_a_constraint_is_not_recommended() -> None:
    search = MadeSearch(18, seeds=3, pruned=0, noise=0.0, constraints={"val/top1": ">= 60 %"})
    for trial in search.trials:
        search.change(trial.number, metrics={**trial.metrics, "final/val/top1": 70.0})
    losses = [fmean(trial.metrics["final/val/loss"] for trial in search.trials[k : k + 3]) for k in range(0, 18, 3)]
    best, second = sorted(range(6), key=losses.__getitem__)[:2]
    broken = search.trials[3 * best + 1]
    search.change(broken.number, metrics={**broken.metrics, "final/val/top1": 50.0})
    assert search.chosen is not None and search.chosen.number == 3 * second
    assert asked(search, "choice").short.startswith(f"#{3 * second}, #{3 * second + 1}, #{3 * second + 2}: ")
    told = {trial.number for one in configurations(search) for trial in one.trials}
    assert told == {n for n in range(18) if n // 3 != best}
    assert {trial.number for method in methods(search) for trial in method.trials} <= told
    assert best_so_far(search).best[-1] == min(losses[k] for k in range(6) if k != best)


def test_the_mean_of_what_a_pruner_left_is_no_best() -> None:
    search = MadeSearch(12, seeds=3, pruned=0)
    lucky = configurations(search)[1]
    for trial in lucky.trials[1:]:
        search.change(trial.number, state="PRUNED", reason="median")
    search.change(lucky.number, metrics={**lucky.trials[0].metrics, "final/val/loss": 0.001})
    best = configurations(search)[0]
    found = best_so_far(search)
    assert best.number != lucky.number and found.best[-1] == best.mean
    assert found.whole.count(False) == 1 and found.values[found.whole.index(False)] == 0.001
    for trial in search.trials[::3]:
        search.change(trial.number, state="PRUNED", reason="median")
    assert any(best_so_far(search).whole), "none has all of its seeds"


def test_trials_that_a_constraint_ended_are_not_among_those_within_it() -> None:
    search = MadeSearch(12, pruned=0, constraints={"bytes": "<= 100 kB"})
    for trial in search.trials:
        search.change(trial.number, metrics={**trial.metrics, "final/bytes": 5e4})
    pruned = search.trials[5]
    search.change(
        5, state="PRUNED", reason="infeasible", metrics={**pruned.metrics, "final/bytes": 5e6, "final/val/loss": 0.001}
    )
    found = best_so_far(search)
    assert found.numbers == [n for n in range(12) if n != 5] and all(found.whole)
    assert found.expected(11).mean == found.best[-1]
    assert not early_looks(search).selected, "no look early in training ended it"


class Enlarged(MadeSearch):
    """With a recipe among its run's files."""

    def artifact(self, run_id: str, name: str) -> str | None:
        return "the recipe that was chosen then" if name == "best.yaml" else None


@pytest.mark.parametrize("seeds", [1, 3])
def test_of_an_earlier_choice_nothing_is_told(seeds: int) -> None:
    told = {}
    for place in (0, 2):  # what the run says is of the chosen, or of another
        search = Enlarged(3 * seeds, seeds=seeds, pruned=0)
        trial = min(trial.number for trial in configurations(search)[place].trials)
        search.parent.data.metrics.update({
            "best/trial": float(trial), "best/val_loss": 0.25, "best/test_top1": 91.25, "refit/trial": float(trial),
            "refit/test_top1": 92.75, "refit/test_top1_interval": 0.5,
        })  # fmt: skip
        told[place] = page.render(search, {})
    for text in ("to 91.25 %", "<b>91.25 %</b>", "Refitted, to 92.75 ± 0.50 %.", "the recipe that was chosen then"):
        assert text in told[0] and text not in told[2]


def test_a_refit_before_the_search_was_enlarged_is_not_the_chosen_one_s() -> None:
    search = MadeSearch(12, pruned=0)
    best, other = configurations(search)[:2]
    search.parent.data.metrics.update({
        "best/trial": float(best.number), "best/test_top1": 91.25, "refit/trial": float(other.number), "refit/test_top1": 92.75,
        "refit/test_top1_interval": float("nan"),
    })  # fmt: skip
    assert "to 91.25 %." in asked(search, "choice").details[0] and "Refitted" not in asked(search, "choice").details[0]
    search.parent.data.metrics["refit/trial"] = float(best.number)
    assert asked(search, "choice").details[0].endswith(" Refitted, to 92.75 %."), "of one seed, which has no interval"


def test_the_page_s_numbers_are_the_chosen_configuration_s_by_the_objective() -> None:
    search = MadeSearch(12, seeds=3, pruned=0, objective={"metric": "val/top1", "direction": "maximize"})
    top1 = max(fmean(t.metrics["final/val/top1"] for t in search.trials[k : k + 3]) for k in range(0, 12, 3))
    search.parent.data.metrics.update({"best/trial": 0.0, "best/val_loss": 0.25})
    stats = dict(page._stats(search, Counter(), configurations(search)[0]))
    assert stats["validation Top-1 of the chosen"] == f"{top1:.2f} %" and "best validation loss" not in stats


def test_a_page_of_a_search_of_epochs_with_a_network_of_one_s_own() -> None:
    search = MadeSearch(8, space={**SPACE, "epochs": {"choice": [2, 6]}})
    search.search.base["network"] = {"name": "own.py:network"}  # which a report may not import unless it is allowed to
    for trial in search.trials:
        search.change(trial.number, params={**trial.params, "epochs": 6 if trial.number % 2 else 2})
    assert page._epochs(search)[1] == 4 * 2 + 4 * 6


def test_a_lead_is_of_what_its_interval_is_of() -> None:
    search = MadeSearch(6, seeds=3, pruned=0, noise=0.0)
    for trial, value in zip(search.trials, (0.10, 0.11, 0.30, 0.20, 0.211, 0.9), strict=True):
        search.change(trial.number, metrics={**trial.metrics, "final/val/loss": value})
    search.change(5, state="PRUNED")
    lead, low, high = led(search)
    # Of the means over all seeds it would be 0.2055 - 0.17 = 0.0355, of those in common 0.1005.
    assert lead == pytest.approx(0.1005, abs=1e-4) and low <= lead <= high


def led(search: MadeSearch) -> tuple[float, float, float]:
    """A lead over the runner-up with its interval."""
    number = r"([−0-9.]+)"
    text = asked(search, "choice").details[1]
    found = re.search(rf"Its lead over the runner-up, .*, is {number} \(95 %: {number} to {number},", text)
    assert found is not None
    lead, low, high = (float(text.replace("−", "-")) for text in found.groups())
    return lead, low, high
