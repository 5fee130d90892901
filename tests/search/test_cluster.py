"""Several workers a trial, over several nodes: real Ray nodes on one machine, with logical GPUs."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from support.commands import stop_ray
from support.forked import Forked

from rebnn_search.storage.folder import SearchFolder

TWO_WORKERS = "resources={workers_per_trial: 2, gpus_per_worker: 1}"


@pytest.fixture
def cluster(logical_gpus: None) -> Iterator[Cluster]:
    """A head without GPUs and two nodes with two logical GPUs each."""
    stop_ray()  # this process's own: one joins the cluster
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0})
    made.gpu_nodes = [made.add_node(num_cpus=2, num_gpus=2) for _ in range(2)]
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def lines(process: Forked, until: str) -> str:
    seen = ""
    for line in process.stdout:
        seen += line
        if until in line:
            return seen
    raise AssertionError(f"ended without {until!r}:\n{seen}")


@pytest.mark.slow(minutes=1.5)
def test_a_search_outlives_a_node_and_gives_every_gpu_back(cluster: Cluster, workplace) -> None:  # type: ignore[no-untyped-def]
    process = workplace.start("--address", cluster.address, "--set", TWO_WORKERS, "--set", "max_failures=5", "--set", "epochs=6",
                              "--trials", "3", "--set", "pruner.name=none")  # fmt: skip
    seen = lines(process, "[1/3]")
    cluster.remove_node(cluster.gpu_nodes[1], allow_graceful=False)
    rest = process.stdout.read()
    assert process.wait(240) == 0, seen + rest
    result = json.loads(SearchFolder(workplace.path / "results" / "tiny_space-1").result_file.read_text(encoding="utf-8"))
    assert [trial["state"] for trial in result["trials"]] == ["COMPLETE"] * 3

    ray.init(address=cluster.address, log_to_driver=False)
    deadline = time.monotonic() + 60  # Ray itself takes a while to hold a silent node for dead
    while gpus() != (2.0, 2.0) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert gpus() == (2.0, 2.0)


def gpus() -> tuple[float | None, float | None]:
    return ray.cluster_resources().get("GPU"), ray.available_resources().get("GPU")


def trial_workers(root: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(root).children(recursive=True):
        try:
            if "RecipeTrial" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def sequence(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(t["number"], t["state"], t["params"], t["val_loss"], t["epochs"]) for t in result["trials"]]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow(minutes=1.5)
def test_a_killed_worker_s_trial_goes_on_from_its_checkpoint_to_the_same_end(workplace, workers: int) -> None:  # type: ignore[no-untyped-def]
    same = ("--set", f"resources={{max_concurrent: 1, workers_per_trial: {workers}}}", "--set", "epochs=16", "--trials", "2")
    whole = workplace.json(*same, "--name", "whole")
    checkpoints = workplace.path / "results" / "broken" / "trials" / "0001" / "checkpoints"
    victims: list[psutil.Process] = []

    def kill_once_there_is_a_checkpoint() -> None:
        deadline = time.monotonic() + 240
        while not list(checkpoints.glob("*.pt")) and time.monotonic() < deadline:
            time.sleep(0.01)
        victims.extend(trial_workers(os.getpid()))
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_once_there_is_a_checkpoint)
    killer.start()
    broken = workplace.json(*same, "--name", "broken")  # Ray's word that a worker died is not in what is printed
    killer.join()
    assert victims
    assert sequence(broken) == sequence(whole)
    assert broken["best"]["test_top1"] == whole["best"]["test_top1"]
    reports = (Path(broken["storage"]) / "trials" / "0001" / "reports.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in reports] == list(range(1, len(reports) + 1))


PART = """
from torch import distributed, nn


class Net(nn.Sequential):
    calls = 0

    def forward(self, x):
        self.calls += 1  # the first are those of whoever looks whether the network can be used at all
        if self.calls > 5 and distributed.is_initialized() and distributed.get_rank() == FAILS:
            raise RuntimeError(f"the disk of node {FAILS} is gone")
        return super().forward(x)


def net(in_channels, num_classes):
    return Net(nn.Conv2d(in_channels, 4, 3), nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))
"""
DIES = """
import os
import sys
import threading
import time


def dies_joining():
    while not hasattr(sys.modules.get("torch.distributed"), "init_process_group"):
        time.sleep(0.001)
    from torch import distributed

    begin = distributed.init_process_group
    distributed.init_process_group = lambda *args, rank, **options: os._exit(1) if rank else begin(*args, rank=rank, **options)


threading.Thread(target=dies_joining, daemon=True).start()
"""


@pytest.mark.parametrize(("fails", "reason"), [
    (0, "RuntimeError: the disk of node 0 is gone"), (1, "RuntimeError: the disk of node 1 is gone"), (None, "ActorDiedError"),
])  # fmt: skip
@pytest.mark.slow(minutes=0.5)
def test_a_failing_worker_ends_its_trial_at_once_and_says_why(workplace, fails: int | None, reason: str) -> None:  # type: ignore[no-untyped-def]
    """In training, whichever it is, or while it joins the others."""
    (workplace.path / "broken_part.py").write_text(f"FAILS = {fails}\n{PART}")
    if fails is None:
        (workplace.path / "sitecustomize.py").write_text(DIES)
        workplace.variables["PYTHONPATH"] = os.pathsep.join([str(workplace.path), os.environ.get("PYTHONPATH", "")])
    workers = ("--set", "resources={workers_per_trial: 2}", "--set", "max_failures=0", "--set", "network=broken_part:net")
    printed = workplace.run_as_a_user(*workers, "--allow", "broken_part:net", "--trials", "1", "--name", "s", "--json", code=1)
    (trial,) = json.loads(printed)["trials"]
    assert trial["state"] == "FAIL"
    trace = (workplace.path / "results" / "s" / "trials" / "0000" / "error.txt").read_text(encoding="utf-8")
    assert reason in trace
    if fails is not None:
        assert trial["reason"] == reason
        assert "broken_part.py" in trace
