"""Whether Ray and MLflow do here what a search asks of them: tried as a search does it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rebnn_search.base.log_redirect import redirect_output
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.doctor.finding import Finding, Level
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.spec import Resources
from rebnn_search.tracking import check_answers, check_uri, default_uri
from rebnn_search.tracking.client import SQLITE, make_client
from rebnn_search.tracking.database import what_preparing_does

RAY, MLFLOW = "ray", "mlflow"
LOCAL = "local"


def examine_ray(address: str) -> Iterator[Finding]:
    """Start a Ray of one's own, or join the cluster at an address, and let a worker of it answer.

    Args:
        address: As ``--address`` of ``rebnn-search run``.
    """
    begun = time.perf_counter()
    try:
        import ray

        from rebnn_search.execution.ray.executor import RayExecutor

        with tempfile.TemporaryDirectory() as temporary:
            folder = SearchFolder(Path(temporary) / "doctor")
            folder.path.mkdir()
            with redirect_output(folder.log), RayExecutor(folder, Resources(), address):
                host = ray.get(ray.remote(_where).options(num_cpus=0).remote(), timeout=120)
                there = ray.cluster_resources()
                nodes = sum(node["Alive"] for node in ray.nodes())
    except UserError as error:
        yield Finding(RAY, address, "no Ray", Level.FAIL, str(error))
        return
    except Exception as error:  # Ray has many of its own
        reason = (str(error).splitlines() or [""])[0]
        yield Finding(RAY, address, f"{type(error).__name__}: {reason}", Level.FAIL, "see the logs under /tmp/ray")
        return
    what = "starts" if address == LOCAL else "answers"
    yield Finding(RAY, address, f"{what}, and a worker on {host} too, {time.perf_counter() - begun:.0f} s in all")
    size = f"{there.get('CPU', 0):g} CPUs, {there.get('GPU', 0):g} GPUs"
    yield Finding(RAY, "resources", f"{size} on {nodes} node{'s' if nodes > 1 else ''}")


def _where() -> str:
    import socket

    return socket.gethostname()


def examine_tracking(given: str | None) -> Iterator[Finding]:
    """Ask MLflow at an address, or whether a database of its own can be made here.

    Args:
        given: Tracking URI; by default ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in the working directory.
    """
    named = given or os.environ.get("MLFLOW_TRACKING_URI") or default_uri()
    shown = hide_secrets(named)
    begun = time.perf_counter()
    try:
        uri = check_uri(named)
        check_answers(uri)
        change = what_preparing_does(Path(uri.removeprefix(SQLITE))) if uri.startswith(SQLITE) else None
        with tempfile.TemporaryDirectory() as temporary:
            # One that is not there yet, or an older MLflow's, is left as it is: that MLflow can make one is seen elsewhere.
            client = make_client(uri if change is None else f"{SQLITE}{Path(temporary) / 'mlflow.db'}", write=True)
            count = len(client.search_experiments())
    except UserError as error:
        yield Finding(MLFLOW, shown, "cannot be used", Level.FAIL, str(error))
        return
    except Exception as error:  # MLflow's, SQLAlchemy's and the database driver's own
        reason = hide_secrets((str(error).splitlines() or [""])[0])
        yield Finding(
            MLFLOW, shown, f"{type(error).__name__}: {reason}", Level.FAIL, "check the server, or name another --tracking-uri"
        )
        return
    said = f"answers, {count} experiments" if change is None else f"will {change}: MLflow makes one here"
    yield Finding(MLFLOW, shown, f"{said}, {time.perf_counter() - begun:.0f} s")
