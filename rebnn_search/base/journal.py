"""What this program reads of Optuna's journal without Optuna: one JSON object a line."""

from __future__ import annotations

CREATE_TRIAL = 4
"""The ``op_code`` of Optuna's ``JournalOperation.CREATE_TRIAL``: the n-th of these lines makes trial n."""
