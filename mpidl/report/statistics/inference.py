"""Inference: confidence intervals, regression lines and tests."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.95
"""Confidence of intervals by default."""

ROUNDING = 1e-12
"""Relative difference up to which numbers count as equal."""


def interval(
    values: npt.ArrayLike,
    confidence: float = CONFIDENCE,
    within: tuple[float, float] | None = None,
) -> tuple[float, float, float]:
    """Mean of the values, and the interval in which the true mean lies.

    ``mean -+ t s / sqrt(n)``, with Student's t of n - 1 degrees of freedom and s the standard
    deviation over n - 1. It takes the values as independent and of one distribution.

    Where no value can leave some bounds, neither does the interval. Of accuracies p, which lie
    between 0 and 1, it has all true means m with ``|mean - m| <= t sqrt(f m (1 - m) / n)``, f the
    measured ``s**2 / (mean (1 - mean))``: Wilson's score interval for a proportion whose answers
    come in clusters, here runs or devices. Sources: E. B. Wilson, J. Am. Stat. Assoc. 22, 1927;
    N. Dean and M. Pagano, J. Surv. Stat. Methodol. 3, 2015.

    Args:
        values: Of any shape; NaN are left out. Infinite ones are those of what diverged.
        confidence: Share of such intervals that hold the true mean, 0 to 1.
        within: Bounds of the values; None if they have none.

    Returns:
        ``(mean, low, high)``. Without values all are NaN; low and high are for fewer than two, and
        if one is infinite, as the mean is then.
    """
    finite = np.asarray(values, float).ravel()
    finite = finite[~np.isnan(finite)]
    if not len(finite):
        return math.nan, math.nan, math.nan
    if np.isinf(finite).any():
        return sum(finite.tolist()), math.nan, math.nan
    mean = float(finite.mean())
    if len(finite) < 2:
        return mean, math.nan, math.nan
    half = float(
        _quantile(confidence, len(finite) - 1) * finite.std(ddof=1) / math.sqrt(len(finite))
    )
    if within is None:
        return mean, mean - half, mean + half
    return mean, *_scored(mean, half, *within)


def _scored(mean: float, half: float, least: float, most: float) -> tuple[float, float]:
    """Wilson's score interval of a mean, from the half width of its symmetric interval."""
    width = most - least
    share = (mean - least) / width
    room = share * (1 - share)
    # Values at a bound, up to rounding, have no spread.
    if half <= ROUNDING * width or room <= 0:
        return mean, mean
    spread = (half / width) ** 2 / room
    center = (share + spread / 2) / (1 + spread)
    reach = math.sqrt(spread * room + spread**2 / 4) / (1 + spread)
    low, high = max(center - reach, 0.0), min(center + reach, 1.0)
    return least + width * low, least + width * high


@lru_cache(maxsize=4096)
def _quantile(confidence: float, freedom: int) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, freedom))


