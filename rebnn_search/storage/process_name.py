"""What tells a process of this machine from all others, also from one in another container that has its number."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path

import psutil

BOOT = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")
PROC = Path("/proc")


class Seen(Enum):
    """What this process can tell of another."""

    DEAD = "dead"
    ALIVE = "alive"
    UNKNOWN = "unknown"
    """It is of another machine, or of this one in another container, or before it was started anew."""


def own_name() -> dict[str, object]:
    """The name of this process: number and host, boot and namespace that the number is of, and when it began."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "space": _space(), "began": _began(os.getpid())}


def look_for(name: Mapping[str, object]) -> Seen:
    """Whether the process of a name that `own_name` gave, maybe an earlier version's, is alive."""
    if name.get("host") != socket.gethostname() or name.get("space", _space()) != _space():
        return Seen.UNKNOWN
    try:
        pid = int(str(name.get("pid")))
        os.kill(pid, 0)
    except ProcessLookupError:
        return Seen.DEAD
    except (PermissionError, ValueError, OverflowError):
        return Seen.UNKNOWN
    if "began" not in name:
        return Seen.UNKNOWN if pid == os.getpid() else Seen.ALIVE
    began = _began(pid)
    if began is None:
        return Seen.UNKNOWN
    return Seen.ALIVE if name["began"] == began else Seen.DEAD  # else its number was given to another


def _began(pid: int) -> float | None:
    """When a process began, by a clock that nobody sets: ticks since the machine was started; None where that cannot be read."""
    with suppress(OSError, IndexError, ValueError):
        return float((PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19])
    with suppress(psutil.Error):
        return None if PROC.is_dir() else psutil.Process(pid).create_time()
    return None


def _space() -> str:
    """What process numbers are of: this boot of this machine, and this container."""
    parts = ["", ""]
    with suppress(OSError):
        parts = [BOOT.read_text(encoding="ascii").strip(), str(NAMESPACE.stat().st_ino)]
    return "/".join(parts)
