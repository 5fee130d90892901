"""What is found out once there is a model, on one table with two short trainings."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rebnn_search.auto import _alternatives, _direct, _distil, _plan
from rebnn_search.auto._alternatives import (
    BOOSTING,
    LOGISTIC,
    Alternative,
    Fits,
    comparison_lines,
    majority_alternative,
    real_alternative,
)
from rebnn_search.auto._balance import balance_for
from rebnn_search.auto._calibrate import UNCALIBRATED, calibrate, validation_logits
from rebnn_search.auto._candidate import HELD_OUT, JOINED, Made
from rebnn_search.auto._direct import TrainedOnce, train_directly
from rebnn_search.auto._distil import Distilled, Terms, distil, distilled_lines
from rebnn_search.auto._importance import columns_of, importance, importance_lines
from rebnn_search.auto._leaderboard import leaderboard, leaderboard_lines
from rebnn_search.auto._look import look_at
from rebnn_search.auto._networks import Rung, open_smallest
from rebnn_search.auto._plan import Plan, plan_for
from rebnn_search.auto._scores import scores_of
from rebnn_search.auto.source import Source
from rebnn_search.export import export_packed, load_model
from rebnn_search.study.estimate import estimate
from rebnn_search.training.calibration import fit_temperature

LONG = 600.0
"""Seconds: no test waits for their end."""


@dataclass(frozen=True)
class Trained:
    """How a table was planned with and what was trained on it."""

    plan: Plan
    made: Made

    @property
    def once(self) -> TrainedOnce:
        """Its network as one training made it, to its end."""
        return TrainedOnce(self.made.shipped, 0.1, 80.0, 1e-3, True)

    @property
    def logits(self) -> torch.Tensor:
        """Of the network that did not see the validation split, on it."""
        found = validation_logits(self.made.judged, self.plan.data)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Classes told apart by a category and a number with gaps; two more columns are noise."""
    draw = np.random.default_rng(0)
    lines = ["colour,size,noise,when,kind"]
    for row in range(240):
        kind = row % 3
        colour = "red" if kind == 1 else ("blue", "green")[int(draw.integers(2))]
        size = "" if row % 40 == 5 else f"{draw.normal(3.5 * (kind == 2)):.3f}"
        lines.append(f"{colour},{size},{draw.normal():.3f},2020-0{1 + int(draw.integers(9))}-11,{'abc'[kind]}")
    table = tmp_path_factory.mktemp("trained") / "t.csv"
    table.write_text("\n".join(lines), encoding="utf-8")
    look = look_at(Source(table, "kind"))
    with pytest.MonkeyPatch.context() as patch:  # as a measurement would say, without one
        patch.setattr(_plan, "measure", lambda look, network, opened: Rung(network, opened.image_size, 0.01, 0.01))
        plan = plan_for(look, open_smallest(look), 1800.0, 1, time.monotonic())
    small = {"network": {"name": "mlp", "width": 32, "depth": 2}, "data": {**plan.recipe["data"], "repeat": 6}}
    plan = replace(plan, recipe={**plan.recipe, **small})
    return Trained(plan, train_directly(plan, 4, 1, time.monotonic() + LONG, lambda _: None))


def test_the_temperature_is_of_samples_that_the_network_did_not_see(trained: Trained, tmp_path: Path) -> None:
    made, data = trained.made, trained.plan.data
    assert made.judged is not None
    assert (made.judged.trained_on, made.shipped.trained_on) == (HELD_OUT, JOINED)
    labels = data.labels("validation")
    found = calibrate(made, trained.logits, labels)
    assert found.temperature == fit_temperature(trained.logits, labels)
    assert found.samples == len(labels) == 48
    assert "by first training, seed 0, of the same recipe, which did not see them" in found.text()
    assert found.loss[1] <= found.loss[0] + 0.05
    calibrated = made.calibrated(found.temperature)
    export_packed(calibrated.shipped.network, calibrated.shipped.info, tmp_path / "m")
    assert load_model(tmp_path / "m").info.temperature == found.temperature
    lone = torch.ones(len(labels))
    lone[3] = 100.0
    weighted = calibrate(made, trained.logits, labels, lone)
    assert weighted.temperature == found.temperature, "one sample is no calibration"
    assert "each counted once (weighted by class they would say no more than 2.2 equal ones)" in weighted.text()
    assert calibrate(replace(made, judged=None), None, labels) == UNCALIBRATED
    assert made.judged.info.temperature == 1.0


