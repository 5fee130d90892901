"""Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017): probabilities softmax(z / T)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rebnn_search.base.metrics import CALIBRATION_BINS

COLDEST, HOTTEST = 0.01, 100.0
"""Temperatures that are fitted."""
HALVINGS = 60
"""Of the interval, on a logarithmic scale: to the last bit of a float32."""


def fit_temperature(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """The temperature with the least cross-entropy on samples that the network was not trained on.

    The targets are Platt's ("Probabilistic Outputs for Support Vector Machines", 1999): of N samples the labelled class has
    (N + 1) / (N + 2) and the others share the rest, so that a few samples that are all right do not make the network certain; of
    weighted ones N is `effective_samples`. In 1 / T the cross-entropy is convex; its derivative's zero is found by bisection.

    Args:
        logits: (N, classes), N at least 1.
        labels: (N,) int64.
        weights: (N,) of the samples, above 0; None is 1 for each.

    Returns:
        The temperature, within `COLDEST` and `HOTTEST`.
    """
    logits = logits.double() - logits.double().amax(1, keepdim=True)
    count, classes = logits.shape
    share = torch.ones(count, dtype=torch.float64) if weights is None else weights.double()
    known = effective_samples(share)
    spread = 1 / ((known + 2) * max(1, classes - 1))
    targets = torch.full_like(logits, spread)
    targets[torch.arange(count), labels] = (known + 1) / (known + 2)
    wanted = (targets * logits).sum(1)

    def slope(temperature: float) -> float:
        found = (logits / temperature).softmax(1).mul(logits).sum(1)
        return float(((found - wanted) * share).sum())  # by 1 / T

    low, high = COLDEST, HOTTEST
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        # Too steep a network says more than it may: 1 / T must fall.
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return math.sqrt(low * high)


def effective_samples(weights: Tensor) -> float:
    """How many equal samples say as much as those of these weights (N,): (Σw)² / Σw² (Kish, "Survey Sampling", 1965)."""
    return float(weights.double().sum() ** 2 / weights.double().square().sum())


def cross_entropy(logits: Tensor, labels: Tensor, temperature: float = 1.0, weights: Tensor | None = None) -> float:
    """Mean cross-entropy (nats) of logits (N, classes) at a temperature, weighted by (N,) or not."""
    losses = -(logits.double() / temperature).log_softmax(1)[torch.arange(len(labels)), labels]
    share = torch.ones_like(losses) if weights is None else weights.double()
    return float((losses * share).sum() / share.sum())


def calibration_error(logits: Tensor, labels: Tensor, temperature: float = 1.0, weights: Tensor | None = None) -> float:
    """Expected calibration error, percent: |accuracy − confidence| in `CALIBRATION_BINS` equal bins of confidence, weighted by their
    samples, of which each counts as (N,) weights say, or 1.
    """
    confidence, found = (logits.double() / temperature).softmax(1).max(1)
    share = torch.ones_like(confidence) if weights is None else weights.double()
    gap = ((found == labels).double() - confidence) * share
    bins = (confidence * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
    gaps = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add(0, bins, gap)
    return 100 * float(gaps.abs().sum() / share.sum())
