import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from rebnn_search.search.window import BEST, RECENT, WindowSampler, window


def trials(count: int, running: int = 0) -> list[FrozenTrial]:
    made = []
    for number in range(count):
        finished = number >= running
        state = TrialState.RUNNING if not finished else TrialState.PRUNED if number % 3 == 0 else TrialState.COMPLETE
        # Older trials are better, so that the best and the recent differ.
        trial = create_trial(state=state, value=float(number) if state == TrialState.COMPLETE else None)
        trial.number = number
        made.append(trial)
    return made


def test_a_small_study_is_seen_whole() -> None:
    few = trials(BEST + RECENT)
    assert window(few, minimize=True) == few


@pytest.mark.parametrize("minimize", [True, False])
def test_a_large_one_by_its_best_its_recent_and_its_unfinished(minimize: bool) -> None:
    many = trials(3000, running=3)
    seen = window(many, minimize)
    assert len(seen) == BEST + RECENT + 3
    numbers = [trial.number for trial in seen]
    assert numbers == sorted(numbers)
    assert {0, 1, 2} <= set(numbers)
    complete = [trial.number for trial in many if trial.state == TrialState.COMPLETE]
    assert set(complete[:BEST] if minimize else complete[-BEST:]) <= set(numbers)
    assert set(range(3000 - RECENT, 3000)) <= set(numbers)


def test_the_sampler_proposes_what_it_would_for_a_small_study() -> None:
    def proposals(wrap: bool) -> list[dict[str, float]]:
        study = optuna.create_study()
        for number in range(30):
            sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=5)
            study.sampler = WindowSampler(sampler) if wrap else sampler
            trial = study.ask()
            study.tell(trial, trial.suggest_float("x", -1, 1) ** 2 + (trial.suggest_categorical("c", ["a", "b"]) == "a"))
        return [trial.params for trial in study.trials]

    assert proposals(wrap=True) == proposals(wrap=False)
