"""How many cores a process may use."""

from __future__ import annotations

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> float:
    """Cores that this process may use: by its affinity, as batch systems set it, and by its container's quota, maybe a fraction."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, _, period = QUOTA.read_text(encoding="ascii").partition(" ")
        return allowed if quota == "max" else min(allowed, int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return allowed


def whole_cores() -> int:
    """Cores that may be filled with work: at least one."""
    return max(1, int(usable_cores()))