def varies(values: npt.ArrayLike) -> bool:
    """Whether the finite values differ by more than rounding."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    return len(finite) > 1 and bool(np.ptp(finite) > ROUNDING * np.abs(finite).max())


@dataclass(frozen=True)
class Regression:
    """A line through points by least squares: ``y = intercept + slope x``.

    Attributes:
        slope: With its interval from ``low`` to ``high``, by Student's t of n - 2.
        low: See ``slope``.
        high: See ``slope``.
        intercept: y at x = 0.
        r2: Share of the variance of y that the line explains; 0 where y does not vary.
        p: That a slope is at least this far from 0 if y does not depend on x, two-sided; 1 where
            y does not vary.
        n: Points with finite x and y.
        center: Mean of x.
        variance: Of x, over n.
    """

    slope: float
    low: float
    high: float
    intercept: float
    r2: float
    p: float
    n: int
    center: float
    variance: float

    def band(self, x: npt.ArrayLike) -> tuple[Array, Array]:
        """Low and high end of the interval of the line's height at each x, pointwise.

        ``t s sqrt(1 / n + (x - center)**2 / (n variance))`` to either side of the line, s the
        residuals' standard deviation over n - 2; at the confidence of the slope's interval.
        """
        at = np.asarray(x, float)
        half = (self.high - self.slope) * np.sqrt(self.variance + (at - self.center) ** 2)
        line = self.intercept + self.slope * at
        return line - half, line + half


def regress(x: npt.ArrayLike, y: npt.ArrayLike, confidence: float = CONFIDENCE) -> Regression:
    """The line through points whose x and y are finite.

    Fewer than three points, or points at one x, decide no line with an interval: all numbers but
    n are NaN then, and so is the band.

    Args:
        x: ``(n,)``.
        y: ``(n,)``.
        confidence: Of the slope's interval and of the band.
    """
    xs, ys = np.asarray(x, float).ravel(), np.asarray(y, float).ravel()
    fine = np.isfinite(xs) & np.isfinite(ys)
    xs, ys = xs[fine], ys[fine]
    n = len(xs)
    if n < 3 or not varies(xs):
        none = math.nan
        return Regression(none, none, none, none, none, none, n, none, none)
    center, variance = float(xs.mean()), float(xs.var())
    if not varies(ys):
        return Regression(0.0, 0.0, 0.0, float(ys[0]), 0.0, 1.0, n, center, variance)
    line = stats.linregress(xs, ys)
    slope, half = float(line.slope), _quantile(confidence, n - 2) * float(line.stderr)
    return Regression(
        slope=slope,
        low=slope - half,
        high=slope + half,
        intercept=float(line.intercept),
        r2=float(line.rvalue) ** 2,
        p=float(line.pvalue),
        n=n,
        center=center,
        variance=variance,
    )


def signed_rank(differences: npt.ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that differences are as often below 0 as above.

    Exact for any number of differences, ties or not: the distribution of the rank sum over all
    ``2**m`` signs of the m differences that are not 0, with their ranks as they are. Ties share
    the mean of their ranks; zeros are ranked with the others and then left out (J. W. Pratt, J.
    Am. Stat. Assoc. 54, 1959). Numbers that differ by less than 1e-12 count as equal.

    Args:
        differences: ``(n,)``; NaN are left out.

    Returns:
        NaN for fewer than two differences, 1 where all are 0.
    """
    finite = np.asarray(differences, float).ravel()
    finite = np.round(finite[~np.isnan(finite)], 12)
    if len(finite) < 2:
        return math.nan
    # Ranks of ties are halves: doubled, they are whole numbers to count with.
    ranks = (2 * stats.rankdata(np.abs(finite))).astype(int)[finite != 0]
    chances = np.zeros(ranks.sum() + 1)
    chances[0] = 1.0
    end = 1
    for rank in ranks:
        end += rank
        chances[rank:end] = (chances[rank:end] + chances[: end - rank]) / 2
        chances[:rank] /= 2
    reached = int(ranks[finite[finite != 0] > 0].sum())
    tail = min(reached, len(chances) - 1 - reached)
    return min(1.0, 2 * float(chances[: tail + 1].sum()))


def paired_t(differences: npt.ArrayLike) -> float:
    """Two-sided p of Student's t test that the mean of differences is 0.

    Args:
        differences: ``(n,)``; NaN are left out, and infinite ones, which have no mean.

    Returns:
        NaN for fewer than two differences, or where all are the same and not 0.
    """
    finite = np.asarray(differences, float).ravel()
    finite = np.round(finite[np.isfinite(finite)], 12)
    if len(finite) < 2:
        return math.nan
    if np.ptp(finite) == 0:
        return math.nan if finite[0] else 1.0
    ratio = finite.mean() / (finite.std(ddof=1) / math.sqrt(len(finite)))
    return float(2 * stats.t.sf(abs(ratio), len(finite) - 1))


def holm(chances: npt.ArrayLike) -> Array:
    """The p of several tests, corrected for their number, ``(k,)``.

    In ascending order the i-th of k is multiplied by ``k - i`` (i from 0), is at least the one
    before it and at most 1. All corrected p below a level: the chance that any of these tests is
    wrong is below it. Source: S. Holm, Scand. J. Stat. 6, 1979. NaN stay NaN and do not count.
    """
    uncorrected = np.asarray(chances, float)
    order = np.argsort(np.where(np.isfinite(uncorrected), uncorrected, np.inf), kind="stable")
    order = order[: np.isfinite(uncorrected).sum()]
    steps = uncorrected[order] * np.arange(len(order), 0, -1)
    corrected = np.full(uncorrected.shape, np.nan)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected
