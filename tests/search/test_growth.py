"""A Ray cluster whose head holds no CPU, and Ray's own autoscaler, which adds nodes of one CPU where something waits for room."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util import get_node_ip_address
from support.commands import stop_ray

from rebnn_search.storage.folder import SearchFolder

HEAD = f"{0:056x}".replace("0", "f", 51)
"""The id that Ray's fake provider gives the head."""


@pytest.fixture
def growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """It may have up to three nodes of one CPU, of which there is none yet."""
    stop_ray()  # this process's own: one joins the cluster
    monkeypatch.setenv("RAY_FAKE_CLUSTER", "1")
    monkeypatch.setenv("AUTOSCALER_UPDATE_INTERVAL_S", "1")
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    address = f"{get_node_ip_address()}:{port}"
    config = tmp_path / "autoscaling.json"
    empty: dict[str, object] = {
        "auth": {"ssh_user": "nobody"},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
    }
    commands = ["initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray"]
    lists = [*(f"{name}_commands" for name in commands), "cluster_synced_files", "rsync_exclude", "rsync_filter"]
    provider = {
        "type": "fake_multinode",
        "head_node_id": HEAD,
        "gcs_address": address,
        "launch_multiple": True,
        "disable_node_updaters": True,
    }
    config.write_text(json.dumps({
        **empty, **{name: [] for name in lists}, "cluster_name": "growing", "max_workers": 3, "idle_timeout_minutes": 5,
        "upscaling_speed": 1.0, "provider": provider, "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 3},
        },
    }), encoding="utf-8")  # fmt: skip
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "gcs_server_port": port, "autoscaling_config": str(config)}
    )
    yield made
    ray.shutdown()
    made.shutdown()
    for process in psutil.process_iter():  # the nodes are the autoscaler's, which tells them nothing when it ends
        with suppress(psutil.Error):
            if f"--gcs-address={address}" in process.cmdline():
                process.kill()


@pytest.mark.slow(minutes=1.5)
def test_a_search_has_its_cluster_grow(growing: Cluster, workplace) -> None:  # type: ignore[no-untyped-def]
    words = ("--address", growing.address, "--set", "resources={max_concurrent: null}", "--set", "pruner.name=none")
    process = workplace.start(*words, "--set", "epochs=20", "--trials", "8")
    printed = process.stdout.read()
    assert process.wait(240) == 0, printed
    result = json.loads(SearchFolder(workplace.path / "results" / "tiny_space-1").result_file.read_text(encoding="utf-8"))
    assert [trial["state"] for trial in result["trials"]] == ["COMPLETE"] * 8
    ray.init(address=growing.address, log_to_driver=False)
    assert ray.cluster_resources()["CPU"] > 1  # it would do with one
