"""A cluster that asks for Ray's token, as `ray start` makes one where a search has run before."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.forked import forked


@pytest.fixture
def machine() -> Iterator[dict[str, str]]:
    """The environment of a machine that has a token and a head that asks for it."""
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))  # a socket's path has at most 107 bytes
    (folder / ".ray").mkdir()
    (folder / ".ray" / "auth_token").write_text("0f" * 32, encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {"HOME": str(folder), "RAY_TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    words = ("start", "--head", "--block", "--port=0", "--num-cpus=1", "--include-dashboard=false", "--disable-usage-stats")
    command = [str(Path(sys.executable).with_name("ray")), *words]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as head:
        assert head.stdout is not None
        said = ""
        for line in head.stdout:
            said += line
            if "Ray runtime started" in line:
                break
        try:
            assert head.poll() is None, said
            yield env
        finally:
            os.killpg(head.pid, signal.SIGKILL)
    shutil.rmtree(folder)


@pytest.mark.slow(minutes=1)
def test_auto_shows_it_and_an_address_says_what_is_missing(workplace, machine: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    words = (*workplace.command("--trials", "1", "--quiet")[3:], "--address")
    done = forked("run", *words, "auto", cwd=workplace.path, env=machine)
    assert (done.returncode, done.stderr) == (0, "")
    address = (Path(machine["RAY_TMPDIR"]) / "ray" / "ray_current_cluster").read_text(encoding="utf-8").strip()
    done = forked("run", *words, address, cwd=workplace.path, env=machine)
    assert done.returncode == 2
    asks = f"error: --address {address}: that cluster asks for a token: "
    assert done.stderr == f"{asks}set RAY_AUTH_MODE=token, and have it in ~/.ray/auth_token or in RAY_AUTH_TOKEN\n"
    token = {**machine, "RAY_AUTH_MODE": "token"}
    done = forked("run", *words, address, cwd=workplace.path, env={**token, "RAY_AUTH_TOKEN": "00" * 32})
    assert done.stderr == f"{asks}that of ~/.ray/auth_token, or of RAY_AUTH_TOKEN, is another's\n"
    done = forked("run", *words, address, cwd=workplace.path, env=token)
    assert (done.returncode, done.stderr) == (0, "")
