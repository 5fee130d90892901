"""One trial inside a Ray actor: the shared trainer, resumed from its newest checkpoint, a report a step."""

from __future__ import annotations

import time
import traceback
from pathlib import Path
from typing import Any

import torch
from ray import tune

from rebnn_search.config import UserError
from rebnn_search.search.storage import write_atomically
from rebnn_search.training import CheckpointDirectory, Diverged, Recipe, Trainer

CHECKPOINT_SHARE = 0.05
"""Most of a trial's time that writing checkpoints may take; a stop loses at most what lies between two."""


class RecipeTrial(tune.Trainable):
    """Trains one recipe. The actor serves one trial after another; nothing of one reaches the next.

    The configuration holds ``number`` (of the trial), ``recipe`` (its data), ``folder`` (the trial's), ``workspace`` (shared by
    the search, for stage one) and ``threads``. A result holds ``report``, or ``failed`` with a reason that no retry would mend.
    """

    _trainer: Trainer | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Begin a trial, or go on with it from its newest checkpoint."""
        torch.set_num_threads(config["threads"])
        self._folder = Path(config["folder"])
        self._checkpoints = CheckpointDirectory(self._folder / "checkpoints")
        self._saved_step = 0
        self._saved_at = time.monotonic()
        self._save_seconds = 0.0
        self._recipe = Recipe.model_validate(config["recipe"])
        self._workspace = Path(config["workspace"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Put the last trial away and begin another in the same process."""
        self._close()
        self.setup(new_config)
        return True

    def _start(self) -> Trainer:
        trainer = Trainer(self._recipe, workspace=self._workspace)
        found = self._checkpoints.latest()
        if found is not None:
            self._saved_step, state = found
            trainer.load_state_dict(state)
        return trainer

    def step(self) -> dict[str, Any]:
        """Train up to the next report."""
        try:
            if self._trainer is None:
                self._trainer = self._start()
            report = self._trainer.next_report()
            finished = self._trainer.finished
            if finished or self._due():
                self._save()
        except Diverged as error:
            return {"failed": f"diverged: {error.reason}", "done": True}
        except UserError as error:
            return {"failed": str(error), "done": True}
        except Exception:
            write_atomically(self._folder / "error.txt", traceback.format_exc())
            raise
        return {"report": report, "final": finished, "done": finished}

    def _due(self) -> bool:
        return self._save_seconds <= CHECKPOINT_SHARE * (time.monotonic() - self._saved_at)

    def _save(self) -> None:
        assert self._trainer is not None
        start = time.monotonic()
        self._checkpoints.save(self._trainer.reports_done, self._trainer.state_dict())
        self._saved_step = self._trainer.reports_done
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start

    def cleanup(self) -> None:
        """Leave a checkpoint of all that was reported: the actor ends, perhaps in the middle of a trial."""
        if self._trainer is not None and self._trainer.reports_done > self._saved_step:
            self._save()
        self._close()

    def _close(self) -> None:
        if self._trainer is not None:
            self._trainer.close()
        self._trainer = None
