"""One trial inside a Ray actor: the shared trainer, resumed from its newest checkpoint, a report a step."""

from __future__ import annotations

import time
import traceback
from collections import deque
from contextlib import suppress
from typing import Any

import ray
from ray import tune

from rebnn_search.base.files import write_atomically
from rebnn_search.config import UserError
from rebnn_search.execution.ray.workers import Rank, dump_trial, free_address, start_peers
from rebnn_search.storage.locate import checkpoints_of, config_folder
from rebnn_search.training import Diverged, Report
from rebnn_search.training.memory import memory_is_told

CHECKPOINT_SHARE = 0.05
"""Most of a trial's time that writing checkpoints may take; a stop loses at most what lies between two."""


class RecipeTrial(tune.Trainable):
    """Trains one recipe, alone or as rank 0 of several. The actor serves one trial after another; nothing of one reaches the next.

    The configuration holds ``number`` (of the trial), ``recipe`` (its data), ``search`` and ``remote`` (the search's folder and
    URI), ``heard`` (the last report that the ledger has), ``threads``, ``gpus`` and ``workers``. A result holds ``report`` and
    ``final``, or ``failed`` with a reason that no retry would mend.
    """

    _rank: Rank | None = None
    _peers: list[Any] | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Take up a trial; training begins, or goes on from its newest checkpoint, with the first step."""
        self._config = config
        folder = config_folder(config)
        self._folder = folder.trial(config["number"])
        self._checkpoints = checkpoints_of(folder, config["number"])
        self._unheard: deque[Report] = deque()
        self._saved_step = 0
        self._saved_at = time.monotonic()
        self._save_seconds = 0.0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Put the last trial away and take up another in the same process."""
        self._close()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train up to the next report."""
        try:
            with memory_is_told("this trial"):
                rank = self._rank or self._begin()
                if self._unheard:
                    return self._told(rank, self._unheard.popleft())
                report = self._next_report(rank)
                rank.reports.append(report)
                if rank.trainer.finished or self._due():
                    self._save(rank)
        except Diverged as error:
            return {"failed": f"diverged: {error.reason}", "done": True}
        except UserError as error:
            return {"failed": str(error), "done": True}
        except Exception:
            trace = traceback.format_exc()
            with suppress(OSError):  # the disk may be what failed
                self._folder.mkdir(parents=True, exist_ok=True)
                write_atomically(self._folder / "error.txt", trace)
            raise
        return self._told(rank, report)

    def _told(self, rank: Rank, report: Report) -> dict[str, Any]:
        final = report.step == rank.trainer.total_reports
        return {"report": report, "final": final, "done": final}

    def _begin(self) -> Rank:
        address, joining = "", []
        if self._config["workers"] > 1:
            if self._peers is None:
                self._peers = start_peers(self._config)
            address = free_address()
            joining = [peer.begin.remote(self._config, i, address) for i, peer in enumerate(self._peers, start=1)]
        self._rank = Rank(self._config, 0, address)
        ray.get(joining)
        self._saved_step = self._rank.trainer.reports_done
        # The worker, its driver or the driver's machine may have died between checkpoint and ledger.
        reports = self._rank.reports
        self._unheard.extend(report for report in reports if report.step > self._config["heard"])
        if not self._unheard and self._rank.trainer.finished:
            self._unheard.append(reports[-1])
        return self._rank

    def _next_report(self, rank: Rank) -> Report:
        along = [peer.next_report.remote() for peer in self._peers or []]
        report = rank.trainer.next_report()
        ray.get(along)
        return report

    def _due(self) -> bool:
        return self._save_seconds <= CHECKPOINT_SHARE * (time.monotonic() - self._saved_at)

    def _save(self, rank: Rank) -> None:
        start = time.monotonic()
        self._checkpoints.save(rank.trainer.reports_done, dump_trial(rank.trainer, rank.reports))
        self._saved_step = rank.trainer.reports_done
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start

    def cleanup(self) -> None:
        """Leave a checkpoint of all that was reported: the actor ends, perhaps in the middle of a trial."""
        if self._rank is not None and self._rank.trainer.reports_done > self._saved_step:
            self._save(self._rank)
        self._close()
        for peer in self._peers or []:
            ray.kill(peer)

    def _close(self) -> None:
        leaving = [peer.end.remote() for peer in self._peers or []]
        if self._rank is not None:
            self._rank.close()
        self._rank = None
        ray.get(leaving)
