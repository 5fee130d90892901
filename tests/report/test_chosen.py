"""What the report calls chosen is what the search chooses, and numbers are told of the trial that they belong to."""

from statistics import fmean

from support.made_search import MadeSearch

from rebnn_search.report.answers import QUESTIONS, Answer
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
