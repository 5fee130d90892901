"""What the record keeps in Optuna's user attributes: of the study (notes), and of each trial."""

from __future__ import annotations

SEARCH_ID = "search_id"
"""Note with the search's identity."""
RUNS = "runs"
"""Note: when, where and with what each run of the search was made; what changed between two stands there."""
PARAMS = "params"
"""User attribute with the configuration of a trial; once it is there the trial has been asked for in full."""
SUMMARY = "summary"
"""User attribute with the metrics of a trial's last report."""
REASON = "reason"
"""User attribute that says why a trial ended other than by being trained to its end."""
TAKEN_UP = "taken_up"
"""User attribute with the reports after which a trial that waited went on."""
PAUSED = "paused"
"""User attribute with the report after which a trial was made to wait; None once it was taken up again."""
