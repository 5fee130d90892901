"""An address is looked at before anything is joined: what answers there must be a head of Ray's."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rebnn_search.config import UserError
from rebnn_search.execution.ray.address import check_address
from rebnn_search.execution.ray.trainable import TASK, UPDATE, RecipeTrial
from rebnn_search.execution.task import TrialTask


class Quiet(BaseHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def web_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_web_server_is_no_cluster(web_server: str) -> None:
    with pytest.raises(UserError, match=f"--address {web_server}: what answers there is no Ray head; its port is 6379"):
        check_address(web_server)


def test_auto_means_what_the_environment_or_ray_start_says(
    web_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(UserError, match="no Ray cluster runs on this machine"):
        check_address("auto")
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")  # of a head that was killed
    with pytest.raises(UserError, match=r"--address auto \(which is 127.0.0.1:1\): no Ray cluster answers there"):
        check_address("auto")
    monkeypatch.setenv("RAY_ADDRESS", web_server)
    with pytest.raises(UserError, match=rf"--address auto \(which is {web_server}\): what answers"):
        check_address("auto")
    assert check_address("local") == "local"


def test_a_trial_that_no_memory_holds_ends_with_the_reason(tmp_path: Path) -> None:
    recipe = {"data": {"name": "digits"}, "network": {"name": "digits_resnet", "width": 10**8}, "epochs": 1}
    task = TrialTask(
        number=0,
        attempt=1,
        params={},
        recipe=recipe,
        last_step=0,
        folder=str(tmp_path),
        remote=None,
        workers=1,
        threads=1,
        gpus=0,
    )
    trial = RecipeTrial.__new__(RecipeTrial)  # Tune's own constructor makes a folder in the home directory
    trial.setup({TASK: task})
    result = trial.step()
    assert result["done"]
    assert "parameters: training it takes" in result[UPDATE].failed
    assert not list(tmp_path.iterdir())
