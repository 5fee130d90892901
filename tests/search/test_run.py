"""The command as a user runs it: real Ray, real MLflow, real signals."""

import json
import re
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from rebnn_search.training import Trainer, load_recipe


def test_a_search_from_beginning_to_end(workplace) -> None:  # type: ignore[no-untyped-def]
    workplace.report = True
    (workplace.path / "mlflow.db").unlink()  # MLflow makes its database anew
    result = workplace.json("--set", "trials=8")
    assert set(result) == {
        "name", "storage", "tracking_uri", "experiment", "parent_run_id", "view", "objective", "direction", "trials", "best",
        "compare", "cost", "data",
    }  # fmt: skip
    assert result["name"] == "tiny_space-1"
    runs = workplace.agree(result)
    log = (workplace.path / "results" / result["name"] / "driver.log").read_text(encoding="utf-8")
    assert "result.json" not in log, "Tune missed the files that it was told not to write"
    states = [trial["state"] for trial in result["trials"]]
    assert states.count("PRUNED") >= 1
    assert all(trial["epochs"] < 2 for trial in result["trials"] if trial["state"] == "PRUNED")
    complete = [trial for trial in result["trials"] if trial["state"] == "COMPLETE"]
    assert all(trial["epochs"] == 2 for trial in complete)
    best = result["best"]
    assert best["number"] == min(complete, key=lambda trial: trial["val_loss"])["number"]
    assert any("oscillation/layer_01/flip_ratio" in run.data.metrics for run in runs)

    client = MlflowClient(result["tracking_uri"])
    parent = client.get_run(result["parent_run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best/test_top1"] == best["test_top1"]
    assert {a.path for a in client.list_artifacts(result["parent_run_id"])} == {
        "best.yaml",
        "leaderboard.md",
        "model",
        "report",
        "runs.json",
        "search.yaml",
    }

    # The written recipe is the chosen trial: trained again, alone and without Ray, it comes out the same.
    trainer = Trainer(load_recipe(best["recipe"]))
    while not trainer.finished:
        last = trainer.next_report()
    chosen = result["trials"][best["number"]]
    assert last.metrics["val/loss"] == chosen["val_loss"]
    assert trainer.evaluate("test")["top1"] == best["test_top1"]

    # Resuming a finished search runs nothing, reads the test split no second time and says the same.
    again = workplace.json("--resume")
    first, second = result.pop("cost"), again.pop("cost")
    assert again == result
    assert second["trial_seconds"] == first["trial_seconds"] and len(second["run_seconds"]) == 2, "a run that trained nothing"
    # It can grow.
    workplace.report = False  # drawn twice by now
    grown = workplace.json("--resume", "--trials", "9")
    assert grown["trials"][:8] == result["trials"]
    assert len(grown["trials"]) == 9
    workplace.agree(grown)


@pytest.mark.slow(minutes=1)
def test_the_text_output_names_everything_a_user_needs_next(workplace) -> None:  # type: ignore[no-untyped-def]
    workplace.report = True
    out = workplace.run_as_a_user("--trials", "3", "--name", "mine")
    assert re.search(r"\[3/3\] \w+", out)
    for heading in (
        "rank",
        "trial",
        "γ-strategy",
        "γ value",
        "lr",
        "scale init",
        "val loss",
        "Top-1",
        "Top-5",
        "flip ratio",
        "epochs",
    ):
        assert heading in out
    assert re.search(r"chosen: trial #\d, test Top-1 [\d.]+ %, Top-5 [\d.]+ %", out)
    assert f"its recipe: {workplace.path}/results/mine/best.yaml" in out
    assert f"mlflow ui --backend-store-uri sqlite:///{workplace.path}/mlflow.db" in out
    assert "-m rebnn_search.run tiny_space.yaml --resume --name mine" in out
    assert not [line for line in out.splitlines() if re.search(r"ray|tune|WARNING", line, re.IGNORECASE) and "compare" not in line
                and "rebnn_search.run" not in line]  # fmt: skip


def test_killed_driver_and_interrupt_then_resume_equals_uninterrupted(workplace, uninterrupted) -> None:  # type: ignore[no-untyped-def]
    one = ("--set", "resources={max_concurrent: 1}")
    process = workplace.start(*one, "--name", "broken")
    for line in process.stdout:
        if line.startswith("[2/6]"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = workplace.sequence("broken")
    assert sum(state in ("COMPLETE", "PRUNED") for _, state, *_ in before) >= 2

    process = workplace.start(*one, "--name", "broken", "--resume")
    for line in process.stdout:
        if line.startswith("[4/6]"):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait() == 130, rest
    assert "broken was stopped; continue it with" in rest
    database = sqlite3.connect(workplace.path / "mlflow.db")
    assert database.execute("select count(*) from runs where status = 'RUNNING'").fetchone() == (0,)

    resumed = workplace.json(*one, "--name", "broken", "--resume")
    workplace.agree(resumed)
    assert workplace.sequence("broken") == uninterrupted.sequence("whole")
    paths = {"recipe": "", "model": ""}
    assert resumed["best"] | paths == uninterrupted.result()["best"] | paths


@pytest.mark.slow(minutes=0.5)
def test_a_trial_that_diverges_fails_with_its_reason_and_the_others_go_on(workplace) -> None:  # type: ignore[no-untyped-def]
    (workplace.path / "tiny_space.yaml").write_text(
        "recipe: tiny.yaml\n"
        "set: {optimizer.name: sgd, network: {name: mlp, width: 16, norm: false}, epochs: 4}\n"
        "space: {optimizer.lr: {choice: [1e-2, 1e30]}}\n"
        "fixed: [{optimizer.lr: 1e30}, {optimizer.lr: 1e-2}]\n"
        "trials: 2\n",
        encoding="utf-8",
    )
    result = workplace.json()
    assert [trial["state"] for trial in result["trials"]] == ["FAIL", "COMPLETE"]
    assert result["best"]["number"] == 1
    runs = workplace.agree(result)
    failed = next(run for run in runs if run.data.tags["state"] == "FAIL")
    assert re.match(r"diverged: .* iteration \d+", failed.data.tags["reason"])
    assert failed.info.status == "FAILED"
    assert workplace.study(result["name"]).trials[0].user_attrs["reason"] == failed.data.tags["reason"]


BAD = [
    (("--trials", "0"), "--trials 0: a search needs at least one trial"),
    (("--resume",), "nothing to resume"),
    (("--resume", "--name", "none"), "no such search"),
    (("--name", "../out"), "name '../out': use letters"),
    (("--tracking-uri", "sqlite:///nowhere/x.db"), "there is no directory"),
    (("--tracking-uri", "http://127.0.0.1:9"), "cannot be reached"),
    (("--set", "optimizer.lrr=1"), "--set optimizer.lrr=1: optimizer.lrr = 1: unknown key; did you mean 'lr'?"),
    (("--set", "data.name=digitz"), "no such dataset; did you mean 'digits'?"),
    (("--set", "nonsense"), "expected KEY=VALUE"),
    (("--storage", "tiny.yaml"), "is a file, not a directory"),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=[" ".join(args) for args, _ in BAD])
def test_a_user_s_mistake_is_one_message_and_leaves_nothing(workplace, args: tuple[str, ...], message: str) -> None:  # type: ignore[no-untyped-def]
    before = sorted(workplace.path.rglob("*"))
    done = workplace.run(*args, code=2)
    assert done.stdout == ""
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(workplace.path.rglob("*")) == before


def test_dry_run_shows_the_first_configurations_and_writes_nothing(workplace) -> None:  # type: ignore[no-untyped-def]
    before = sorted(workplace.path.rglob("*"))
    out = workplace.run("--dry-run").stdout
    assert sorted(workplace.path.rglob("*")) == before
    resolved, _, first = out.partition("\n\n")
    assert yaml.safe_load(resolved)["trials"] == 6
    assert "tiny_space-1 would begin with:\n  #0 constant value=0 lr=0.01\n  #1 flip_ratio lr=0.01\n" in first


@pytest.mark.slow(minutes=1)
def test_a_changed_search_is_refused_with_what_changed(workplace) -> None:  # type: ignore[no-untyped-def]
    workplace.json("--trials", "1", "--name", "mine")
    done = workplace.run("--resume", "--name", "mine", "--set", "epochs=3", "--set", "pruner.name=none", code=2)
    assert "recipe.epochs was 2, is 3" in done.stderr
    assert "pruner.name was 'median', is 'none'" in done.stderr
    before = (workplace.path / "results" / "mine" / "study.journal").read_bytes()
    taken = workplace.run("--name", "mine", code=2)
    assert "already holds a search: add --resume" in taken.stderr
    assert (workplace.path / "results" / "mine" / "study.journal").read_bytes() == before
    assert workplace.json("--trials", "1")["name"] == "tiny_space-1"


def test_a_search_with_nothing_to_choose_ends_with_1(workplace) -> None:  # type: ignore[no-untyped-def]
    pruned = ("--set", "pruner={name: threshold, upper: 0.0}", "--trials", "2", "--name", "none")
    done = workplace.run(*pruned, code=1)
    assert "none: no trial was trained to its end, so there is none to choose" in done.stdout
    again = json.loads(workplace.run(*pruned, "--resume", "--json", code=1).stdout)
    assert again["best"] is None and {trial["state"] for trial in again["trials"]} == {"PRUNED"}


def test_a_password_in_the_tracking_uri_is_nowhere_to_be_read(workplace) -> None:  # type: ignore[no-untyped-def]
    done = workplace.run("--tracking-uri", "postgresql+nodriver://me:s3cret@127.0.0.1:9/db", "--trials", "1", code=2)
    assert "me:***@127.0.0.1" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    for file in workplace.path.rglob("*"):
        if file.is_file():
            assert b"s3cret" not in file.read_bytes(), file


def by_number(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(t["number"], t["state"], t["params"], t["val_loss"], t["epochs"]) for t in result["trials"]]


@pytest.mark.slow(minutes=0.5)
def test_a_ledger_in_a_database_is_the_same_ledger(workplace, uninterrupted) -> None:  # type: ignore[no-untyped-def]
    one = ("--set", "resources={max_concurrent: 1}")
    ledger = ("--ledger", f"sqlite:///{workplace.path / 'ledger.db'}")
    shutil.copytree(uninterrupted.path / "results" / "whole", workplace.path / "results" / "journal")
    first = workplace.json(*one, *ledger, "--name", "database", "--trials", "3")
    assert not (Path(first["storage"]) / "study.journal").exists()
    assert "is in sqlite:///" in workplace.run("--resume", "--name", "database", *one, code=2).stderr
    assert "its journal" in workplace.run("--resume", "--name", "journal", *one, *ledger, code=2).stderr
    grown = workplace.json("--resume", "--name", "database", *one, *ledger, "--trials", "4")
    assert by_number(grown) == by_number(uninterrupted.result())[:4]
    elsewhere = ("--storage", "elsewhere", "--name", "database")
    assert "already holds a study named database" in workplace.run(*one, *ledger, *elsewhere, code=2).stderr
    assert "cannot be used" in workplace.run("--ledger", "nonsense://x", "--name", "new", code=2).stderr
