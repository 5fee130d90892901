"""The statistics behind the answers, on plain arrays; less is better wherever values are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special  # scipy.stats takes a second to import

from rebnn_search.base.metrics import CALIBRATION_BINS
from rebnn_search.study.estimate import CONFIDENCE, estimate

Array = npt.NDArray[np.float64]
TAIL = (1 - CONFIDENCE) / 2
RESAMPLES = 1000
CHUNK = 100
"""Resamples that are drawn at once: their counts are kept together."""


@dataclass(frozen=True)
class Interval:
    """A mean and the central 95 % of what it was taken over."""

    mean: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


def best_of(values: Sequence[float], draws: int) -> Interval:
    """The least of ``draws`` of the values, drawn without replacement, each as likely as any: exact.

    The chance that the value of rank i of n (0 the least) is the least drawn is C(n - 1 - i, draws - 1) / C(n, draws); compare
    arXiv 1909.03004, which draws with replacement.

    Raises:
        ValueError: If there are fewer values than draws, or no draw.
    """
    n = len(values)
    if not 1 <= draws <= n:
        raise ValueError(f"draws must be in 1 .. {n}, not {draws}")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    rest = n - 1 - np.arange(n)
    possible = rest >= draws - 1
    # Logarithms of factorials, since those themselves are beyond floats.
    logs = special.gammaln(rest + 1) - special.gammaln(np.maximum(rest - draws + 2, 1)) - special.gammaln(draws)
    logs -= special.gammaln(n + 1) - special.gammaln(draws + 1) - special.gammaln(n - draws + 1)
    chances = np.where(possible, np.exp(np.where(possible, logs, 0.0)), 0.0)
    chances /= chances.sum()
    low, high = (ordered[min(int(np.searchsorted(chances.cumsum(), at)), n - 1)] for at in (TAIL, 1 - TAIL))
    return Interval(float(chances @ ordered), float(low), float(high))


def chance_of_better(tried: int, more: int) -> float:
    """The chance that the best of ``tried + more`` equally likely draws is among the later ones, whatever they are drawn from."""
    return more / (tried + more)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """Spearman's ρ of paired values, with the 95 % interval of Bonett and Wright (Psychometrika 65, 2000): Fisher's z of ρ with a
    variance of (1 + ρ²/2) / (n − 3); of 1 and −1, where that tells nothing, both ends are ρ. None for fewer than four pairs, or where
    one side does not vary.
    """
    n = len(first)
    if n < 4 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    rho = float(np.corrcoef(ranks(first), ranks(second))[0, 1])
    if abs(rho) > 1 - 1e-12:  # Fisher's z is infinite there
        return Interval(round(rho), round(rho), round(rho))
    reach = special.ndtri(1 - TAIL) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(rho) + np.array([-reach, reach]))
    return Interval(rho, float(low), float(high))


def ranks(values: Sequence[float]) -> Array:
    """(n,) ranks from 1, equal values with the mean of theirs."""
    _, places, counts = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places], dtype=np.float64)


def paired(differences: Sequence[float]) -> Interval | None:
    """The mean of differences by seed with Student's 95 % interval; None for fewer than two, or for equal ones."""
    found = estimate(differences)
    if found is None or found.half_width is None:
        return None
    return Interval(found.mean, found.mean - found.half_width, found.mean + found.half_width)


def for_best_of(interval: Interval, tries: int, degrees: int | None = None) -> Interval:
    """Widen a 95 % interval of a difference for the one of several tries that came out best (Bonferroni).

    Args:
        interval: As if there had been one try.
        tries: How many.
        degrees: Of freedom, of Student's distribution; None takes the interval for a normal one's.
    """
    quantile = special.ndtri if degrees is None else lambda share: special.stdtrit(degrees, share)
    wider = float(quantile(1 - TAIL / tries) / quantile(1 - TAIL))
    return Interval(
        interval.mean,
        interval.mean - (interval.mean - interval.low) * wider,
        interval.mean + (interval.high - interval.mean) * wider,
    )


