"""What to train, by how much it is better, and whether that is noise."""

from __future__ import annotations

import shlex
from statistics import median

from rebnn_search.base.metrics import CHOSEN_TEST_TOP1, VAL_TOP1, final, refit
from rebnn_search.report.answers.base import (
    STORAGE,
    Answer,
    allowed,
    counted,
    objective,
    percent,
    question,
    storage_of,
    written,
    written_between,
)
from rebnn_search.report.configurations import Configuration, configurations, zero
from rebnn_search.report.statistics import Interval, paired
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.study.table import HEADINGS, value


@question("choice", "What should I train?", place=10)
def choice(search: TrackedSearch) -> Answer:
    """Which configuration was chosen, with the command that trains it, and its lead."""
    found = configurations(search)
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
        details.append(_lead(search, chosen, without, f"the best with γ = 0, {without.name}"))
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
    storage = storage_of(search)
    where = [] if storage == STORAGE else ["--storage", storage]
    return shlex.join(["rebnn-search", "refit", search.name, *where, *allowed(search)])


def _values(search: TrackedSearch, chosen: Configuration) -> str:
    seeds = f" (mean of {len(chosen.trials)} seeds)" if len(chosen.trials) > 1 else ""
    text = f"It came to a {objective(search)} of {written(search, chosen.mean)}{seeds}"
    top1 = [trial.metrics[final(VAL_TOP1)] for trial in chosen.trials if final(VAL_TOP1) in trial.metrics]
    if top1 and search.objective != VAL_TOP1:
        text += f" and a Top-1 of {sum(top1) / len(top1):.2f} %"
    metrics = search.parent.data.metrics
    if CHOSEN_TEST_TOP1 in metrics:
        text += f"; on the test split, which had no part in the choice, to {metrics[CHOSEN_TEST_TOP1]:.2f} %"
    text += "."
    if refit("test_top1") in metrics:
        half = metrics.get(refit("test_top1_interval"))
        text += f" Refitted, to {metrics[refit('test_top1')]:.2f}{'' if half is None else f' ± {half:.2f}'} %."
    return text


def _lead(search: TrackedSearch, chosen: Configuration, other: Configuration, name: str) -> str:
    turn = 1 if search.minimize else -1
    gain = (other.mean - chosen.mean) * turn
    text = f"Its lead over {name}, is {written(search, gain)}"
    interval, over = _interval(search, chosen, other)
    if interval is None:
        return f"{text}; with one seed, and no predictions at hand, nothing tells whether that is noise."
    ends = f"{text} (95 %: {written_between(search, interval)}, over {over})"
    return f"{ends}: {'more than' if interval.low > 0 else 'within'} {'noise' if 'seed' in over else 'the noise of these samples'}."


def _interval(search: TrackedSearch, chosen: Configuration, other: Configuration) -> tuple[Interval | None, str]:
    """The interval of a lead, and what over: common seeds, or where there is one the validation samples."""
    turn = 1 if search.minimize else -1
    ours, theirs = (dict(zip((t.seed for t in one.trials), one.values, strict=True)) for one in (chosen, other))
    common = sorted((ours.keys() & theirs.keys()) - {None}, key=str)
    found = paired([(theirs[seed] - ours[seed]) * turn for seed in common])
    if found is not None:
        return found, f"{len(common)} common seeds"
    known = search.evaluation
    for contender in known.contenders[1:] if known is not None else ():
        if known is not None and contender.number == other.number:
            found = Interval(contender.behind, contender.low, contender.high)
            return found, counted(known.compared, "validation sample")
    return None, ""


def _median(search: TrackedSearch, found: list[Configuration]) -> list[str]:
    if len(found) < 3:
        return []
    middle = median(one.mean for one in found)
    gain = (middle - found[0].mean) * (1 if search.minimize else -1)
    share = f", {percent(gain / abs(middle))} of it" if middle else ""
    return [
        f"The median of the {len(found)} configurations trained to their end came to {written(search, middle)}; the chosen is "
        f"{written(search, gain)} better{share}. Picked as the best of them, it looks a little better on the validation split than "
        "it is."
    ]
