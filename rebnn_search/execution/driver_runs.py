"""What the ledger notes of every run of the driver: when, where, by which command, with which versions."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import RUNS
from rebnn_search.study.cost import Cost, cost_of
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.search import Search


def note_begin(ledger: Ledger, search: Search, folder: SearchFolder, address: str, tracking_uri: str) -> None:
    """Note that a run of the driver begins.

    Args:
        ledger: Where it is noted, after those before.
        search: What it runs.
        folder: Where that is kept.
        address: As of `rebnn_search.execution.session.Session`.
        tracking_uri: MLflow's.
    """
    ledger.note(RUNS, [*(ledger.noted(RUNS) or []), _this_run(search, folder, address, tracking_uri)])


def note_end(ledger: Ledger, folder: SearchFolder) -> Cost:
    """Note that the run ends now. Returns what the search cost, all its runs together."""
    runs: list[dict[str, Any]] = ledger.noted(RUNS)
    runs[-1]["ended"] = _now()
    ledger.note(RUNS, runs)
    return cost_of(folder, ledger.trials, runs)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _this_run(search: Search, folder: SearchFolder, address: str, tracking_uri: str) -> dict[str, Any]:
    return {
        "started": _now(),
        "host": socket.gethostname(),
        "address": address,
        "storage": hide_secrets(folder.remote.rpartition("/")[0] if folder.remote else str(folder.path.parent)),
        "tracking_uri": hide_secrets(tracking_uri),
        "trials": search.spec.trials,
        "max_failures": search.spec.max_failures,
        "resources": search.spec.resources.model_dump(),
        "command": hide_secrets(shlex.join(sys.orig_argv)),
        "commit": _commit(),
        "versions": {name: version(name) for name in ("rebnn-search", "torch", "ray", "optuna", "mlflow")},
    }


def _commit() -> str | None:
    """The commit of the working directory's checkout, marked where it has changes; None outside of one."""
    try:
        words = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
