"""``stop_when``: a search that has what was wanted, or from which nothing better is to be expected, begins no more trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from optuna.trial import TrialState
from pydantic import Field, model_validator

from rebnn_search.config import Strict, fail
from rebnn_search.study.ranking import pareto_front

if TYPE_CHECKING:
    from rebnn_search.study.ledger import Ledger
    from rebnn_search.study.search import Search


class StopWhen(Strict):
    """When no new trial is begun any more, whatever ``trials`` says; either will do.

    Attributes:
        value: The best trial's objective, of several the first, is this or better; with several seeds its configuration's mean.
        no_better_in: So many trials that were begun after the best one have ended, or wait after a look at them, and none is
            better. Of several objectives: since the last one that came onto the Pareto front.
    """

    value: float | None = Field(default=None, allow_inf_nan=False)
    no_better_in: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _something(self) -> StopWhen:
        if self.value is None and self.no_better_in is None:
            fail("stop_when", (), "says nothing: give value, no_better_in or both", None)
        return self


def trials_left(search: Search, asked: int, enough: str | None) -> int:
    """How many trials may still be asked for.

    Args:
        search: The resolved search.
        asked: How many have been.
        enough: As `reason_to_stop` returned it.
    """
    most = max(0, search.trials - asked)
    if enough is None:
        return most
    return min(most, -asked % search.spec.seeds)  # the last configuration has all its seeds


def reason_to_stop(search: Search, ledger: Ledger) -> str | None:
    """Why a search begins no more trials, in words; None if it does, or its file has no ``stop_when``.

    A function of the record alone, so that a resumed search stops where the undisturbed one would.
    """
    wanted = search.spec.stop_when
    best = ledger.best if wanted is not None else []
    if wanted is None or not best:
        return None
    goal = search.goals[0]
    value = sum(trial.values[0] for trial in best) / len(best)
    if wanted.value is not None and goal.sort_key(value) <= goal.sort_key(wanted.value):
        return f"{goal.name} is {value:.4g}, and {wanted.value:g} was wanted"
    if wanted.no_better_in is None:
        return None
    complete = [ledger.standing_of(trial) for trial in ledger.trials if trial.state == TrialState.COMPLETE]
    newest = max(pareto_front(complete, search.spec.objective, search.spec.seeds) or (trial.number for trial in best))
    waiting = set(ledger.paused)
    since = sum(trial.number > newest and (trial.state.is_finished() or trial.number in waiting) for trial in ledger.trials)
    if since < wanted.no_better_in:
        return None
    return f"{since} trials since #{newest} brought nothing better"
