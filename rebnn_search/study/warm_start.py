"""``warm_start``: the best configurations of an earlier search, tried first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from rebnn_search.config import UserError
from rebnn_search.storage.find import named_search
from rebnn_search.study.attributes import PARAMS, SUMMARY
from rebnn_search.study.ended import ended_trials
from rebnn_search.study.ranking import rank, standing_of
from rebnn_search.study.search import Search, recipe_value
from rebnn_search.study.spec import Params
from rebnn_search.study.stored import stored_search


def warm_started(search: Search, storage: str, ledger: str | None = None) -> Search:
    """The search with the best configurations of the one that it names after its own fixed ones.

    They are trained anew: data, training and code may be others now. What this search does not vary is left out; what the earlier
    one did not vary has its recipe's value. What this space does not have is passed over, and so is what is fixed already.

    Args:
        search: The search, whose file has a ``warm_start``.
        storage: Where both are kept.
        ledger: Database of the earlier search's study, of one that was begun with one.

    Raises:
        UserError: If there is no such search, it cannot be read, is judged by another objective, or has no configuration that was
            trained to its end and lies in this space.
    """
    wanted = search.spec.warm_start
    assert wanted is not None
    what = f"warm_start: {wanted.search}"
    folder = named_search(storage, wanted.search)
    earlier = stored_search(folder)
    theirs, ours = (", ".join(goal.name for goal in one.goals) for one in (earlier, search))
    if theirs != ours:
        raise UserError(f"{what}: was judged by {theirs}, and this search is by {ours}: they may disagree on what is best")
    trials, _ = ended_trials(folder, ledger if folder.ledger else None)
    best = list(_best_first(earlier, trials))
    if not best:
        raise UserError(f"{what}: no trial of it was trained to its end yet")
    found: list[Params] = []
    problem = "is fixed already"
    for params in best:
        try:
            adapted = _adapted(search, earlier, params)
        except ValueError as error:
            problem = str(error)
            continue
        if adapted not in [*search.fixed, *found]:
            found.append(adapted)
        if len(found) == wanted.best:
            break
    if not found:
        raise UserError(f"{what}: none of its configurations can be tried in this space; of the last of them {problem}")
    return Search(search.spec, search.base, [*search.fixed, *found], search.chosen)


def _best_first(earlier: Search, trials: Iterable[FrozenTrial]) -> Iterator[Params]:
    """Those that were trained to their end and kept to the earlier search's constraints."""
    complete = {trial.number: trial for trial in trials if trial.state == TrialState.COMPLETE}
    found = [standing_of(earlier, trial, trial.user_attrs.get(SUMMARY, {})) for trial in complete.values()]
    standings = [standing for standing in found if not standing.infeasible]
    for numbers in rank(standings, earlier.spec.objective, earlier.spec.seeds):
        params: Params = complete[numbers[0]].user_attrs[PARAMS]
        yield params


def _adapted(search: Search, earlier: Search, params: Mapping[str, object]) -> Params:
    """A configuration of another search in this one's space.

    Raises:
        ValueError: If the space does not have it, or it makes no valid recipe; says why.
    """
    recipe, found = earlier.recipe(dict(params)), Params()  # type: ignore[arg-type]
    for name, parameter in search.space.parameters.items():
        if not search.space.is_active(name, found):
            continue
        value = params[name] if name in params else recipe_value(recipe, name)
        if not parameter.contains(value):
            raise ValueError(f"{name} = {value!r}, and the space has {parameter.allowed()}")
        found[name] = parameter.canonical(value)
    try:
        search.recipe(found, new=True)
    except ValidationError as error:
        raise ValueError(f"{error.errors()[0]['msg']}, as a recipe") from None
    return found
