"""What a trial asks for and is not there is said: of one machine as an error, of a cluster while it waits."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.cluster_utils import Cluster
from support.commands import stop_ray
from support.forked import Forked, forked

from rebnn_search.config import UserError
from rebnn_search.execution.ray import room as room_module
from rebnn_search.execution.ray.address import TOKEN, own_token
from rebnn_search.execution.ray.room import OVERRIDE, asked, check_machine, fits, idle_gpus, refuse_unless_fits
from rebnn_search.study.spec import Resources


@pytest.mark.parametrize(
    ("resources", "nodes", "room"),
    [
        ({}, [{"CPU": 1.0}], True),
        ({"cpus_per_worker": 2}, [{"CPU": 1.0}, {"CPU": 1.0}], False),
        ({"workers_per_trial": 2}, [{"CPU": 1.0}, {"CPU": 1.0}], True),
        ({"workers_per_trial": 3}, [{"CPU": 1.0}, {"CPU": 1.0}], False),
        ({"gpus_per_worker": 1.0}, [{"CPU": 8.0}], False),
        ({"gpus_per_worker": 1.0}, [{"CPU": 8.0}, {"GPU": 4.0}], False),
        ({"gpus_per_worker": 0.1, "workers_per_trial": 10}, [{"CPU": 16.0, "GPU": 1.0}], True),
        ({"gpus_per_worker": 0.1, "workers_per_trial": 11}, [{"CPU": 16.0, "GPU": 1.0}], False),
        ({}, [], False),
    ],
)
def test_a_trial_fits_where_every_worker_finds_a_node(
    resources: dict[str, float], nodes: list[dict[str, float]], room: bool
) -> None:
    assert fits(nodes, Resources.model_validate(resources)) is room


def test_a_machine_s_error_says_what_is_asked_and_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    resources = Resources(workers_per_trial=4, cpus_per_worker=2, gpus_per_worker=0.5)
    assert asked(resources) == "a trial asks for 4 workers with 2 CPUs and 0.5 GPU each"
    with pytest.raises(UserError, match=r"resources: a trial asks .* each; this machine has 2 CPUs and 0 GPUs$"):
        refuse_unless_fits({"CPU": 2.0, "memory": 1e9}, resources)
    monkeypatch.delenv(OVERRIDE, raising=False)
    with pytest.raises(UserError, match="this machine has"):
        check_machine(Resources(cpus_per_worker=10_000))
    monkeypatch.setenv(OVERRIDE, json.dumps({"CPU": 10_000}))
    check_machine(Resources(cpus_per_worker=10_000))  # then Ray is to be asked


def test_a_machine_has_the_cores_that_this_process_may_use(workplace) -> None:  # type: ignore[no-untyped-def]
    """As batch systems limit a job: Ray itself counts the machine's."""
    one = [min(os.sched_getaffinity(0))]
    words = workplace.command("--set", "resources={cpus_per_worker: 2}", "--trials", "1")[3:]
    done = forked("run", *words, cwd=workplace.path, env=workplace.env, prepare=os.sched_setaffinity, prepared=(0, one))
    assert (done.returncode, done.stderr) == (2, "error: resources: a trial asks for 2 CPUs; this machine has 1 CPU\n")


@pytest.mark.parametrize(("gpus", "wanted", "said"), [(0.0, 0.0, False), (4.0, 0.0, True), (4.0, 0.25, False)])
def test_gpus_that_no_trial_asks_for_are_told_of(gpus: float, wanted: float, said: bool) -> None:
    line = idle_gpus({"CPU": 8.0, "GPU": gpus}, Resources(gpus_per_worker=wanted))
    assert (line is not None) is said
    assert line is None or "though Ray has 4 GPUs: --set resources.gpus_per_worker=1 gives" in line


