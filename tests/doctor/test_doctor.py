"""What ``doctor`` finds: what is there is said to be there, what is missing has its advice, and nothing is left behind."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
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
from rebnn_search.doctor.software import examine_software, missing_of
from rebnn_search.doctor.storage import examine_storage
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
