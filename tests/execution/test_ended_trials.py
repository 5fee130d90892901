"""What Tune keeps of a trial that has ended, to the end of the search."""

from typing import cast

from ray.tune.experiment import Trial

from rebnn_search.execution.controller import Controller
from rebnn_search.execution.ray.adapters import TrialCallback
from rebnn_search.execution.ray.trainable import UPDATE


def test_its_last_result_and_the_averages_of_tune_s_own_metrics_are_let_go() -> None:
    trial = Trial("RecipeTrial", stub=True)
    for iteration in (1, 2):
        trial.update_last_result(
            {"trial_id": trial.trial_id, "done": iteration == 2, "training_iteration": iteration, UPDATE: object()}
        )
    assert trial.metric_analysis and trial.metric_n_steps
    TrialCallback(cast("Controller", None)).on_trial_complete(2, [trial], trial)
    assert not trial.metric_analysis and not trial.metric_n_steps
    assert trial.last_result == {"trial_id": trial.trial_id, "done": True}
