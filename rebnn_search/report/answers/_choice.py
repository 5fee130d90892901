"""What to train, by how much it is better, and whether that is noise."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import median

from rebnn_search.base.command import storage_words
from rebnn_search.base.metrics import CHOSEN_TEST_TOP1, CHOSEN_TRIAL, REFITTED_TRIAL, VAL_TOP1, final, refit
from rebnn_search.report.answers.base import (
    Answer,
    allowed,
    counted,
    gained,
    gained_between,
    objective,
    percent,
    question,
    storage_of,
    written,
)
from rebnn_search.report.configurations import Configuration, with_rivals, zero
from rebnn_search.report.statistics import Interval, for_best_of, paired
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.study.table import HEADINGS, value


@question("choice", "What should I train?", place=10)
def choice(search: TrackedSearch) -> Answer:
    """Which configuration was chosen, with the command that trains it, and its lead."""
    found = with_rivals(search)
    if not found:
        why = "kept to the constraints" if search.complete else "was trained to its end"
        return Answer(f"Nothing yet: no trial {why}.")
    chosen = found[0]
    params = ", ".join(f"{HEADINGS.get(name, name)} {value(item)}" for name, item in chosen.trials[0].params.items())
    details = [_values(search, chosen)]
    if len(found) > 1:
        details.append(_lead(search, chosen, found[1], f"the runner-up, {found[1].name}"))
    without = zero(search)
    if without is not None and without.number != chosen.number and (len(found) < 2 or without.number != found[1].number):
        details.append(_lead(search, chosen, without, f"the best with γ = 0, {without.name}", tries=len(found) - 1))
    details += _median(search, found)
    if search.search.spec.seeds == 1:
        details.append(
            "Each configuration was trained with one seed: how far another would move it cannot be told from that. The command "
            "below trains it with three."
        )
    if len(search.search.goals) > 1:
        details.append("Of several objectives the first decides here; the Pareto front is below.")
    return Answer(f"{chosen.name}: {params or 'the recipe as it is'}.", details, ("history",), [_command(search)])


def _command(search: TrackedSearch) -> str:
    return shlex.join(["rebnn-search", "refit", search.name, *storage_words(storage_of(search)), *allowed(search)])


def _values(search: TrackedSearch, chosen: Configuration) -> str:
    seeds = f" (mean of {len(chosen.trials)} seeds)" if len(chosen.trials) > 1 else ""
    text = f"It came to a {objective(search)} of {written(search, chosen.mean)}{seeds}"
    top1 = [trial.metrics[final(VAL_TOP1)] for trial in chosen.trials if final(VAL_TOP1) in trial.metrics]
    if top1 and search.objective != VAL_TOP1:
        text += f" and a Top-1 of {sum(top1) / len(top1):.2f} %"
    metrics = search.parent.data.metrics
    if chosen.holds(metrics.get(CHOSEN_TRIAL)) and CHOSEN_TEST_TOP1 in metrics:
        text += f"; on the test split, which had no part in the choice, to {metrics[CHOSEN_TEST_TOP1]:.2f} %"
    text += "."
    if chosen.holds(metrics.get(REFITTED_TRIAL)) and refit("test_top1") in metrics:
        half = metrics.get(refit("test_top1_interval"), nan)
        text += f" Refitted, to {metrics[refit('test_top1')]:.2f}{f' ± {half:.2f}' if isfinite(half) else ''} %."
    return text


@dataclass(frozen=True)
class _Lead:
    """The interval of a lead; what it is over, in words; what it is beyond or within; its degrees of freedom, if it is Student's."""

    interval: Interval
    over: str
    noise: str
    degrees: int | None = None


def _lead(search: TrackedSearch, chosen: Configuration, other: Configuration, name: str, tries: int = 1) -> str:
    """A lead with its interval, and whether it is more than noise: for the one of so many tries that came out best."""
    text = f"Its lead over {name}, is "
    common, differences = _differences(search, chosen, other)
    found = _interval(search, other, differences)
    if found is None and len(common) > 1:
        alike = f"the same with each of {len(common)} common seeds: too coarse a measure to tell what is noise."
        return f"{text}{gained(search, differences[0])}, {alike}"
    if found is None:
        gain = (other.mean - chosen.mean) * (1 if search.minimize else -1)
        return f"{text}{gained(search, gain)}; with one seed, and no predictions at hand, nothing tells whether that is noise."
    # Of what the interval is of: seeds that one of them lacks, or samples that were not computed, could move the means out of it.
    text += f"{gained(search, found.interval.mean)} (95 %: {gained_between(search, found.interval)}, over {found.over})"
    if tries == 1 or found.interval.low <= 0:
        return f"{text}: {'more than' if found.interval.low > 0 else 'within'} {found.noise}."
    firm = for_best_of(found.interval, tries, found.degrees).low > 0
    picked = f"the best of {tries} (Bonferroni)"
    return f"{text}: {f'more than {found.noise}, also for {picked}' if firm else f'not beyond what {picked} gains by {found.noise}'}."


def _differences(search: TrackedSearch, chosen: Configuration, other: Configuration) -> tuple[list[object], list[float]]:
    """The seeds that two configurations have in common, and by how much the chosen is better with each."""
    turn = 1 if search.minimize else -1
    ours, theirs = (dict(zip((t.seed for t in one.trials), one.values, strict=True)) for one in (chosen, other))
    common: list[object] = sorted((ours.keys() & theirs.keys()) - {None}, key=str)
    return common, [(theirs[seed] - ours[seed]) * turn for seed in common]  # type: ignore[index]


def _interval(search: TrackedSearch, other: Configuration, differences: Sequence[float]) -> _Lead | None:
    """The interval of a lead over common seeds, or where these tell nothing over the validation samples."""
    found = paired(differences)
    if found is not None:
        return _Lead(found, f"{len(differences)} common seeds", "noise", len(differences) - 1)
    known = search.evaluation
    for contender in known.contenders[1:] if known is not None else ():
        if known is not None and contender.number == other.number:
            found = Interval(contender.behind, contender.low, contender.high)
            return _Lead(found, counted(known.compared, "validation sample"), "the noise of these samples")
    return None


def _median(search: TrackedSearch, found: list[Configuration]) -> list[str]:
    if len(found) < 3:
        return []
    middle = median(one.mean for one in found)
    gain = (middle - found[0].mean) * (1 if search.minimize else -1)
    share = f", {percent(gain / abs(middle))} of it" if middle else ""
    return [
        f"The median of the {len(found)} configurations trained to their end came to {written(search, middle)}; the chosen is "
        f"{gained(search, gain)} better{share}. Picked as the best of them, it looks a little better on the validation split than "
        "it is."
    ]
