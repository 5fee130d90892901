import random

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from rebnn_search.study.history import BEST, RECENT, HistoryStorage, Window
from rebnn_search.study.spec import Objective


def trials(count: int) -> list[FrozenTrial]:
    made = []
    values = random.Random(0)
    for number in range(count):
        state = TrialState.PRUNED if number % 3 == 0 else TrialState.COMPLETE
        trial = create_trial(state=state, value=values.random() if state == TrialState.COMPLETE else None)
        trial.number = number
        made.append(trial)
    return made


def expected(many: list[FrozenTrial], minimize: bool) -> list[int]:
    """The window by its definition, from all trials at once."""
    sign = 1 if minimize else -1
    complete = [t for t in many if t.state == TrialState.COMPLETE]
    best = {t.number for t in sorted(complete, key=lambda t: (sign * t.value, t.number))[:BEST]}  # type: ignore[operator]
    others = [t.number for t in many if t.number not in best]
    return sorted([*best, *others[-RECENT:]])


@pytest.mark.parametrize("minimize", [True, False])
@pytest.mark.parametrize("count", [0, 7, BEST + RECENT, 3000])
def test_the_window_is_the_best_and_the_recent(minimize: bool, count: int) -> None:
    many = trials(count)
    window = Window(Objective.model_validate({"metric": "val/loss" if minimize else "val/top1"}))
    shuffled = many[:]
    random.Random(1).shuffle(shuffled)  # with several at a time, trials do not end in the order of their numbers
    for trial in many if count > BEST + RECENT else shuffled:
        window.add(trial)
    assert [trial.number for trial in window.trials] == expected(many, minimize)


def test_the_storage_shows_what_is_unfinished_and_what_has_just_ended() -> None:
    inner = InMemoryStorage()
    study_id = inner.create_new_study([StudyDirection.MINIMIZE], "s")
    for trial in trials(2000):
        inner.create_new_trial(study_id, trial)
    study = optuna.load_study(study_name="s", storage=HistoryStorage(inner, study_id, Objective()))  # type: ignore[arg-type]
    first = study.ask()
    assert first.number == 2000
    assert [t.number for t in study.get_trials(states=(TrialState.RUNNING,))] == [2000]
    study.tell(first, -1.0)
    seen = [t.number for t in study.get_trials()]
    assert seen[-1] == 2000 and len(seen) == BEST + RECENT
    assert seen == expected(inner.get_all_trials(study_id), minimize=True)


def test_the_sampler_proposes_what_it_would_for_a_small_study() -> None:
    def proposals(wrap: bool) -> list[dict[str, float]]:
        inner = InMemoryStorage()
        study_id = inner.create_new_study([StudyDirection.MINIMIZE], "s")
        storage = HistoryStorage(inner, study_id, Objective()) if wrap else inner
        study = optuna.load_study(study_name="s", storage=storage)  # type: ignore[arg-type]
        for number in range(30):
            study.sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=5)
            trial = study.ask()
            study.tell(trial, trial.suggest_float("x", -1, 1) ** 2 + (trial.suggest_categorical("c", ["a", "b"]) == "a"))
        return [trial.params for trial in study.trials]

    assert proposals(wrap=True) == proposals(wrap=False)
