"""What `rebnn_search.auto` makes of a finished search: the chosen trial, the finalists, the last trainings."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from rebnn_search.auto import _searched
from rebnn_search.auto._calibrate import calibrate, validation_logits
from rebnn_search.auto._candidate import HELD_OUT, JOINED
from rebnn_search.auto._plan import Plan
from rebnn_search.auto.result import NAME
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.result import Best, leaderboard
from rebnn_search.study.search import restore_search
from rebnn_search.training import load_recipe
from rebnn_search.training.evaluation import logits_of


@pytest.fixture
def plan(finished: Any) -> Plan:
    recipe = load_recipe(finished.path / "tiny.yaml")
    return Plan(recipe.dump(), {}, 2, 1.0, 1.0, 1, True, 0, [], recipe.data.build().open())


@pytest.fixture
def out(finished: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as auto's after its search."""
    shutil.copytree(finished.path / "results" / "mine", finished.path / "out" / "results" / NAME)
    out = Path(finished.path / "out")
    folder = SearchFolder(finished.path / "results" / "mine")
    _, data = folder.read_search()
    search = restore_search(data)
    searched = Best(**_result(out)["best"]), leaderboard(search, Ledger(folder, search), {})
    monkeypatch.setattr(_searched, "search_within", lambda *_: searched)
    return out


def made_within(out: Path, plan: Plan, uri: str, seconds: float, said: list[str]) -> Any:
    def never(*_: Any) -> Any:
        raise AssertionError("nothing is searched")

    return _searched.search_and_refit(out, plan, 2, 5, time.monotonic() + seconds, uri, said.append, never, never)


def test_the_last_training_s_probabilities_are_calibrated_by_the_chosen_trial(out: Path, plan: Plan, finished: Any) -> None:
    chosen, said = finished.search().number, []
    made = made_within(out, plan, finished.uri, 600.0, said)
    assert (made.trials, made.score.n, made.shipped.trained_on) == (2, 2, JOINED)
    assert made.judged.name == f"trial #{chosen}"
    names = [made.shipped.name, *(candidate.name for candidate in made.others)]
    assert sorted(names) == ["last training, seed 0", "last training, seed 1", "trial #0", "trial #1"]
    # What was read from the checkpoint is what the search validated, and what is shipped what the refit tested.
    labels = plan.data.labels("validation")
    logits = validation_logits(made.judged, plan.data)
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    expected = min(trial["val_loss"] for trial in _result(out)["trials"])
    assert loss == pytest.approx(expected, rel=1e-4)
    tested = [logits_of(c.network, plan.data, "test").argmax(1) for c in (made.shipped, *made.others) if c.trained_on == JOINED]
    top1 = [100 * float((found == plan.data.labels("test")).double().mean()) for found in tested]
    assert sum(top1) / 2 == pytest.approx(made.score.mean)
    assert f"by trial #{chosen}, of the same recipe, which did not see them" in calibrate(made, logits, labels).source
    assert made.calibrated(2.0).shipped.info.temperature == 2.0


def test_without_time_for_a_last_training_the_chosen_trial_is_the_model(out: Path, plan: Plan, finished: Any) -> None:
    said: list[str] = []
    made = made_within(out, plan, finished.uri, 0.0, said)
    assert said == ["no time was left for a last training: the model is the search's chosen trial"]
    assert made.shipped is made.judged
    assert (made.shipped.trained_on, made.score.n) == (HELD_OUT, 0)
    assert made.score.mean == _result(out)["best"]["test_top1"]
    assert [candidate.name for candidate in made.others] == [f"trial #{1 - finished.search().number}"]


def _result(out: Path) -> Any:
    return json.loads((out / "results" / NAME / "result.json").read_text(encoding="utf-8"))