def test_the_leaderboard_reads_each_finalist_as_its_file_is(trained: Trained, tmp_path: Path) -> None:
    made, data = trained.made, trained.plan.data
    rows, left_out = leaderboard(replace(made, others=[made.shipped, made.shipped]), data, None, time.monotonic() + LONG)
    assert [(row.name, row.model) for row in rows] == [("last training, seed 0", True), ("first training, seed 0", False)]
    assert left_out == []
    assert rows[0].validation_loss is rows[0].validation_top1 is None  # it was trained on that split
    assert made.score is not None
    assert rows[0].test_top1 == pytest.approx(made.score.mean)
    assert rows[1].validation_top1 == scores_of(trained.logits, data.labels("validation")).top1
    export_packed(made.shipped.network, made.shipped.info, tmp_path / "m")
    assert rows[0].bytes == (tmp_path / "m").stat().st_size
    assert rows[0].latency_ms > 0
    lines = leaderboard_lines(rows, ["trial #7"])
    assert lines[0].endswith("chosen by validation; the test split was read for each when it was finished, and chose nothing:")
    assert lines[2].startswith("* last training, seed 0 ")
    assert lines[-1] == "  no time was left for trial #7"
    rows, left_out = leaderboard(made, data, None, time.monotonic())
    assert (len(rows), left_out) == (1, ["first training, seed 0"])  # the model is read whatever the time


def test_columns_matter_as_they_were_made(trained: Trained) -> None:
    made, data = trained.made, trained.plan.data
    assert made.judged is not None
    found = importance(made.judged, data, trained.logits, None, 4, time.monotonic() + LONG)
    assert found is not None
    worth = {column.column: column for column in found.columns}
    assert set(worth) == {"colour", "size", "noise", "when"}
    assert {column.column for column in found.columns[:2]} == {"colour", "size"}
    for name in ("colour", "size"):
        assert worth[name].drop - worth[name].half_width > 10
    assert abs(worth["noise"].drop) < 10
    blocks = dict(columns_of(data))  # type: ignore[arg-type]
    assert blocks["colour"] == slice(0, 3)
    assert blocks["size"] == slice(3, 5)  # itself, and where it was missing
    assert max(block.stop for block in blocks.values()) == data.channels
    assert found == importance(made.judged, data, trained.logits, None, 4, time.monotonic() + LONG)
    late = importance(made.judged, data, trained.logits, None, 4, time.monotonic() - 1)
    assert late is not None
    assert (late.columns, len(late.left_out)) == ([], 4)
    assert importance_lines(late)[-1] == "  no time was left for 4 more"


def test_what_else_there_was_is_fitted_to_the_same_rows(trained: Trained) -> None:
    from sklearn.linear_model import LogisticRegression

    data = trained.plan.data
    alternatives = {one.name: one for one in fitted(data, time.monotonic() + LONG)}
    known = torch.cat([data.samples(split).images.flatten(1) for split in ("train", "validation")])  # type: ignore[attr-defined]
    scaled, unknown = ((rows - known.mean(0)) / known.std(0, correction=0) for rows in (known, _test_rows(data)))
    labels = torch.cat([data.labels("train"), data.labels("validation")])
    by_hand = LogisticRegression(max_iter=2000).fit(scaled.numpy(), labels.numpy())
    expected = 100 * by_hand.score(unknown.numpy(), data.labels("test").numpy())
    assert alternatives[LOGISTIC].test_top1 == pytest.approx(
        expected, abs=100 / 48 + 1e-6
    )  # a row on the border may round otherwise
    assert alternatives[BOOSTING].test_top1 > majority_alternative(data).test_top1 + 20  # type: ignore[operator]
    assert majority_alternative(data).test_top1 == majority_alternative(data).test_balanced == pytest.approx(100 / 3)


def fitted(data: Any, end: float) -> list[Alternative]:
    with Fits(data, False, False, JOINED, end) as fits:
        return fits.alternatives()


def _test_rows(data: object) -> torch.Tensor:
    rows: torch.Tensor = data.samples("test").images.flatten(1)  # type: ignore[attr-defined]
    return rows


