"""What the report answers, of searches made up and of one that was trained."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from support.made_search import MadeSearch

from rebnn_search.base.metrics import final
from rebnn_search.config import Notice, UserError
from rebnn_search.report import TrackedSearch, folder_of
from rebnn_search.report.answers import QUESTIONS, Answer, Question, answers
from rebnn_search.report.answers.base import storage_of
from rebnn_search.report.best_so_far import best_so_far
from rebnn_search.report.configurations import configurations, with_rivals, zero
from rebnn_search.report.early_looks import early_looks
from rebnn_search.report.evaluation import evaluate
from rebnn_search.report.importance import importances
from rebnn_search.report.record import EVALUATION_FILE, BatchTime, Evaluation, read_evaluation
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.tracking import check_uri


def said(search: TrackedSearch) -> dict[str, Answer]:
    return {question.name: answer for question, answer in answers(search).items()}


def told(answer: Answer) -> str:
    return " ".join((answer.short, *answer.details))


def test_one_seed_cannot_tell_and_says_so() -> None:
    found = said(MadeSearch(24))
    assert "with one seed, and no predictions at hand, nothing tells whether that is noise" in told(found["choice"])
    assert "The command below trains it with three." in told(found["choice"])
    assert found["choice"].commands == ["rebnn-search refit made"]
    assert found["sure"].short == "Not known: made up."


def test_several_seeds_give_an_interval() -> None:
    search = MadeSearch(36, seeds=3, pruned=0)
    chosen, runner_up = configurations(search)[:2]
    text = told(said(search)["choice"])
    assert "(mean of 3 seeds)" in text and f"Its lead over the runner-up, {runner_up.name}, is " in text
    assert "over 3 common seeds)" in text
    # Less noise than lies between them is no noise.
    quiet = MadeSearch(36, seeds=3, pruned=0, noise=1e-6)
    assert "over 3 common seeds): more than noise." in told(said(quiet)["choice"])
    assert len(chosen.trials) == 3
    # Nor are ties sure because they are exact.
    exact = told(said(MadeSearch(36, seeds=3, pruned=0, noise=0.0))["choice"])
    assert "the same with each of 3 common seeds: too coarse a measure to tell what is noise." in exact


def test_the_lead_over_gamma_0_is_held_against_that_of_the_best_of_as_many() -> None:
    said_of = {}
    for behind in (1.0, 40.0):
        search = MadeSearch(120, seeds=3, pruned=0, noise=0.001, objective={"metric": "val/top1", "direction": "maximize"})
        for number, trial in enumerate(search.trials):
            if trial.params.get("gamma.value") == 0:
                value = trial.metrics[final("val/top1")] - behind - 0.1 * (number % 3)
                search.change(number, metrics={**trial.metrics, final("val/top1"): value})
        answer = next(question for question in QUESTIONS if question.name == "choice").ask(search)
        assert answer is not None
        text = told(answer)
        said_of[behind] = next(part for part in text.split("Its lead over ") if part.startswith("the best with γ = 0, "))
        assert " points (95 %: " in said_of[behind] and " points, over 3 common seeds): " in said_of[behind]
    count = len(configurations(search)) - 1
    assert f"not beyond what the best of {count} (Bonferroni) gains by noise." in said_of[1.0]
    assert f"more than noise, also for the best of {count} (Bonferroni)." in said_of[40.0]


def test_what_mattered_is_what_the_loss_is_made_of() -> None:
    clear = importances(MadeSearch(60, noise=0.01))
    assert clear.parameters[0].name == "optimizer.lr" and clear.untold is None
    assert all(one.low <= one.share <= one.high for one in clear.parameters)
    assert sum(one.share for one in clear.parameters) == pytest.approx(1)
    assert clear.left_out == ["gamma.value"]


def test_few_or_random_trials_tell_nothing() -> None:
    few = said(MadeSearch(7))["importance"]
    assert few.short.startswith("Too few trials to tell: it takes ")
    search = MadeSearch(30)
    values = [0.31, 0.92, 0.55, 0.13, 0.78, 0.44, 0.67, 0.25]
    for trial in search.trials:  # nothing to do with any parameter
        value = values[trial.number % 8] + 0.01 * (trial.number * 7 % 11)
        search.change(trial.number, metrics={**trial.metrics, "final/val/loss": value})
    assert importances(search).untold is not None
    assert said(search)["importance"].short.startswith("Too few trials to tell: ")


def test_the_best_so_far_and_what_more_would_bring() -> None:
    search = MadeSearch(40)
    found = best_so_far(search)
    assert found.best[-1] == configurations(search)[0].mean
    assert found.expected(40).mean == pytest.approx(found.values.min()) and found.expected(1).mean == pytest.approx(
        found.values.mean()
    )
    answer = said(search)["more"]
    assert "40 more would hold a better one with a chance of 50 %, the next one with 2.4 %" in told(answer)
    assert said(MadeSearch(3, pruned=0))["more"].short == "Too few to tell: 3 configurations."


def test_what_failed_or_broke_a_constraint_was_drawn_too() -> None:
    search = MadeSearch(40, pruned=0, constraints={"val/top1": ">= 10 %"})
    for number in range(10, 25):
        search.change(number, state="FAIL", metrics={})
    for number in range(25, 40):
        search.change(number, metrics={**search.trials[number].metrics, "final/val/top1": 5.0})
    assert len(best_so_far(search).values) == 10
    text = told(said(search)["more"])
    assert "40 more, as many as were tried with those that failed or broke a constraint, would hold a better one" in text
    assert "with a chance of 50 %, the next one with 2.4 %" in text


def test_the_runner_up_of_several_objectives_is_the_next_by_the_first() -> None:
    search = MadeSearch(4, pruned=0, objectives=["val/loss", "bytes"])
    for number, (loss, size) in enumerate([(0.1, 1e5), (0.3, 1e4), (0.101, 1.2e5), (0.102, 1.3e5)]):
        metrics = {**search.trials[number].metrics, "final/val/loss": loss, "final/bytes": size}
        search.change(number, metrics=metrics)
    assert [one.number for one in configurations(search)] == [0, 1, 2, 3], "the Pareto front first"
    assert [one.number for one in with_rivals(search)] == [0, 2, 3, 1]
    assert "Its lead over the runner-up, #2, is 0.0010" in told(said(search)["choice"])


def test_more_may_be_better() -> None:
    search = MadeSearch(12, pruned=0, objective={"metric": "val/top1", "direction": "maximize"})
    found = best_so_far(search)
    assert found.best[-1] == max(found.values) == configurations(search)[0].mean
    half = found.expected(6)
    assert half.low <= half.mean <= half.high == max(found.values)


def test_how_early_the_end_could_be_told() -> None:
    assert told(said(MadeSearch(40, pruned=0))["early"]).startswith(
        "After 12 % of the training the order was much as at the end: rank correlation +1.00 (no interval)."
    )
    search = with_first_half(MadeSearch(40, pruned=0), lambda end, generator: float(generator.uniform()))
    found = early_looks(search)
    assert [look.share for look in found.looks] == [report / 8 for report in range(1, 8)]
    assert [look.rho.mean for look in found.looks[4:]] == [1.0] * 3
    assert all(abs(look.rho.mean) < 0.5 for look in found.looks[:4])
    answer = said(search)["early"]
    assert answer.short.startswith("Not that it shows: after 25 % of the training the rank correlation with the end was ")
    assert "do without one" in told(answer)
    assert answer.figures == ("early_looks",)
    turned = said(with_first_half(MadeSearch(40, pruned=0), lambda end, generator: -end))["early"]
    assert turned.short.startswith("The other way round: ") and "−1.00 (no interval)" in turned.short
    assert "do without one" in told(turned)


def with_first_half(search: MadeSearch, value: Callable[[float, np.random.Generator], float]) -> MadeSearch:
    """With other values in the first half of each training: a function of its end."""
    generator = np.random.default_rng(0)
    for trial in search.trials:
        values = [one for _, one in search.series(trial, "val/loss")]
        values[:4] = [value(values[-1], generator) for _ in range(4)]
        search._series[trial.run_id, "val/loss"] = list(enumerate(values, start=1))
    return search


def test_of_what_a_pruner_left_nothing_is_said_of_pruning() -> None:
    search = MadeSearch(24)
    assert early_looks(search).configurations == 16
    answer = said(search)["early"]
    assert answer.short.startswith("Not to be told: ") and "do without one" not in told(answer)
    few = said(MadeSearch(9))["early"]
    assert few.short == "Too few to tell: 6 configurations trained to the end; it takes 8." and not few.figures


def test_seeds_are_no_further_configurations_to_tell_by() -> None:
    assert said(MadeSearch(28, seeds=4, pruned=0))["early"].short.startswith("Too few to tell: 7 configurations ")
    assert early_looks(MadeSearch(32, seeds=4, pruned=0)).configurations == 8


def test_trainings_of_different_lengths_are_compared_after_equal_shares() -> None:
    search = MadeSearch(10, pruned=0)
    for trial in search.trials[::2]:
        values = [value for _, value in search.series(trial, "val/loss")]
        search._series[trial.run_id, "val/loss"] = list(enumerate(np.repeat(values, 3).tolist(), start=1))
    assert [look.rho.mean for look in early_looks(search).looks] == [1.0] * 7


def test_layers_are_told_apart() -> None:
    assert "number 3 does most" in said(MadeSearch(6))["layers"].short


def test_without_a_folder_the_page_says_what_is_missing(made_report: Path) -> None:
    page = (made_report / "report.html").read_text(encoding="utf-8")
    assert 'How sure is the choice?</h3>\n<p class="short">Not known: made up.</p>' in page
    assert 'id="figure-confusion"' not in page and 'id="figure-history"' in page
    assert not (made_report / EVALUATION_FILE).exists()


@pytest.fixture(scope="module")
def evaluation(tracked: TrackedSearch) -> Evaluation:
    found = tracked.evaluation
    assert found is not None, "the report of the search kept it in its run"
    return found


def test_what_is_computed_again_is_what_was_tracked(tracked: TrackedSearch, evaluation: Evaluation) -> None:
    best = configurations(tracked)
    chosen = tracked.chosen
    assert chosen is not None and chosen in best[0].trials
    assert evaluation.trial == chosen.number == tracked.parent.data.metrics["best/trial"], "what the search chose"
    assert evaluation.samples == evaluation.split == sum(evaluation.total)
    assert 100 * sum(evaluation.correct) / evaluation.split == pytest.approx(chosen.metrics["final/val/top1"], abs=1)
    assert evaluation.confusion is not None
    assert [sum(row) for row in evaluation.confusion] == evaluation.total
    assert [one.number for one in evaluation.contenders][:2] == [one.number for one in best][:2]
    for one, configuration in zip(evaluation.contenders, best, strict=False):
        assert one.mean == pytest.approx(configuration.mean, rel=0.02) or one.number != configuration.number
    metrics = tracked.parent.data.metrics
    assert metrics["best/val_loss"] == pytest.approx(fmean(t.metrics["final/val/loss"] for t in best[0].trials)), "of its seeds"
    assert sum(one.first for one in evaluation.contenders) == pytest.approx(1)
    assert evaluation.contenders[0].low == evaluation.contenders[0].high == 0
    worst = evaluation.mistakes[0]
    assert worst.shape == [8, 8, 1] and worst.picture().max() == 255 and worst.label != worst.predicted
    assert [one.own for one in evaluation.mistakes] == sorted(one.own for one in evaluation.mistakes)
    engines = list(dict.fromkeys(one.engine for one in evaluation.latencies))
    assert engines[0] == "torch" and evaluation.packed < evaluation.float32
    assert [one.batch for one in evaluation.latencies] == [1, 32] * len(engines)


def test_the_fastest_engine_is_named(evaluation: Evaluation) -> None:
    times = [
        BatchTime(engine="torch", batch=1, milliseconds=2.0),
        BatchTime(engine="openvino", sums="int8", batch=1, milliseconds=0.1),
    ]
    made = MadeSearch(7)
    made.evaluation = evaluation.model_copy(update={"latencies": times})
    answer = said(made)["size"]
    assert "0.1 ms for one sample, computed by openvino in int8" in answer.short
    assert "torch: 2 ms for a batch of 1 (500 samples a second); openvino in int8: 0.1 ms" in answer.details[0]


def test_every_question_has_its_answer_of_a_trained_search(tracked: TrackedSearch) -> None:
    found = said(tracked)
    assert list(found) == ["choice", "sure", "importance", "more", "early", "wrong", "calibrated", "layers", "size"]
    assert "resamples of 360 validation samples" in found["sure"].short
    assert "over 2 common seeds" in told(found["choice"])


def test_it_is_read_back_as_it_was_kept(evaluation: Evaluation) -> None:
    assert read_evaluation(evaluation.dump(), evaluation.trial) == evaluation
    assert read_evaluation(evaluation.dump(), evaluation.trial + 1) is None, "of another trial"
    assert read_evaluation(evaluation.dump().replace('"version":1', '"version":2'), evaluation.trial) is None
    assert read_evaluation("{", evaluation.trial) is None


def test_other_samples_are_not_taken_for_the_search_s(searched: Path) -> None:
    tracked = TrackedSearch(check_uri(f"sqlite:///{searched / 'mlflow.db'}"), "s")
    tracked.trials = [
        replace(trial, metrics={**trial.metrics, "final/val/loss": trial.metrics["final/val/loss"] + 0.5})
        for trial in tracked.trials
    ]
    found = evaluate(tracked, SearchFolder(searched / "results" / "s"))
    assert isinstance(found, str) and "are not those of the search" in found


def test_checkpoints_that_are_gone_are_told(tracked: TrackedSearch, tmp_path: Path) -> None:
    number = int(tracked.parent.data.metrics["best/trial"])
    assert evaluate(tracked, SearchFolder(tmp_path / "s")) == f"no checkpoint of #{number} is here"


def test_a_rival_whose_checkpoints_are_gone_is_named(tracked: TrackedSearch, searched: Path, tmp_path: Path) -> None:
    folder = SearchFolder(shutil.copytree(searched / "results" / "s", tmp_path / "s"))
    rival = configurations(tracked)[1]
    for trial in rival.trials:
        shutil.rmtree(folder.checkpoints(trial.number))
    found = evaluate(tracked, folder)
    assert isinstance(found, Evaluation) and rival.number not in [one.number for one in found.contenders]
    (missing,) = found.missing
    assert missing.startswith(f"{rival.name} (no checkpoint of #")
    apart = [one if one is found.contenders[0] else one.model_copy(update={"low": 0.1}) for one in found.contenders]
    made = MadeSearch(7)
    made.evaluation = found.model_copy(update={"contenders": apart})
    answer = said(made)["sure"]
    assert (
        answer.short.endswith(", and none of those compared comes near it.") and f"Not compared: {missing}." in answer.details
    )


def test_the_folder_of_another_search_of_that_name_is_not_its(tracked: TrackedSearch, searched: Path, tmp_path: Path) -> None:
    assert folder_of(tracked, searched / "results") == SearchFolder(searched / "results" / "s")
    assert folder_of(tracked, tmp_path) is None
    (tmp_path / "s").mkdir()
    shutil.copy(searched / "results" / "s" / "search.yaml", tmp_path / "s")
    text = (tmp_path / "s" / "search.yaml").read_text(encoding="utf-8")
    own = SearchFolder(tmp_path / "s").search_id
    assert own is not None
    (tmp_path / "s" / "search.yaml").write_text(text.replace(own, own[::-1]), encoding="utf-8")
    assert folder_of(tracked, tmp_path) is None
    (tmp_path / "s" / "search.yaml").write_text("[", encoding="utf-8")
    with pytest.raises(UserError):
        SearchFolder(tmp_path / "s").read_search()
    assert folder_of(tracked, tmp_path) is None


def test_gamma_zero_is_compared_with_others_alone() -> None:
    search = MadeSearch(48, seeds=3, pruned=0)
    without = zero(search)
    assert without is not None and without in configurations(search)
    while (best := configurations(search)[0]) != without:  # the others fall behind
        for trial in best.trials:
            search.change(trial.number, metrics={**trial.metrics, "final/val/loss": trial.metrics["final/val/loss"] + 5})
    assert configurations(search)[0] == zero(search)
    assert "γ = 0" not in told(said(search)["choice"]).partition("Its lead")[2]


def test_of_one_hyperparameter_alone_nothing_is_shared_out() -> None:
    space = {"optimizer.lr": {"log_uniform": [1e-4, 1e-1]}}
    search = MadeSearch(30, space=space)
    for trial in search.trials:
        search.change(trial.number, params={"optimizer.lr": trial.params["optimizer.lr"]})
    assert said(search)["importance"].short == "lr is the only one that every trial has: there is nothing to share out."


def test_where_a_search_is_kept_is_what_its_run_noted() -> None:
    search = MadeSearch(7)
    for history, expected in (
        ([], "results"), ([{"command": "rebnn-search run x --storage there"}], "there"),
        ([{"command": "rebnn-search auto photos --out pets", "storage": "pets/results"}], "pets/results"),
    ):  # fmt: skip
        search.history = history
        assert storage_of(search) == expected


def test_a_question_that_cannot_be_answered_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def boom(search: TrackedSearch) -> Answer:
        raise ZeroDivisionError("nothing to divide by")

    search = MadeSearch(7)
    others = list(said(search))
    monkeypatch.setitem(QUESTIONS._entered, "boom", Question("boom", "Boom?", boom, 0))
    with pytest.warns(Notice, match="the question boom is left out: ZeroDivisionError: nothing to divide by"):
        assert list(said(search)) == others
