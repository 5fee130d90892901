"""Names of metrics, as reports, the ledger and tracking have them.

A report's metrics are logged under their own names. When a trial ends, its run also gets the last report's under ``final/``; and the
best values that the trial had at any report under `BEST_VAL_LOSS` and `BEST_VAL_TOP1`. A search's parent run has the chosen trial's
under `CHOSEN_TRIAL` and the names after it.
"""

from __future__ import annotations

TRAIN_LOSS = "train/loss"
"""Mean training loss since the report before, in nats."""
TRAIN_LR = "train/lr"
"""Learning rate of the last step."""
IMAGES_PER_SECOND = "train/images_per_second"
"""Samples trained on a second since the report before."""
VAL_LOSS = "val/loss"
"""Mean cross-entropy on the validation split, in nats."""
VAL_TOP1 = "val/top1"
"""Percent of the validation split whose label is the most probable class."""
VAL_TOP5 = "val/top5"
"""Percent of it whose label is among the five most probable classes."""
FLIP_RATIO = "oscillation/mean/flip_ratio"
"""Share of the binary weights whose sign changed in a step, mean over layers and steps since the report before."""
SEQUENTIAL_OSCILLATION = "oscillation/mean/sequential_oscillation_ratio"
"""Share of them whose sign changed in two steps running, likewise."""
GAMMA_MEAN = "oscillation/mean/gamma_mean"
"""Mean balanced parameter γ, likewise."""

HEADLINE = (VAL_LOSS, VAL_TOP1, VAL_TOP5, TRAIN_LOSS, IMAGES_PER_SECOND, FLIP_RATIO, SEQUENTIAL_OSCILLATION, GAMMA_MEAN)
"""What a trial's summary has of its last report."""
EPOCHS, REPORTS = "epochs", "reports"
"""In a summary: epochs trained, with fraction, and reports made."""
BEST_VAL_LOSS, BEST_VAL_TOP1 = "best/val/loss", "best/val/top1"
"""In a summary: least and largest of a trial's reports."""

CHOSEN_TRIAL = "best/trial"
"""On a search's run: number of the chosen trial, of several seeds the first."""
CHOSEN_VAL_LOSS, CHOSEN_VAL_TOP1, CHOSEN_VAL_TOP5 = "best/val_loss", "best/val_top1", "best/val_top5"
"""On a search's run: the chosen trial's last report; of several seeds the mean, as of the test split."""
CHOSEN_TEST_TOP1, CHOSEN_TEST_TOP5 = "best/test_top1", "best/test_top5"
"""On a search's run: the chosen trial's accuracy on the test split, in percent."""


CORE_HOURS, GPU_HOURS, WALL_HOURS = "cost/core_hours", "cost/gpu_hours", "cost/wall_hours"
"""On a search's run: what all attempts of its trials held, and how long its runs took."""

BEST = "best/"
"""How the names begin of what is best, of a trial and of a search."""


FINAL = "final/"
"""How the names begin, on a trial's run, of metrics' last values."""


def final(name: str) -> str:
    """The name on a trial's run of a metric's last value."""
    return FINAL + name


def test(name: str) -> str:
    """The name on a run of ``loss``, ``top1`` or ``top5`` on the test split."""
    return f"test/{name}"


def validation(name: str) -> str:
    """The name in a report of ``loss``, ``top1`` or ``top5`` on the validation split."""
    return f"val/{name}"


def oscillation_name(name: str) -> str:
    """The name in a report of what `rebnn_search.method.OscillationTracker.collect` returns."""
    return f"oscillation/{name}"


def refit(name: str) -> str:
    """The name on a search's run of what its refit came to: ``test_top1``, ``test_top5`` (percent), ``test_top1_interval``; with
    ``trial_N/`` before it for a picked trial.
    """
    return f"refit/{name}"


REFITTED_TRIAL = refit("trial")
"""On a search's run: number of the trial that the numbers without ``trial_N/`` are of."""


CALIBRATION_BINS = 15
"""Bins of confidence of the expected calibration error, wherever it is said."""
