"""What the surroundings can do to a search: real processes killed, a real tracking server taken away."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from support.forked import Forked, forked

from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.search import restore_search
from rebnn_search.training import dump_recipe
from rebnn_search.training.report_log import read_reports


def read_until(process: Forked | subprocess.Popen[str], mark: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if mark in line:
            return seen
    raise AssertionError(f"ended without {mark!r}:\n{seen}")


@pytest.mark.slow(minutes=1.5)
@pytest.mark.parametrize(
    ("dies", "word"),
    [("gcs_server", "head at"), ("gcs_server that answers nobody any more", "head at"), ("raylet", "node on this machine")],
)
def test_a_dead_head_or_node_is_told_and_nothing_is_lost(workplace, dies: str, word: str) -> None:  # type: ignore[no-untyped-def]
    long = ("--set", "epochs=40", "--set", "pruner.name=none")  # Ray takes some seconds to miss a node
    process = workplace.start(*long, "--name", "mine")
    read_until(process, "[2/6]")
    (part,) = [p for p in psutil.Process(process.pid).children(recursive=True) if p.name() == dies.split()[0]]
    if dies.endswith("that answers nobody any more"):
        part.suspend()
        time.sleep(3)  # by then the watchdog has asked it something, and waits
    part.kill()
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert f"error: Ray's {word}" in rest
    assert "Continue with --resume." in rest
    result = workplace.json(*long, "--name", "mine", "--resume")
    assert len(result["trials"]) == 6
    assert result["best"] is not None


@pytest.mark.slow(minutes=1.5)
def test_a_trial_that_raises_is_tried_again_and_given_up_with_its_traceback(workplace) -> None:  # type: ignore[no-untyped-def]
    # Nothing a recipe can say raises in a trial; a damaged workspace does.
    (workplace.path / "tiny_space.yaml").write_text(
        "recipe: tiny.yaml\n"
        "set: {stage_one: {epochs: 1}}\n"
        "space: {gamma.strategy: {choice: [flip_ratio, max_gradient]}}\n"
        "trials: 2\nmax_failures: 1\nsampler: random\npruner: none\n",
        encoding="utf-8",
    )
    storage = workplace.path / "results" / "mine"
    process = workplace.start("--name", "mine", "--set", "resources={max_concurrent: 1}")
    read_until(process, "trials")
    (storage / "stage_one").write_text("in the way", encoding="utf-8")
    rest = process.communicate(timeout=120)[0]
    assert process.returncode == 1, rest
    assert rest.count("starting it again") == 2
    assert "no trial was trained to its end" in rest
    result = json.loads(SearchFolder(storage).result_file.read_text(encoding="utf-8"))
    assert [trial["state"] for trial in result["trials"]] == ["FAIL", "FAIL"]
    assert result["best"] is None
    trace = (storage / "trials" / "0000" / "error.txt").read_text(encoding="utf-8")
    assert trace.startswith("Traceback")
    assert "stage_one" in trace
    logged = list((workplace.path / "mlartifacts").rglob("error.txt"))
    assert trace in [file.read_text(encoding="utf-8") for file in logged]


def serve(folder: Path, port: int) -> subprocess.Popen[bytes]:
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", "sqlite:///server.db", "--port", str(port),
         "--workers", "1"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                if answer.status == 200:
                    return server
        except OSError:
            assert server.poll() is None, "the tracking server ended"
            time.sleep(0.2)
    raise AssertionError("the tracking server did not start")


def stop(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


@pytest.mark.slow(minutes=1.5)
def test_a_tracking_server_that_goes_away_delays_the_points_and_nothing_else(workplace) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = serve(workplace.path, port)
    words = workplace.command("--tracking-uri", f"http://127.0.0.1:{port}", "--name", "mine", "--set", "pruner.name=none")
    process = subprocess.Popen(
        words, cwd=workplace.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=workplace.env
    )
    try:
        read_until(process, "[2/6]")
        stop(server)
        read_until(process, "[6/6]")
        server = serve(workplace.path, port)
        rest = process.communicate(timeout=200)[0]
        assert process.returncode == 0, rest
        assert "tracking is behind" not in rest and "View run" not in rest, rest
    finally:
        process.kill()
        stop(server)
    with sqlite3.connect(workplace.path / "server.db") as database:
        assert database.execute("select count(*) from runs where status != 'FINISHED'").fetchone() == (0,)
        points = database.execute(
            "select count(*), count(distinct step) from metrics where key = 'val/loss' group by run_uuid"
        ).fetchall()
    assert points == [(8, 8)] * 6


@pytest.mark.slow(minutes=1)
@pytest.mark.parametrize("second", [None, signal.SIGINT])
def test_sigterm_stops_cleanly_and_a_second_signal_at_once(workplace, second: int | None) -> None:  # type: ignore[no-untyped-def]
    process = workplace.start("--name", "mine", "--set", "epochs=40", "--set", "pruner.name=none")
    checkpoints = workplace.path / "results" / "mine" / "trials" / "0000" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("*.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    if second is not None:
        process.send_signal(second)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    if second is None:
        assert "mine was stopped; continue it with" in rest


@pytest.mark.slow(minutes=1.5)
def test_a_full_disk_is_told_and_nothing_is_lost(workplace, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system of its own needs the right to mount one")
    try:
        one = (
            "--set",
            "resources={max_concurrent: 1}",
            "--set",
            "epochs=8",
            "--set",
            "pruner.name=none",
            "--storage",
            str(small),
        )
        done = workplace.run("--name", "mine", *one, "--trials", "8", code=2)
        said = [
            line for line in done.stderr.splitlines() if not line.startswith("waiting: ")
        ]  # for a worker, on a busy machine
        assert said[0].startswith("error: mine: No space left on device; free some and continue with --resume"), done.stderr
        subprocess.run(["mount", "-o", "remount,size=100m", str(small)], check=True)
        resumed = workplace.json("--name", "mine", "--resume", *one, "--trials", "8")
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)
    whole = workplace.json("--name", "whole", *one[:-2], "--trials", "8")
    assert [(t["state"], t["params"], t["val_loss"]) for t in resumed["trials"]] == [
        (t["state"], t["params"], t["val_loss"]) for t in whole["trials"]
    ]


@pytest.mark.parametrize(
    ("kills", "trials", "seed"),
    [
        pytest.param(4, 12, 3, marks=[pytest.mark.slow(minutes=4), pytest.mark.timeout(1200)]),
        pytest.param(100, 40, 0, marks=[pytest.mark.slow(minutes=45), pytest.mark.timeout(7200)]),
    ],
)
def test_killed_at_random_a_search_loses_nothing(kills: int, trials: int, seed: int) -> None:
    soak = Path(__file__).parents[2] / "benchmarks" / "soak.py"
    words = [sys.executable, str(soak), "--kills", str(kills), "--trials", str(trials), "--seed", str(seed), "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == kills and set(found["lost"].values()) == {0}


@pytest.mark.slow(minutes=0.5)
def test_a_trial_in_a_used_actor_is_one_in_a_fresh_process(workplace) -> None:  # type: ignore[no-untyped-def]
    result = workplace.json("--set", "resources={max_concurrent: 1}", "--set", "pruner.name=none", "--trials", "3")
    folder = SearchFolder(Path(result["storage"]))
    search = restore_search(folder.read_search()[1])
    for trial in result["trials"]:
        recipe = workplace.path / "one.yaml"
        dump_recipe(recipe, search.recipe(trial["params"]), "one trial")
        out = workplace.path / f"alone-{trial['number']}"
        done = forked("train", recipe, "--json", "--out", out, cwd=workplace.path)
        assert done.returncode == 0, done.stderr
        alone = [json.loads(line) for line in (out / "reports.jsonl").read_text(encoding="utf-8").splitlines()]
        kept = read_reports(folder.trial(trial["number"]) / "reports.jsonl")
        for ours, fresh in zip(kept, alone, strict=True):
            speed = {"train/images_per_second": 0.0}
            assert {**ours.metrics, **speed} == {**fresh["metrics"], **speed}
