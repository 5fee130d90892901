"""CPU, memory, disk, network and GPUs of the driver's machine, as MLflow itself measures them, on the parent run."""

from __future__ import annotations

import logging
import threading
from typing import Any

from rebnn_search.tracking.runs import Runs

logger = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""How long the end waits for the last sample: a server that is away is waited for by the tracker, not here."""


class SystemMetrics:
    """MLflow's monitor for the parent run, begun in the tracker's turn and ended by the driver.

    Args:
        uri: Tracking URI.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._monitor: Any = None
        self._over = False
        self._turn = threading.Lock()

    def start(self, runs: Runs) -> None:
        """Begin, unless begun or ended already; nothing where MLflow cannot measure (psutil is missing)."""
        with self._turn:
            if self._monitor is None and not self._over:
                self._begin(runs)

    def _begin(self, runs: Runs) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        try:
            self._monitor = SystemMetricsMonitor(runs.parent_id, resume_logging=True, tracking_uri=self._uri)
            self._monitor.start()
        except Exception:  # what it needs and lacks is its own to know; no search ends for it
            logger.warning("no system metrics", exc_info=True)

    def stop(self) -> None:
        """End, with the samples taken so far."""
        self._over = True
        ending = threading.Thread(target=self._finish, name="system metrics' end", daemon=True)
        ending.start()
        ending.join(STOP_SECONDS)

    def _finish(self) -> None:
        with self._turn:  # a start under way ends first
            if self._monitor is not None:
                self._monitor.finish()