def test_what_there_is_no_time_for_is_said(trained: Trained) -> None:
    data, now = trained.plan.data, time.monotonic()
    alternatives = [*fitted(data, now), real_alternative(trained.made.shipped, data, 5.0, now + 1)]
    assert comparison_lines(alternatives, HELD_OUT)[1:] == [
        "  logistic regression: left out: no time was left",
        "  gradient boosting: left out: no time was left",
        "  the same network, real weights: left out: no time was left for a training of about 5 s",
    ]


def test_a_fit_that_does_not_end_is_ended(trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(
        f"import json, time\nprint(json.dumps({{'name': {LOGISTIC!r}, 'top1': 1.0, 'balanced': 2.0}}), flush=True)\n"
        "time.sleep(3600)\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(_alternatives, "PROGRAM", tmp_path / "endless.py")
    alternatives = fitted(trained.plan.data, time.monotonic() + 10)  # enough for a Python to start beside others
    assert [(one.name, one.test_top1, one.left_out) for one in alternatives] == [
        (LOGISTIC, 1.0, ""),
        (BOOSTING, None, "the time was over"),
    ]


def test_a_fit_that_fails_says_why(trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text("raise ValueError('an overflow')\n", encoding="utf-8")
    monkeypatch.setattr(_alternatives, "PROGRAM", tmp_path / "fails.py")
    alternatives = fitted(trained.plan.data, time.monotonic() + LONG)
    assert {one.left_out for one in alternatives} == {"it failed: ValueError: an overflow"}


def test_what_a_model_never_saw_the_alternatives_do_not_see(trained: Trained, tmp_path: Path) -> None:
    data = trained.plan.data
    for joined, splits in ((True, ("train", "validation")), (False, ("train",))):
        file, _ = _alternatives._write(data, joined, tmp_path)  # type: ignore[arg-type]
        with np.load(file) as arrays:
            assert arrays["labels"].tolist() == torch.cat([data.labels(split) for split in splits]).tolist()  # type: ignore[arg-type]


def test_an_ensemble_is_distilled_and_validation_says_what_is_kept(trained: Trained, tmp_path: Path) -> None:
    made, data = trained.made, trained.plan.data
    terms = Terms(data, None, 2, 1e-3, tmp_path / "teachers", time.monotonic() + LONG)
    said: list[str] = []
    new, found = distil(made, terms, said.append)
    assert (found.teachers, len(list((tmp_path / "teachers").glob("*.pt")))) == (2, 2)
    assert found.student_loss is not None and found.plain_loss is not None
    assert found.chosen is (found.student_loss < found.plain_loss)
    assert (new.shipped is made.shipped) is not found.chosen
    if found.chosen:
        assert (new.shipped.name, new.shipped.trained_on) == ("distilled, seed 0", JOINED)
        assert new.judged is not None and new.judged.trained_on == HELD_OUT
    else:
        assert "stays the model" in found.reason
    names = [candidate.name for candidate in (new.shipped, *new.others)]
    assert {"last training, seed 0", "student, seed 0"} <= {*names, "" if new.judged is None else new.judged.name}
    # Real weights are float32, and there are two networks.
    assert found.ensemble_bytes > 2 * 4 * 2 * 32 * 32
    json.dumps(vars(found))


def test_a_last_student_that_the_time_cut_short_is_not_the_model(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    students = iter([trained.once, replace(trained.once, whole=False)])
    monkeypatch.setattr(_distil, "train", lambda *_: next(students))
    losses = iter([(0.1, 90.0), (0.2, 80.0)])
    monkeypatch.setattr(_distil, "_validated", lambda *_: next(losses))
    terms = Terms(trained.plan.data, None, 2, 1e-3, tmp_path / "teachers", time.monotonic() + LONG)
    new, found = distil(trained.made, terms, lambda _: None)
    assert new.shipped is trained.made.shipped and not found.chosen
    assert "the time was over before it was distilled on both splits" in found.reason


def test_a_student_is_not_begun_twice_where_the_first_took_too_long(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    students = iter([replace(trained.once, seconds=2 * LONG)])
    monkeypatch.setattr(_distil, "train", lambda *_: next(students))
    losses = iter([(0.1, 90.0), (0.2, 80.0)])
    monkeypatch.setattr(_distil, "_validated", lambda *_: next(losses))
    terms = Terms(trained.plan.data, None, 2, 1e-3, tmp_path / "teachers", time.monotonic() + LONG)
    new, found = distil(trained.made, terms, lambda _: None)
    assert new.shipped is trained.made.shipped and "no time was left to distil on both splits" in found.reason


def test_a_training_that_the_time_cut_short_counts_where_there_is_no_whole_one(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def directly(*whole: bool) -> Made:
        made = iter([trained.once, *(replace(trained.once, whole=one, top1=60.0 + 10 * k) for k, one in enumerate(whole))])
        monkeypatch.setattr(_direct, "train", lambda *_: next(made))
        return train_directly(trained.plan, 1, len(whole), time.monotonic() + LONG, lambda _: None)

    assert directly(True, True, False).score == estimate([60.0, 70.0])
    assert directly(False, False).score == estimate([60.0, 70.0])


def test_without_time_the_model_stays(trained: Trained, tmp_path: Path) -> None:
    terms = Terms(trained.plan.data, None, 5, 60.0, tmp_path / "teachers", time.monotonic() + 100)
    new, found = distil(trained.made, terms, lambda _: None)
    assert new is trained.made
    assert distilled_lines(found, 90.0, 1) == ["not distilled: no time was left for an ensemble and its student"]
    assert not (tmp_path / "teachers").exists()


@pytest.mark.parametrize(
    ("test", "size", "words"),
    [
        (94.2, 1000, "0.80 points below it at 1/40 of its size: within 1 point at 1/20"),
        (93.0, 1000, "2.00 points below it at 1/40 of its size: not within 1 point at 1/20"),
        (96.0, 4000, "1.00 points above it at 1/10 of its size: not within 1 point at 1/20"),
    ],
)
def test_how_far_a_distilled_network_is_from_the_ensemble_is_said(test: float, size: int, words: str) -> None:
    found = Distilled(5, 40_000, 97.0, 96.0, 95.0, 95.0, 0.1, 0.2, True, "it is")
    assert distilled_lines(found, test, size)[1].endswith(f"the model is {words}")
    assert _distil.WITHIN_POINTS == 1.0


def test_classes_count_alike_where_they_are_uneven_or_the_user_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for many, uneven in ((60, False), (64, True)):
        rows = [f"{index % 7}.5,{'a' if index < many else 'b'}" for index in range(many + 20)]
        (tmp_path / "t.csv").write_text("\n".join(["x,y", *rows]), encoding="utf-8")
        look = look_at(Source(tmp_path / "t.csv"))
        data = look.open()
        for asked, balanced in (("auto", uneven), ("yes", True), ("no", False)):
            found = balance_for(data, asked)
            assert found.balanced is balanced
            assert found.reason.startswith("classes count alike" if balanced else "samples count alike")
            assert (found.weights(data) is None) is not balanced
        monkeypatch.setattr(_plan, "measure", lambda look, network, opened: Rung(network, opened.image_size, 0.01, 0.01))
        plan = plan_for(look, open_smallest(look), 1800.0, 1, time.monotonic(), balanced=uneven)
        assert plan.recipe.get("loss") == ({"class_weight": "balanced"} if uneven else None)


def test_balanced_accuracy_is_the_mean_over_the_classes_that_are_there() -> None:
    labels = torch.tensor([0, 0, 0, 0, 1, 2])
    logits = torch.nn.functional.one_hot(torch.tensor([0, 0, 0, 1, 1, 0]), 4)
    found = scores_of(logits, labels)
    assert found.top1 == pytest.approx(100 * 4 / 6)
    assert found.balanced == pytest.approx(100 * (3 / 4 + 1 + 0) / 3)


def test_a_fit_that_the_system_ended_is_told_as_such(trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = [
        "import os, signal, sys",
        "print('n_iter_i = 100', file=sys.stderr, flush=True)",
        "os.kill(os.getpid(), signal.SIGKILL)",
    ]
    (tmp_path / "killed.py").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(_alternatives, "PROGRAM", tmp_path / "killed.py")
    alternatives = fitted(trained.plan.data, time.monotonic() + LONG)
    assert {one.left_out for one in alternatives} == {"its process was ended by SIGKILL"}
