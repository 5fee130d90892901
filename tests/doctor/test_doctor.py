"""What ``doctor`` finds: what is there is said to be there, what is missing has its advice, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement
from support.commands import call

from rebnn_search.base import cores as cores_module
from rebnn_search.base.cores import usable_cores, whole_cores
from rebnn_search.doctor import Finding, Level
from rebnn_search.doctor import machine as machine_module
from rebnn_search.doctor import storage as storage_module
from rebnn_search.doctor.choices import examine_choices
from rebnn_search.doctor.machine import cpu_vectors, examine_machine
from rebnn_search.doctor.services import examine_ray, examine_tracking
from rebnn_search.doctor.software import EXTRAS, examine_software, missing_of
from rebnn_search.doctor.storage import examine_storage
from rebnn_search.training import memory as memory_module
from rebnn_search.training.work import has_compiler


def by_name(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def worst(findings: dict[str, Finding]) -> list[str]:
    return [name for name, finding in findings.items() if finding.level == Level.FAIL]


def examined(path: Path, *words: str) -> tuple[int, dict[str, Any]]:
    done = call("cli.doctor", "--json", *words, cwd=path)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_software_is_what_is_installed() -> None:
    found = by_name(examine_software())
    assert not worst(found)
    assert found["torch"].value == torch.__version__.partition("+")[0] or found["torch"].value == torch.__version__
    assert {"extra cluster", "extra store", "extra export"} <= set(found)


def test_every_extra_is_looked_at() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"])


def test_what_is_missing_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "torch>=99",
        "no-such-thing>=1",
        "pyyaml",
        "no-such-store; extra == 'store'",
        "rebnn-search[store]; extra == 'cluster'",
    ]
    monkeypatch.setattr("rebnn_search.doctor.software.requires", lambda name: lines)
    found = by_name(examine_software())
    assert worst(found) == ["torch", "no-such-thing"]
    assert ">=99 is needed" in found["torch"].value and found["no-such-thing"].advice == "pip install 'no-such-thing>=1'"
    assert (found["extra cluster"].level, found["extra cluster"].advice) == (Level.NOTE, "pip install 'rebnn-search[cluster]'")
    assert missing_of("cluster", [Requirement(line) for line in lines]) == ["no-such-store"]


def test_a_container_s_limits_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(cores_module, "QUOTA", quota)
    allowed = len(os.sched_getaffinity(0))
    assert usable_cores() == allowed
    for text, cores in (("max 100000", allowed), ("50000 100000", 0.5), ("nonsense", allowed)):
        quota.write_text(text, encoding="ascii")
        assert usable_cores() == cores
        assert whole_cores() == max(1, cores)
    quota.write_text("50000 100000", encoding="ascii")
    assert by_name(examine_machine())["cores"].value.startswith("0.5 of ") or os.cpu_count() == 0.5


def test_what_a_container_has_used_is_not_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "CGROUP_LIMIT", tmp_path / "memory.max")
    for name, text in (
        ("memory.max", "900000000"), ("memory.current", "700000000"), ("memory.stat", "anon 400000000\ninactive_file 300000000\n"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text, encoding="ascii")
    machine = SimpleNamespace(total=8_000_000_000, available=3_000_000_000)
    monkeypatch.setattr(memory_module.psutil, "virtual_memory", lambda: machine)
    assert by_name(examine_machine())["memory"].value == "0.9 GB, 0.5 GB of it free"
    (tmp_path / "memory.max").write_text("max", encoding="ascii")
    assert by_name(examine_machine())["memory"].value == "8.0 GB, 3.0 GB of it free"


def test_vector_instructions_are_read_from_the_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine_module, "CPUINFO", info)
    assert cpu_vectors() == []
    info.write_text("model name\t: A Processor\nflags\t\t: fpu avx2 avx512f amx_tile amx_bf16\n", encoding="utf-8")
    assert cpu_vectors() == ["AVX2", "AVX-512", "AMX", "AMX bf16"]
    assert by_name(examine_machine())["processor"].value == "A Processor: AVX2, AVX-512, AMX, AMX bf16"


def test_the_choices_are_those_of_the_parts_that_choose() -> None:
    found = by_name(examine_choices())
    assert (found["device of rebnn-search train"].value == "cpu") is (not torch.cuda.is_available())
    if not torch.cuda.is_available():
        assert found["precision: auto"].value == "float32"
        assert found["compile: auto"].value.startswith("from 5e+12" if has_compiler() else "no")


def test_a_directory_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    found = by_name(examine_storage(str(tmp_path / "not" / "there")))
    assert not worst(found) and "will be made" in found[str(tmp_path / "not" / "there")].value
    assert {"fsync", "locks"} <= set(found)
    assert not list(tmp_path.iterdir())


def test_a_linked_directory_is_where_the_link_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    monkeypatch.setattr(storage_module, "_file_system", lambda place: f"file system of {place.name}")
    assert "on file system of disk" in by_name(examine_storage(str(tmp_path / "results")))[str(tmp_path / "results")].value
    made = str(tmp_path / "results" / "not" / "there")
    assert by_name(examine_storage(made))[made].value.endswith("on file system of disk (will be made)")


@pytest.mark.parametrize("name", ["nfs4", "gpfs", "beegfs_nodev", "virtiofs", "lustre", "ext4"])
def test_locks_of_a_network_s_file_system_are_the_server_s(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "_file_system", lambda place: name)
    assert ("depends on the server" in by_name(examine_storage(str(tmp_path)))["locks"].value) == (name != "ext4")


def test_a_storage_that_cannot_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert worst(by_name(examine_storage(str(tmp_path / "file")))) == [str(tmp_path / "file")]
    assert "writing" in worst(by_name(examine_storage("/proc/here")))
    assert len(worst(by_name(examine_storage("nonsense://bucket/x")))) == 1
    found = by_name(examine_storage(str(tmp_path), "sqlite:///nowhere/at/all.db"))
    assert worst(found) == ["ledger"] and "there is no directory" in found["ledger"].advice

    def refused(descriptor: object, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(storage_module.fcntl, "flock", refused)
    assert worst(by_name(examine_storage(str(tmp_path)))) == ["locks"]
    monkeypatch.setattr(storage_module.fcntl, "flock", lambda descriptor, how: None)
    assert by_name(examine_storage(str(tmp_path)))["locks"].value == "two had one"


def test_an_object_store_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    found = by_name(examine_storage((tmp_path / "shared").as_uri()))
    assert not worst(found) and "keep out a second driver" in found["lease"].value
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_tracking_answers_or_would_be_made(tmp_path: Path, tracking_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (finding,) = examine_tracking(f"sqlite:///{tracking_database}")
    assert finding.level == Level.OK and "answers, 1 experiments" in finding.value
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        (finding,) = examine_tracking(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert finding.level == Level.FAIL and "cannot be reached" in finding.advice
    (finding,) = examine_tracking(None)
    assert finding.level == Level.OK and "will be made" in finding.value and not list(tmp_path.iterdir())


def test_a_tracking_database_is_looked_at_and_left_as_it_was(tmp_path: Path, tracking_database: Path) -> None:
    place = tmp_path / "mlflow.db"
    place.touch()
    (finding,) = examine_tracking(f"sqlite:///{place}")
    assert finding.level == Level.OK and "will be made" in finding.value
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"] and not place.stat().st_size
    # One of an older MLflow, with something in it.
    shutil.copy(tracking_database, place)
    with closing(sqlite3.connect(place)) as database, database:
        database.execute("update alembic_version set version_num = 'bd07f7e963c5'")
        database.execute("insert into experiments (experiment_id, name, lifecycle_stage) values (7, 'gamma', 'active')")
    before = place.read_bytes()
    (finding,) = examine_tracking(f"sqlite:///{place}")
    assert finding.level == Level.OK and "will be brought to this MLflow's schema" in finding.value
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"] and place.read_bytes() == before


@pytest.mark.slow(minutes=0.5)
def test_ray_answers(ray_here: str) -> None:
    found = by_name(examine_ray("local"))
    assert not worst(found) and found["resources"].value.startswith("2 CPUs, 0 GPUs on 1 node")


def test_an_address_where_no_cluster_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    (finding,) = examine_ray("127.0.0.1:1")
    assert finding.level == Level.FAIL and "no Ray cluster answers there" in finding.advice


def test_the_command_ends_with_what_it_found(tmp_path: Path) -> None:
    code, found = examined(tmp_path, "--no-start")
    assert (code, found["ok"]) == (0, True) and {finding["area"] for finding in found["findings"]} == {
        "software", "machine", "choices", "storage",
    }  # fmt: skip
    code, found = examined(tmp_path, "--no-start", "--storage", "/proc/here")
    assert (code, found["ok"]) == (1, False)
    done = call("cli.doctor", "--no-start", cwd=tmp_path)
    assert done.returncode == 0 and "nothing is in a search's way" in done.stdout and "  ok    Python" in done.stdout
