import random
from typing import Any

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


class Counting(InMemoryStorage):
    """Counts how often it is asked for a trial."""

    asked = 0

    def get_trial(self, trial_id: int) -> FrozenTrial:
        self.asked += 1
        return super().get_trial(trial_id)


def test_a_report_asks_for_no_other_trial() -> None:
    def asked(running: int) -> int:
        inner = Counting()
        study_id = inner.create_new_study([StudyDirection.MINIMIZE], "s")
        pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
        storage: Any = HistoryStorage(inner, study_id, Objective())
        study = optuna.load_study(study_name="s", storage=storage, pruner=pruner)
        first, *others = [study.ask() for _ in range(running)]
        first.report(0.0, 1)
        study.tell(first, 0.0)
        for trial in others:
            trial.report(1.0, 1)
        before = inner.asked
        others[0].report(1.0, 2)
        assert not others[0].should_prune() and others[1].should_prune()
        assert len(study.get_trials(deepcopy=False)) == running
        return inner.asked - before

    few, many = asked(10), asked(300)
    # What the others had written is read once; the three questions read the one trial that was written between.
    assert many - few == 290


def test_what_is_written_is_seen() -> None:
    inner = InMemoryStorage()
    study_id = inner.create_new_study([StudyDirection.MINIMIZE], "s")
    storage: Any = HistoryStorage(inner, study_id, Objective())
    study = optuna.load_study(study_name="s", storage=storage)
    for number in range(40):
        trial = study.ask()
        assert trial.suggest_float("x", 0, 1) == study.get_trials()[-1].params["x"]
        trial.report(number, 1)
        trial.set_user_attr("a", number)
        storage.set_trial_system_attr(trial._trial_id, "b", number)
        if number % 3 == 0:
            study.tell(trial, number)
        for states in (None, (TrialState.COMPLETE,), (TrialState.RUNNING, TrialState.COMPLETE), (TrialState.WAITING,)):
            assert study.get_trials(states=states) == inner.get_all_trials(study_id, states=states)
