"""Run as a program of its own, which can be ended when the time is over: fits what a user could have had instead.

    python -P _fit_alternatives.py ARRAYS.npz balanced|equal NAME...

Prints a line of JSON for each as soon as it is fitted: ``{"name", "top1", "balanced", "seconds"}``, percent of the test split.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

LOGISTIC, BOOSTING = "logistic regression", "gradient boosting"


def main(file: str, weights: str, *names: str) -> None:
    """Fit and print."""
    with np.load(file) as arrays:
        known, labels, unknown, truth = (arrays[name] for name in ("known", "labels", "unknown", "truth"))
    class_weight = "balanced" if weights == "balanced" else None
    for name in names:
        begun = time.monotonic()
        found = _fitted(name, class_weight, known, labels).predict(unknown)
        right = found == truth
        of_each = [float(right[truth == label].mean()) for label in np.unique(truth)]
        line = {"name": name, "top1": 100 * float(right.mean()), "balanced": 100 * float(np.mean(of_each))}
        print(json.dumps({**line, "seconds": time.monotonic() - begun}), flush=True)


def _fitted(name: str, class_weight: str | None, known: Any, labels: Any) -> Any:
    # Imported here: the one needs the other's seconds.
    if name == LOGISTIC:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight=class_weight)).fit(known, labels)
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(class_weight=class_weight, random_state=0).fit(known, labels)


if __name__ == "__main__":
    main(*sys.argv[1:])
