"""The view of a search in its experiment's tag, and the command that opens it."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
import zlib
from base64 import b64decode
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from rebnn_search.base.errors import UserError
from rebnn_search.cli.main import main
from rebnn_search.tracking import RefitRuns, Runs, view_link, write_view
from rebnn_search.tracking.shared_view import LONGEST, VIEW_TAG, find_view, view_state, view_tag
from rebnn_search.tracking.ui import held_port

SPACE = {"gamma.strategy": True, "gamma.value": False, "optimizer.lr": True}


@pytest.fixture
def runs(tracking_uri: str) -> Runs:
    runs = Runs(tracking_uri, "gamma", "key")
    runs.ensure_parent("gamma-1", {"space": ", ".join(SPACE), "objective": "maximize val/top1"})
    runs.ensure_child(0, "#0 flip_ratio", {"gamma.strategy": "flip_ratio", "optimizer.lr": 0.01})
    return runs


def uri_of(path: Path) -> str:
    return f"sqlite:///{path / 'mlflow.db'}"


def test_a_state_is_json_and_compressed_where_that_is_too_long() -> None:
    state = view_state("key", "parent", SPACE, "val/top1", minimize=False)
    assert state["orderByKey"] == "metrics.`final/val/top1`" and state["orderByAsc"] is False
    assert {f"params.`{name}`" for name in SPACE} < set(state["selectedColumns"])
    tag = view_tag(state)
    assert tag is not None and json.loads(tag) == state
    many = view_state("key", "parent", {f"scale.layer_{k}": True for k in range(60)}, "val/loss", minimize=True)
    tag = view_tag(many)
    assert tag is not None and len(tag) <= LONGEST and tag.startswith("deflate;")
    assert json.loads(zlib.decompress(b64decode(tag.removeprefix("deflate;")))) == many


def test_a_store_that_does_not_take_it_ends_nothing(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: MlflowClient, experiment_id: str, key: str, value: str) -> None:
        raise MlflowException("no tags here")

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    assert not write_view(runs.client, runs.experiment_id, "key", runs.parent_id, SPACE, "val/loss", minimize=True)


def test_the_link_is_where_the_ui_is() -> None:
    assert (
        view_link("https://mlflow.example/", "7", "key") == "https://mlflow.example/#/experiments/7/runs?viewStateShareKey=key"
    )
    assert view_link("sqlite:////x/mlflow.db", "7", "key").startswith("http://127.0.0.1:5000/#/experiments/7/runs?")
    assert view_link("sqlite:////x/mlflow.db", "7", None).endswith("/#/experiments/7/runs")


def test_a_search_begun_without_a_view_is_given_one(runs: Runs, tmp_path: Path) -> None:
    assert find_view(uri_of(tmp_path), "gamma-1").search_id == "key"
    state = json.loads(runs.client.get_experiment(runs.experiment_id).tags[VIEW_TAG + "key"])
    assert state == view_state("key", runs.parent_id, SPACE, "val/top1", minimize=False)


def test_a_refit_takes_no_parameter_from_a_view_that_is_written_later(runs: Runs, tmp_path: Path) -> None:
    RefitRuns(uri_of(tmp_path), runs.parent_id, "recipe").ensure_child(0, "refit #0", {"seed": 0})
    find_view(uri_of(tmp_path), "gamma-1")
    state = json.loads(runs.client.get_experiment(runs.experiment_id).tags[VIEW_TAG + "key"])
    parallel = next(chart for chart in state["compareRunCharts"] if chart["type"] == "PARALLEL")
    assert parallel["selectedParams"] == ["gamma.strategy", "optimizer.lr"]


@pytest.mark.slow(minutes=0.5)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ui_serves_on_loopback_and_ends_on_ctrl_c_and_with_its_terminal(runs: Runs, tmp_path: Path, number: int) -> None:
    words = [sys.executable, "-m", "rebnn_search", "ui", "gamma-1"]
    # Under nohup, as who runs these tests may be, a closed terminal is to end nothing.
    process = subprocess.Popen(
        words, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        link = process.stdout.readline().strip()
        assert link.endswith(f"/#/experiments/{runs.experiment_id}/runs?viewStateShareKey=key")
        base = link.split("/#/")[0]
        assert base.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{base}/health", timeout=30) as answer:
            assert answer.status == 200
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in err
    with pytest.raises(OSError, match=r"."), urllib.request.urlopen(f"{base}/health", timeout=5):
        pass


def test_mistakes_are_told_in_a_line(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="gamma-2: tracking holds no search of this name; there: gamma-1"):
        main(["ui", "gamma-2"])
    with pytest.raises(UserError, match="--port 0: expected 1 to 65535"):
        main(["ui", "gamma-1", "--port", "0"])
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: cannot be listened at: "):
            main(["ui", "gamma-1", "--port", str(port)])
    monkeypatch.setattr("rebnn_search.cli.ui.find_spec", lambda name: None)
    with pytest.raises(UserError, match="MLflow is not installed for "):
        main(["ui", "gamma-1"])


def test_two_that_start_together_have_a_port_each() -> None:
    """A server takes seconds before it listens, and the other would then show this one's database."""
    with held_port(None) as first:
        with held_port(None) as second:
            assert first != second
        with pytest.raises(UserError, match=f"--port {first}: cannot be listened at: another UI is about to"), held_port(first):
            pass
    with held_port(first) as again:
        assert again == first
