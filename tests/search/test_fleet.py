"""Two searches on one Ray cluster of two nodes, which has room for two trials: each has one at work."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import ray
from ray.cluster_utils import Cluster
from support.commands import stop_ray
from support.forked import Forked

from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attempts import Attempt, read_attempts


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    stop_ray()  # this process's own: one joins the cluster
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


def until(process: Forked, text: str) -> None:
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return
    raise AssertionError(f"ended without {text!r}:\n{seen}")


def attempts(folder: SearchFolder) -> list[Attempt]:
    return [attempt for file in folder.trials.glob("*/attempts.jsonl") for attempt in read_attempts(file)]


@pytest.mark.slow(minutes=3)
def test_the_one_that_came_first_makes_room_for_the_second(cluster: Cluster, workplace) -> None:  # type: ignore[no-untyped-def]
    words = ("--address", cluster.address, "--set", "resources={max_concurrent: null}", "--set", "pruner.name=none")
    first = workplace.start(*words, "--name", "first", "--trials", "400")
    until(first, "[3/400]")
    second = workplace.start(*words, "--name", "second", "--trials", "3", "--set", "resources.priority=2")
    until(first, "the cluster is shared with second (priority 2): at most 1 trial at a time")
    until(second, "[3/3]")  # while the first has hundreds to do
    until(first, "the cluster is this search's alone: at most 2 trials at a time")
    assert second.wait(120) == 0
    first.send_signal(signal.SIGINT)
    first.stdout.read()
    assert first.wait(120) == 130
    ours, theirs = (attempts(SearchFolder(workplace.path / "results" / name)) for name in ("first", "second"))
    assert len(theirs) == 3
    together = [one for one in theirs for other in ours if one.began < (other.ended or 0) and other.began < (one.ended or 0)]
    assert together
