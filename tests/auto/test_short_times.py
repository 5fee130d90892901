"""Times that have no room for a search: a training without one, in this process."""

import json
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rebnn_search.auto import run as auto_run
from rebnn_search.auto._direct import train_directly
from rebnn_search.auto._look import look_at
from rebnn_search.auto._networks import open_smallest
from rebnn_search.auto._plan import Plan, kept_seconds, plan_for
from rebnn_search.auto.result import NAME, AutoResult
from rebnn_search.auto.run import run_auto
from rebnn_search.auto.source import Source
from rebnn_search.base.command import python_command
from rebnn_search.cli.auto import main
from rebnn_search.cli.report import parser
from rebnn_search.config import UserError
from rebnn_search.export import load_model

TOO_SHORT_TO_SEARCH = 23.0
"""Seconds: starting a search alone is planned with more."""
LONG_ENOUGH = 180.0
"""For a search, and on any machine for three epochs; no test waits for its end."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = np.random.default_rng(0)
    lines = [f"{draw.normal(3 * (row % 3)):.3f};{'red' if row % 3 == 1 else 'blue'};{'abc'[row % 3]}" for row in range(150)]
    path = tmp_path_factory.mktemp("table") / "t.csv"
    path.write_text("\n".join(["x;colour;y", *lines]), encoding="utf-8")
    return path


def run(table: Path, out: Path, seconds: float, said: list[str]) -> AutoResult:
    def never(*_: Any) -> Any:
        raise AssertionError("no search begins")

    return run_auto(
        Source(table), out, seconds=seconds, seeds=1, tracking_uri="", begun=time.monotonic(),
        say=said.append, observe=never, on_start=never,
    )  # fmt: skip


def test_without_a_search_there_is_a_model_all_the_same(table: Path, tmp_path: Path) -> None:
    said: list[str] = []
    result = run(table, tmp_path / "out", TOO_SHORT_TO_SEARCH, said)
    assert any(line.startswith("no search: ") for line in said)
    # On a machine that is too busy for a second training the first is the model, and it says so.
    alone = "no time was left for a last training on training and validation split" in said
    assert (result.trials, result.seeds) == (0, 0 if alone else 1)
    assert result.trained_on == ("training split" if alone else "training and validation split")
    assert result.leaderboard[0].model
    assert load_model(result.model).info.temperature == result.calibration.temperature != 1
    assert result.test_top1 > result.majority + 20
    assert json.loads((tmp_path / "out" / "auto.json").read_text(encoding="utf-8"))["test_top1"] == result.test_top1
    assert not (tmp_path / "out" / "results").exists()
    rows = [row.argmax() for _, row in load_model(result.model).predict_files([table])]
    truth = ["abc".index(line[-1]) for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    assert np.mean(np.array(rows) == truth) > 0.5


def test_a_search_that_brought_nothing_gives_way_to_a_training(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(*args: Any) -> Plan:
        return replace(plan_for(*args), searched=True, epochs=3)

    monkeypatch.setattr(auto_run, "plan_for", planned)
    monkeypatch.setattr("rebnn_search.auto._searched.search_and_refit", lambda *_: None)
    said: list[str] = []
    result = run(table, tmp_path / "out", LONG_ENOUGH, said)
    assert "the time to search was over before any trial was trained to its end: the recipe's own values are trained" in said
    assert (result.trials, result.seeds) in ((0, 1), (0, 0))
    assert Path(result.model).is_file()


def test_a_training_that_the_time_overtakes_ends_with_its_epoch(table: Path) -> None:
    look = look_at(Source(table))
    plan = plan_for(look, open_smallest(look), TOO_SHORT_TO_SEARCH, 1, time.monotonic())
    said: list[str] = []
    made = train_directly(plan, plan.epochs, 3, time.monotonic(), said.append)
    assert (made.score, made.others, made.judged) == (None, [], made.shipped)
    assert said[0] == f"seed 0: the time was over after 1 of {plan.epochs} epochs"
    assert said[-1] == "no time was left for a last training on training and validation split"
    assert made.shipped.trained_on == "training split"
    assert made.shipped.info.classes == ["a", "b", "c"]


def test_the_least_time_is_said_and_is_enough_to_plan_with(table: Path) -> None:
    look = look_at(Source(table))
    opened = open_smallest(look)
    with pytest.raises(
        UserError, match=r"--time 1s: is too short even for the smallest network and no search .* would do"
    ) as error:
        plan_for(look, opened, 1.0, 1, time.monotonic())
    enough = float(str(error.value).rsplit("--time ", 1)[1].removesuffix("s would do"))
    assert kept_seconds(enough) < enough
    plan_for(look, opened, 3 * enough, 1, time.monotonic())


def test_planning_needs_neither_ray_nor_mlflow() -> None:
    code = (
        "import sys, rebnn_search.auto.run, rebnn_search.auto.__main__\n"
        "print({'ray', 'mlflow', 'optuna', 'pandas', 'sklearn'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_command_for_a_report_that_there_was_no_time_for_finds_the_search(tmp_path: Path) -> None:
    said: list[str] = []
    auto_run._report(tmp_path / "out", "sqlite:///elsewhere.db", False, said.append)
    (line,) = said
    words = shlex.split(line.partition("no time was left to draw the report: ")[2])
    assert words[: len(python_command()) + 2] == [*python_command(), "-m", "rebnn_search.report"]
    args = parser().parse_args(words[len(python_command()) + 2 :])
    assert (args.name, args.storage) == (NAME, str(tmp_path / "out" / "results"))
    assert (args.tracking_uri, args.out) == ("sqlite:///elsewhere.db", str(tmp_path / "out" / "report"))


@pytest.mark.parametrize("left", ["nothing", "a search", "a search that had ended", "a model"])
def test_ctrl_c_says_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], left: str
) -> None:
    def interrupted(source: Source, out: Path, **options: Any) -> AutoResult:
        (out / "results" / NAME if "a search" in left else out).mkdir(parents=True)
        (out / "recipe.yaml").touch()
        if left == "a search that had ended":
            (out / "results" / NAME / "result.json").touch()
        if left == "a model":
            (out / "model.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(auto_run, "run_auto", interrupted)
    tracked = f"sqlite:///{tmp_path / 'm.db'}"
    assert main(["t.csv", "--out", str(tmp_path / "out"), "--time", "1m", "--tracking-uri", tracked]) == 130
    said = capsys.readouterr()
    assert not said.out
    words = ["--storage", str(tmp_path / "out" / "results"), "--tracking-uri", tracked]
    assert (shlex.join([*words, "--resume", "--name", NAME]) in said.err) == (left == "a search")
    assert (shlex.join(["rebnn_search.refit", NAME, *words]) in said.err) == (left == "a search that had ended")
    assert (f"nothing was kept to go on with; remove {tmp_path / 'out'} to begin again" in said.err) == (left == "nothing")
    assert (f"the model is there: {tmp_path / 'out' / 'model.safetensors'}" in said.err) == (left == "a model")


def test_a_mistake_leaves_no_folder_and_two_at_once_have_one_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        main(["t.csv", "--time", "1m"])
    assert not list(tmp_path.glob("auto-*"))
    seen: list[Path] = []

    def another(source: Source, out: Path, **options: Any) -> AutoResult:
        seen.append(out)
        if len(seen) == 1:  # while this one looks at its data
            main(["t.csv", "--time", "1m"])
        raise KeyboardInterrupt

    monkeypatch.setattr(auto_run, "run_auto", another)
    main(["t.csv", "--time", "1m"])
    assert [str(path) for path in seen] == ["auto-t", "auto-t-2"]
