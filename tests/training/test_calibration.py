"""Temperatures against a search over all of them, and the calibration error by loops."""

import math

import pytest
import torch

from rebnn_search.training.calibration import (
    COLDEST,
    HOTTEST,
    calibration_error,
    cross_entropy,
    effective_samples,
    fit_temperature,
)


def drawn(count: int, sharpness: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are too sharp by a factor for the labels that are drawn by them."""
    generator = torch.Generator().manual_seed(5)
    true = 1.5 * torch.randn(count, 4, generator=generator)
    labels = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    return sharpness * true, labels


def platt(logits: torch.Tensor, labels: torch.Tensor, temperature: float, weights: torch.Tensor | None = None) -> float:
    """Cross-entropy with Platt's targets, by loops."""
    total = 0.0
    count = len(labels)
    if weights is not None:
        count = sum(weights.tolist()) ** 2 / sum(weight**2 for weight in weights.tolist())
    for index, (row, label) in enumerate(zip(logits.double().tolist(), labels.tolist(), strict=True)):
        exps = [math.exp((value - max(row)) / temperature) for value in row]
        for k, part in enumerate(exps):
            target = (count + 1) if k == label else 1 / (len(row) - 1)
            total -= (1.0 if weights is None else float(weights[index])) * target / (count + 2) * math.log(part / sum(exps))
    return total


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_the_temperature_is_the_one_of_least_cross_entropy(sharpness: float) -> None:
    logits, labels = drawn(80, sharpness)
    weights = 0.1 + torch.rand(80, generator=torch.Generator().manual_seed(1))
    for given in (None, weights):
        found = fit_temperature(logits, labels, given)
        best = platt(logits, labels, found, given)
        assert all(platt(logits, labels, found * factor, given) > best for factor in (0.5, 0.97, 1.03, 2.0))


def test_what_was_made_too_sharp_is_undone() -> None:
    logits, labels = drawn(20_000, 4.0)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(4.0, rel=0.05)
    assert cross_entropy(logits, labels, found) < cross_entropy(logits, labels) - 0.5
    assert calibration_error(logits, labels, found) < 2 < 10 < calibration_error(logits, labels)
    assert torch.equal((logits / found).softmax(1).argmax(1), logits.argmax(1))


def test_a_few_samples_that_are_all_right_do_not_make_it_certain() -> None:
    labels = torch.arange(12) % 3
    logits = 2.0 * torch.nn.functional.one_hot(labels, 3).double()
    found = fit_temperature(logits, labels)
    assert (logits / found).softmax(1).amax() == pytest.approx(13 / 14, rel=1e-6)
    assert COLDEST < found < HOTTEST
    assert fit_temperature(torch.zeros(3, 2), torch.tensor([0, 1, 0])) <= HOTTEST
    assert fit_temperature(torch.tensor([[9.0, -9.0]] * 50), torch.ones(50, dtype=torch.int64)) == pytest.approx(HOTTEST)


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    logits, labels = drawn(200, 2.0)
    probabilities = logits.double().softmax(1)
    expected = 0.0
    for index in range(15):
        low, high = index / 15, (index + 1) / 15
        rows = [
            row
            for row in range(200)
            if low <= float(probabilities[row].max()) < high
            or (high == 1 and low >= 14 / 15 and float(probabilities[row].max()) == 1)
        ]
        if rows:
            right = sum(int(probabilities[row].argmax()) == int(labels[row]) for row in rows) / len(rows)
            sure = sum(float(probabilities[row].max()) for row in rows) / len(rows)
            expected += len(rows) / 200 * abs(right - sure)
    assert calibration_error(logits, labels) == pytest.approx(100 * expected)


def test_a_weight_of_the_calibration_error_is_a_repetition() -> None:
    generator = torch.Generator().manual_seed(3)
    logits, labels = torch.randn(200, 4, generator=generator), torch.randint(4, (200,), generator=generator)
    weights = torch.randint(1, 4, (200,), generator=generator)
    repeated = calibration_error(logits.repeat_interleave(weights, 0), labels.repeat_interleave(weights))
    assert calibration_error(logits, labels, weights=weights) == pytest.approx(repeated)


def test_weighted_samples_count_as_so_many_equal_ones() -> None:
    assert effective_samples(torch.full((30,), 0.2)) == pytest.approx(30)
    assert effective_samples(torch.tensor([1.0] * 36 + [37.0])) == pytest.approx(73**2 / (36 + 37**2))