@pytest.mark.slow(minutes=0.5)
def test_a_search_that_leaves_a_gpu_unused_says_so_and_goes_on(workplace, logical_gpus: None) -> None:  # type: ignore[no-untyped-def]
    env = workplace.env | {OVERRIDE: json.dumps({"CPU": 1, "GPU": 1})}
    done = subprocess.run(workplace.command("--trials", "1"), cwd=workplace.path, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "though Ray has 1 GPU: --set" in done.stderr, done.stderr


@pytest.mark.slow(minutes=0.5)
def test_a_ray_of_its_own_counts_them_so_too(workplace) -> None:  # type: ignore[no-untyped-def]
    one = f"{min(os.sched_getaffinity(0))}"
    workplace.variables["PYTHONPATH"] = str(workplace.path)
    (workplace.path / "tells.py").write_text(
        "import ray\nfrom rebnn_search import SearchObserver\n\n\nclass Tells(SearchObserver):\n"
        "    def began(self, target, ended):\n        print('CPUs', ray.cluster_resources()['CPU'])\n"
    )
    words = ["taskset", "--cpu-list", one, *workplace.command("--observer", "tells:Tells", "--trials", "1")]
    done = subprocess.run(words, cwd=workplace.path, env=workplace.env, capture_output=True, text=True, check=True)
    assert "CPUs 1.0\n" in done.stdout


def test_without_a_home_ray_gets_a_token_of_the_search_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (TOKEN, f"{TOKEN}_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert own_token() == {}
    monkeypatch.setenv("HOME", str(tmp_path / "is" / "not" / "there"))
    assert len(own_token()[TOKEN]) == 64
    assert own_token() != own_token()
    monkeypatch.setenv(TOKEN, "x")
    assert own_token() == {}


@pytest.mark.slow(minutes=0.5)
def test_a_user_without_a_home_can_search_and_a_long_folder_is_told_of(workplace) -> None:  # type: ignore[no-untyped-def]
    workplace.variables["HOME"] = "/proc/x"
    workplace.run_as_a_user("--trials", "1")
    deep = workplace.path / ("x" * 60) / ("y" * 40)
    deep.mkdir(parents=True)
    workplace.variables["TMPDIR"] = str(deep)
    done = workplace.run_apart("--trials", "1", code=2)
    assert "AF_UNIX path" in done.stderr and "set RAY_TMPDIR to a directory with a short name" in done.stderr


@pytest.mark.slow(minutes=1.5)
def test_on_a_cluster_that_may_grow_the_wait_is_told_until_it_has(workplace, logical_gpus: None) -> None:  # type: ignore[no-untyped-def]
    stop_ray()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0})
    try:
        words = workplace.command(
            "--address", cluster.address, "--set", "resources.gpus_per_worker=1", "--trials", "1", "--json"
        )
        process = Forked("run", *words[3:], cwd=workplace.path, env={**workplace.env, "RAY_ADDRESS": ""}, apart=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line == "waiting: a trial asks for 1 CPU and 1 GPU; the cluster has 1 of 1 CPUs and 0 of 0 GPUs free\n"
        cluster.add_node(num_cpus=1, num_gpus=1)
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert [trial["state"] for trial in json.loads(out)["trials"]] == ["COMPLETE"]
    finally:
        cluster.shutdown()


@pytest.mark.parametrize(("shared", "machine", "said"), [(True, 2.0, True), (False, 2.0, False), (False, 0.0, True)])
def test_in_a_ray_of_its_own_a_search_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shared: bool, machine: float, said: bool
) -> None:
    """Its own trials have what is not free, and their workers take seconds to start."""
    now = [0.0]
    monkeypatch.setattr(room_module, "nodes", lambda: [{"CPU": machine}])
    monkeypatch.setattr(room_module, "waiting", lambda resources: "waiting")
    monkeypatch.setattr(room_module.time, "monotonic", lambda: now[0])
    tells, trial = room_module.TellsOfWaiting(Resources(), shared=shared), SimpleNamespace(status="PENDING")
    for now[0] in (0.0, room_module.PATIENCE_SECONDS + 1):
        tells.on_step_begin(0, [trial])  # type: ignore[list-item]
    assert bool(capsys.readouterr().err) == said
