"""What a person sees of a refit."""

from __future__ import annotations

import time

from rich.console import Console

from rebnn_search.base.metrics import TRAIN_LOSS
from rebnn_search.refit._result import RefitResult, SeedScore
from rebnn_search.training.report_log import TrackedReport

SECONDS = 10.0
"""Between two lines of one seed's progress."""


class Progress:
    """A line now and then. ``stopping`` ends the refit at its next report."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console, self._quiet = console, quiet
        self._said = time.monotonic()
        self.stopping = False

    def stop(self) -> None:
        """End the refit at its next report."""
        self.stopping = True

    def started(self, seed: int) -> None:
        """Say nothing: the first report comes soon."""

    def reported(self, seed: int, report: TrackedReport, reports: int) -> bool:
        """Say how far a seed is, every few seconds."""
        if time.monotonic() - self._said > SECONDS:
            self._say(
                f"seed {seed}  epoch {report.epoch:.3g}  {report.step}/{reports}  train loss {report.metrics[TRAIN_LOSS]:.4f}"
            )
        return self.stopping

    def finished(self, score: SeedScore) -> None:
        """Say how a seed ended."""
        self._say(f"seed {score.seed}  {ended(score)}")

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        if not self._quiet:
            self._console.print(text, soft_wrap=True, markup=False)


def ended(score: SeedScore) -> str:
    """How a seed ended, in words."""
    if score.test is None:
        return f"diverged: {score.diverged}"
    return f"train loss {score.train_loss:.4f}  test Top-1 {score.test['top1']:.2f} %  Top-5 {score.test['top5']:.2f} %"


def print_refit(console: Console, outcome: RefitResult) -> None:
    """Print mean and interval over the seeds, and where the model is."""
    lost = [score for score in outcome.seeds if score.test is None]
    top1, top5 = outcome.test("top1"), outcome.test("top5")
    lines = [f"seed {score.seed} {ended(score)}" for score in lost]
    if top1 is not None and top5 is not None and outcome.median is not None:
        count = f"n = {top1.n} seed{'s' if top1.n > 1 else ''}"
        lines += [
            f"{outcome.name}, trial #{outcome.trial}, trained on training and validation split for {outcome.epochs} epochs",
            f"test Top-1 {top1.text('.2f')} %, Top-5 {top5.text('.2f')} % ({count}; ± is the mean's 95 % interval)",
            f"model of the seed with the median training loss, {outcome.median.seed}: {outcome.model}",
        ]
    if outcome.version is not None:
        lines.append(f"registered as version {outcome.version}")
    if outcome.untracked is not None:
        lines.append(f"tracking is behind ({outcome.untracked}); the same command sends what is missing")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
