"""What the package offers at its face."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rebnn_search as rs
from rebnn_search.api import SearchResult, _as_words, _report
from rebnn_search.config import Notice, UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.load import load_search
from rebnn_search.study.result import Best, Result, TrialRow

SPACE = Path(__file__).parents[1] / "search_spaces" / "gamma.yaml"


def row(number: int, loss: float) -> TrialRow:
    params = {"optimizer.lr": 0.1 / (1 + number), "gamma.strategy": "flip_ratio"}
    return TrialRow(number, number, None, "COMPLETE", params, params, 12.0, loss, 90.0 + number, 99.0, 1e-4, None, None)


def result(objective: str = "val/loss", best: int | None = 3) -> Result:
    chosen = None if best is None else Best(best, 96.9, 100.0, "/x/best.yaml", "/x/model.safetensors", [best])
    rows = [row(3, 0.1), row(1, 0.2)]
    return Result("s-1", "/x", "sqlite:////x/mlflow.db", "s", "id", objective, "minimize", rows=rows, best=chosen)


def test_everything_offered_is_there_and_costs_nothing_before_it_is_used() -> None:
    code = """
import json, sys
import rebnn_search as rs
before = [name for name in ("torch", "ray", "optuna", "mlflow") if name in sys.modules]
there = set(rs.__all__) <= set(dir(rs)) and all(getattr(rs, name) is not None for name in rs.__all__)
print(json.dumps([before, there]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], True]
    assert set(rs._AT_FIRST_USE) <= set(rs.__all__)
    assert (Path(rs.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        rs.serach  # noqa: B018


def test_the_best_trial_s_values_are_at_hand() -> None:
    found = SearchResult(result(), "sqlite:///x")
    assert found.best_params == {"optimizer.lr": 0.025, "gamma.strategy": "flip_ratio"}
    assert found.best_value == 0.1
    assert SearchResult(result("val/top1"), "").best_value == 93.0
    assert [trial.number for trial in found.trials] == [3, 1]
    for name in ("best", "best_params", "best_value"):
        with pytest.raises(rs.UserError, match="s-1: no trial was trained to its end"):
            getattr(SearchResult(result(best=None), ""), name)


@pytest.mark.parametrize(("time", "message"), [
    (0, "time_budget 0: expected seconds above 0"), (-1.5, "time_budget -1.5: expected"), (float("nan"), "time_budget nan"),
    ("soon", "time_budget soon: expected a time such as 90s"),
])  # fmt: skip
def test_a_time_budget_is_checked_before_anything_is_begun(time: float | str, message: str) -> None:
    with pytest.raises(rs.UserError, match=message):
        rs.search("nowhere.yaml", time_budget=time)


def test_to_resume_may_mean_that_something_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(rs.UserError, match=r"nothing to resume|no such search|no search"):
        rs.search("gamma", name="mistyped-1", resume=True, or_start=False)
    assert not (tmp_path / "results").exists()


def test_overrides_are_values_by_name_or_words() -> None:
    words = ["epochs=3", "optimizer.lr=1e-2", "network={name: mlp, width: 8}", "pruner.name=none"]
    values = {"epochs": 3, "optimizer.lr": 1e-2, "network": {"name": "mlp", "width": 8}, "pruner.name": "none"}
    one, other = (load_search(SPACE, _as_words(given)).dump() for given in (words, values))
    assert one == other and one["recipe"]["epochs"] == 3
    assert _as_words("epochs=3") == ["epochs=3"]
    assert _as_words({"epochs": np.int64(3), "optimizer.lr": np.float32(0.5)}) == ["epochs=3", "optimizer.lr=0.5"]
    with pytest.raises(UserError, match="overrides: values are those of a YAML file: Object of type PosixPath"):
        _as_words({"data.root": Path("x")})


@pytest.mark.parametrize(("error", "why"), [(RuntimeError("no pen"), "no pen"), (KeyboardInterrupt(), "it was stopped")])
def test_a_report_that_cannot_be_drawn_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, why: str
) -> None:
    def failing(*args: object) -> None:
        raise error

    monkeypatch.setattr("rebnn_search.api.report_search", failing)
    with pytest.warns(Notice, match=f"no report: {why}; rebnn-search report s --storage .* --tracking-uri .* tries again"):
        assert _report("sqlite:///mlflow.db", SearchFolder(tmp_path / "s"), str(tmp_path)) is None
