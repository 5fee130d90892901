"""The statistics behind the answers, against counting, scipy and simulation."""

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from scipy import stats

from rebnn_search.base.metrics import CALIBRATION_BINS
from rebnn_search.report.statistics import (
    Interval,
    best_of,
    bootstrap,
    calibration,
    chance_of_better,
    for_best_of,
    paired,
    rank_correlation,
    wilson,
)
from rebnn_search.study.estimate import estimate


@pytest.mark.parametrize("draws", [1, 2, 3, 6, 7])
def test_the_best_of_some_draws_is_the_mean_over_all_subsets(draws: int) -> None:
    values = [0.3, 0.1, 0.9, 0.4, 0.4, 2.0, 0.15]
    leasts = sorted(min(subset) for subset in itertools.combinations(values, draws))
    found = best_of(values, draws)
    assert found.mean == pytest.approx(np.mean(leasts))
    for end, at in ((found.low, 0.025), (found.high, 0.975)):
        assert end == leasts[int(np.ceil(at * len(leasts) - 1e-9)) - 1]


def test_of_many_values_the_best_of_all_is_the_least() -> None:
    values = np.random.default_rng(0).normal(size=2000).tolist()
    found = best_of(values, 2000)
    assert (found.mean, found.low, found.high) == pytest.approx((min(values),) * 3)
    assert best_of(values, 1).mean == pytest.approx(np.mean(values))
    with pytest.raises(ValueError, match=r"draws must be in 1 \.\. 2000"):
        best_of(values, 0)


def test_the_chance_of_a_better_one_is_that_of_the_last_places() -> None:
    orders = list(itertools.permutations(range(5)))
    assert chance_of_better(3, 2) == np.mean([order.index(0) >= 3 for order in orders])


def test_paired_differences_have_student_s_interval() -> None:
    differences = [0.1, 0.3, -0.05, 0.2]
    found = paired(differences)
    assert found is not None
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert paired([0.1]) is None


def test_the_bootstrap_s_interval_is_that_of_the_mean_difference() -> None:
    generator = np.random.default_rng(1)
    first = generator.exponential(size=2000)
    losses = np.stack([first, first + 0.05 + generator.normal(scale=0.5, size=2000), first])
    found = bootstrap(losses, resamples=2000)
    differences = losses[1] - losses[0]
    half = 1.96 * stats.sem(differences)
    assert found.behind[1].mean == pytest.approx(differences.mean())
    assert (found.behind[1].low, found.behind[1].high) == pytest.approx(
        (differences.mean() - half, differences.mean() + half), abs=0.3 * half
    )
    assert found.first[0] == pytest.approx(found.first[2]) and sum(found.first) == pytest.approx(1), (
        "equal ones share the place"
    )
    assert found.first[1] < 0.01
    weighted = bootstrap(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([3.0, 1.0]))
    assert weighted.means == [0.25, 0.75]


@pytest.mark.parametrize("sharpened", [1.0, 6.0])
def test_only_what_is_said_too_surely_is_more_than_chance(sharpened: float) -> None:
    generator = np.random.default_rng(2)
    logits = generator.normal(scale=1.5, size=(3000, 4))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (true.cumsum(1) < generator.random((3000, 1))).sum(1)
    said = np.exp(sharpened * logits) / np.exp(sharpened * logits).sum(1, keepdims=True)
    found = calibration(said, labels)
    assert (found.error <= found.chance) == (sharpened == 1.0)
    confident, hits = said.max(1), said.argmax(1) == labels
    place = np.minimum((confident * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    expected = sum(abs(hits[place == k].mean() - confident[place == k].mean()) * (place == k).mean() for k in set(place))
    assert found.error == pytest.approx(expected) and sum(found.counts) == 3000


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 7), (35, 35), (9998, 10000)])
def test_shares_have_wilson_s_interval(hits: int, n: int) -> None:
    found = wilson(hits, n)
    low, high = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert (found.mean, found.low, found.high) == pytest.approx((hits / n, low, high))


def test_the_best_of_many_equal_ones_leads_by_more_than_noise_as_seldom_as_it_may() -> None:
    generator = np.random.default_rng(0)
    plain = corrected = 0
    for _ in range(400):
        values = generator.normal(size=(41, 3)) + generator.normal(size=3)  # configurations by seeds, all alike
        best = values[1:][values[1:].mean(1).argmin()]
        found = paired((values[0] - best).tolist())
        assert found is not None
        plain += found.low > 0
        corrected += for_best_of(found, 40, 2).low > 0
    assert corrected / 400 < 0.025 + 3 * (0.025 / 400) ** 0.5 < 0.06 < plain / 400


def test_for_best_of_one_nothing_is_wider_and_of_more_as_the_quantiles_say() -> None:
    found = Interval(1.0, 0.5, 1.75)
    assert for_best_of(found, 1) == found
    wider = stats.t.ppf(1 - 0.025 / 10, 4) / stats.t.ppf(0.975, 4)
    widened = for_best_of(found, 10, 4)
    assert (widened.low, widened.high) == (pytest.approx(1 - 0.5 * wider), pytest.approx(1 + 0.75 * wider))
    assert for_best_of(found, 10).low == pytest.approx(1 - 0.5 * stats.norm.ppf(1 - 0.0025) / stats.norm.ppf(0.975))


@pytest.mark.parametrize("hits", [range(300, 310), [350]])
def test_equal_differences_of_counts_have_no_interval(hits: Iterable[int]) -> None:
    """Whatever rounding makes of them."""
    for hit in hits:
        differences = [100 * (hit + more + 1) / 360 - 100 * (hit + more) / 360 for more in (0, 3, 7)]
        assert paired(differences) is None
        found = estimate(differences)
        assert found is not None and found.half_width is None
    assert paired([0.1, 0.1, 0.1 + 1e-6]) is not None


def test_a_rank_correlation_is_scipys_also_of_ties() -> None:
    generator = np.random.default_rng(0)
    for levels in (1000, 4):
        first = generator.integers(levels, size=40).astype(float)
        second = first + generator.integers(levels, size=40)
        found = rank_correlation(first.tolist(), second.tolist())
        assert found is not None and found.mean == pytest.approx(stats.spearmanr(first, second).statistic)
        assert -1 <= found.low < found.mean < found.high <= 1
        turned = rank_correlation(first.tolist(), (-second).tolist())
        assert turned is not None and (turned.low, turned.mean, turned.high) == pytest.approx(
            (-found.high, -found.mean, -found.low)
        )


def test_a_rank_correlation_of_nothing() -> None:
    assert rank_correlation([1, 2, 3], [1, 2, 3]) is None
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]) is None
    same = rank_correlation([1, 2, 3, 4], [5, 6, 7, 9])
    assert same is not None and (same.low, same.mean, same.high) == pytest.approx((1, 1, 1))


def test_a_rank_correlation_s_interval_covers() -> None:
    # Spearman's ρ of a bivariate normal distribution with Pearson's r: 6 / π · asin(r / 2).
    generator, r, n, draws = np.random.default_rng(1), 0.6, 30, 1000
    true, inside = 6 / np.pi * np.arcsin(r / 2), 0
    for _ in range(draws):
        pairs = generator.multivariate_normal([0, 0], [[1, r], [r, 1]], size=n)
        found = rank_correlation(pairs[:, 0].tolist(), pairs[:, 1].tolist())
        inside += found is not None and found.low <= true <= found.high
    assert 0.92 <= inside / draws <= 0.98