@dataclass(frozen=True)
class Bootstrap:
    """What resampling samples does to the means of several contenders.

    Attributes:
        means: Of all samples, by contender.
        first: Share of the resamples in which each has the least mean; equal ones share it.
        behind: How far each is behind the first contender: mean, and 95 % interval over the resamples.
    """

    means: list[float]
    first: list[float]
    behind: list[Interval]


def bootstrap(losses: Array, weights: Array | None = None, *, resamples: int = RESAMPLES, seed: int = 0) -> Bootstrap:
    """Resample samples with replacement, the same ones for every contender.

    Args:
        losses: (contenders, samples).
        weights: (samples,) in the means; None where all count alike.
        resamples: How many.
        seed: Of the draws.
    """
    count, n = losses.shape
    given = np.ones(n) if weights is None else weights
    generator = np.random.default_rng(seed)
    drawn = []
    for start in range(0, resamples, CHUNK):
        times = generator.multinomial(n, np.full(n, 1 / n), size=min(CHUNK, resamples - start)) * given
        drawn.append(times @ losses.T / times.sum(1, keepdims=True))
    means = np.concatenate(drawn)
    least = np.isclose(means, means.min(1, keepdims=True), rtol=1e-9, atol=1e-12)
    first = (least / least.sum(1, keepdims=True)).mean(0)
    whole = losses @ given / given.sum()
    behind = means - means[:, :1]
    lows, highs = np.quantile(behind, [TAIL, 1 - TAIL], axis=0)
    intervals = [Interval(float(whole[k] - whole[0]), float(lows[k]), float(highs[k])) for k in range(count)]
    return Bootstrap(whole.tolist(), first.tolist(), intervals)


@dataclass(frozen=True)
class Calibration:
    """How far a network's confidence is its accuracy.

    Attributes:
        counts, confidence, accuracy: By bin of confidence, of equal width from 0 to 1; the means are 0 where a bin is empty.
        error: Expected calibration error: mean over the samples of the distance between accuracy and confidence of their bin.
        chance: The 95 % quantile of that error of a network that is calibrated, with as many samples and these confidences.
    """

    counts: list[int]
    confidence: list[float]
    accuracy: list[float]
    error: float
    chance: float


def calibration(
    probabilities: Array, labels: npt.NDArray[np.int64], *, bins: int = CALIBRATION_BINS, seed: int = 0
) -> Calibration:
    """Measure the calibration of the most probable class.

    What the error comes to by chance is had by consistency resampling (Bröcker and Smith 2007, doi:10.1175/WAF993.1): hits are drawn
    with the probabilities that the network says.

    Args:
        probabilities: (samples, classes).
        labels: (samples,).
        bins: How many.
        seed: Of the draws.
    """
    confident = probabilities.max(1)
    hits = (probabilities.argmax(1) == labels).astype(np.float64)
    place = np.clip((confident * bins).astype(np.int64), 0, bins - 1)
    member = np.eye(bins)[place]
    counts = member.sum(0)
    filled = np.maximum(counts, 1)
    generator = np.random.default_rng(seed)
    drawn = np.concatenate([
        np.abs(((generator.random((CHUNK, len(hits))) < confident) - confident) @ member).sum(1) / len(hits)
        for _ in range(RESAMPLES // CHUNK)
    ])  # fmt: skip
    error = float(np.abs((hits - confident) @ member).sum() / len(hits))
    return Calibration(
        counts.astype(np.int64).tolist(), (confident @ member / filled).tolist(), (hits @ member / filled).tolist(),
        error, float(np.quantile(drawn, CONFIDENCE)),
    )  # fmt: skip


def wilson(hits: int, n: int) -> Interval:
    """A share of hits with Wilson's 95 % score interval.

    Raises:
        ValueError: If n is 0.
    """
    if n < 1:
        raise ValueError("a share needs a sample")
    z = float(special.ndtri(1 - TAIL))
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))
