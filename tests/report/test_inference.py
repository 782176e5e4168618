"""Intervals, lines and tests, against closed forms and examples worked by hand."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from mpidl.report import statistics


def test_an_interval_is_students():
    mean, low, high = statistics.interval([1.0, 2.0, 3.0, 4.0])
    half = 3.182446305284263 * math.sqrt(5 / 3) / 2
    assert (mean, low, high) == pytest.approx((2.5, 2.5 - half, 2.5 + half))
    wide = statistics.interval([1.0, 2.0, 3.0, 4.0], 0.99)
    assert wide[2] > high


def test_an_interval_of_shares_is_wilsons():
    # Both ends are as far from the mean as t of the standard error that they would have.
    values = np.array([0.9, 1.0, 0.98, 0.8])
    mean, low, high = statistics.interval(values, within=(0, 1))
    spread = values.var(ddof=1) / (mean * (1 - mean)) / 4
    for end in (low, high):
        assert abs(mean - end) == pytest.approx(
            stats.t.ppf(0.975, 3) * math.sqrt(spread * end * (1 - end))
        )
    assert 0 < low < mean < high < 1 < statistics.interval(values)[2]
    scaled = statistics.interval(199 * values, within=(0, 199))
    assert scaled == pytest.approx([199 * mean, 199 * low, 199 * high])
    # With many answers a cluster and equal spread it is Wilson's own.
    answers = np.repeat([0.0, 1.0], [30, 70])
    told = stats.binomtest(70, 100).proportion_ci(method="wilson")
    found = statistics.interval(answers, within=(0, 1))[1:]
    assert found == pytest.approx((told.low, told.high), abs=0.003)


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [0.0, 0.0], [1.0 + 1e-15, 1.0]])
def test_shares_that_are_all_at_a_bound_have_an_interval_of_no_width(values):
    _, low, high = statistics.interval(values, within=(0, 1))
    assert low == high == pytest.approx(values[0])


@pytest.mark.parametrize("seeds", [3, 5, 20])
@pytest.mark.parametrize(("mean", "spread"), [(0.5, 0.2), (0.8, 0.2), (0.95, 0.04), (0.1, 0.1)])
def test_intervals_of_shares_hold_the_mean_as_often_as_they_say(seeds, mean, spread):
    # Beta distributed accuracies; Student's interval holds fewer, and leaves 0 to 1.
    stream, sum_ = np.random.default_rng(1), mean * (1 - mean) / spread**2 - 1
    drawn = stream.beta(mean * sum_, (1 - mean) * sum_, (1000, seeds))
    found = np.array([statistics.interval(values, within=(0, 1)) for values in drawn])
    plain = np.array([statistics.interval(values) for values in drawn])
    assert (found[:, 1] >= 0).all()
    assert (found[:, 2] <= 1).all()
    held, before = (((a[:, 1] <= mean) & (mean <= a[:, 2])).mean() for a in (found, plain))
    assert 0.905 < held < 0.97
    assert held > before - 0.005


def test_what_is_missing_is_no_part_of_an_interval():
    assert statistics.interval([1, np.nan, 3]) == statistics.interval([[1, np.nan], [3, np.nan]])
    assert statistics.interval([1, np.nan, 3]) == statistics.interval([1, 3])


def test_a_mean_with_what_diverged_is_infinite_and_has_no_interval():
    found = statistics.interval([[1, np.nan], [3, np.inf]])
    assert found == pytest.approx((math.inf, math.nan, math.nan), nan_ok=True)


@pytest.mark.parametrize(("values", "mean"), [([], math.nan), ([np.nan], math.nan), ([2.0], 2.0)])
def test_an_interval_needs_two_values(values, mean):
    assert statistics.interval(values) == pytest.approx((mean, math.nan, math.nan), nan_ok=True)


def test_equal_values_have_an_interval_of_no_width():
    assert statistics.interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


def test_a_line_by_hand():
    # y = 1, 2, 2, 3 over x = 0..3: Sxx 5, Sxy 3, residuals .1, -.3, .3, -.1, so s^2 = .2 / 2.
    line = statistics.regress([0, 1, 2, 3], [1, 2, 2, 3])
    half = stats.t.ppf(0.975, 2) * math.sqrt(0.1 / 5)
    assert line.slope == pytest.approx(0.6)
    assert (line.low, line.high) == pytest.approx((0.6 - half, 0.6 + half))
    assert line.intercept == pytest.approx(1.1)
    assert line.r2 == pytest.approx(0.9)
    assert line.p == pytest.approx(2 * stats.t.sf(0.6 / math.sqrt(0.02), 2))
    assert line.n == 4


def test_the_band_is_that_of_the_mean():
    line = statistics.regress([0, 1, 2, 3], [1, 2, 2, 3])
    low, high = line.band([1.5, 5])
    t, s = stats.t.ppf(0.975, 2), math.sqrt(0.1)
    halves = [t * s * math.sqrt(1 / 4), t * s * math.sqrt(1 / 4 + 3.5**2 / 5)]
    assert high - low == pytest.approx(2 * np.array(halves))
    assert (low + high) / 2 == pytest.approx([2.0, 4.1])


def test_points_without_both_coordinates_are_no_part_of_a_line():
    line = statistics.regress([0, 1, np.nan, 2, 3, 9], [1, 2, 7, 2, 3, np.nan])
    assert line == statistics.regress([0, 1, 2, 3], [1, 2, 2, 3])


@pytest.mark.parametrize("points", [([], []), ([1, 2], [3, 4]), ([1, 1, 1], [1, 2, 3])])
def test_what_decides_no_line_is_nan(points):
    line = statistics.regress(*points)
    assert line.n == len(points[0])
    assert np.isnan([line.slope, line.low, line.high, line.intercept, line.r2, line.p]).all()
    assert np.isnan(line.band([0, 1])).all()


def test_a_constant_depends_on_nothing():
    line = statistics.regress([0, 1, 2], [0.7, 0.7, 0.7])
    assert (line.slope, line.low, line.high, line.r2, line.p) == (0, 0, 0, 0, 1)
    assert line.band([0, 9])[0] == pytest.approx([0.7, 0.7])


def test_points_on_a_line_leave_no_doubt():
    line = statistics.regress([0, 1, 2, 3], [1, 3, 5, 7])
    assert (line.slope, line.r2) == pytest.approx((2, 1))
    assert line.p < 1e-12
    assert line.high - line.low < 1e-6


def signs(differences):
    """The p of Wilcoxon's test by trying every choice of signs."""
    given = np.array(differences)
    ranks = stats.rankdata(np.abs(given))[given != 0]
    at = ranks[given[given != 0] > 0].sum()
    sums = [sum(chosen) for chosen in product(*[(0, rank) for rank in ranks])]
    low = np.mean([one <= at + 1e-9 for one in sums])
    high = np.mean([one >= at - 1e-9 for one in sums])
    return min(1.0, 2 * min(low, high))


@pytest.mark.parametrize(
    "differences",
    [
        [1.0, 2.0, 3.0],
        [1.0, -2.0, 3.0, 4.0, -5.0, 6.0],
        [1.0, 1.0, -1.0, 2.0, 2.0],
        [0.0, 1.0, 1.0, -2.0, 3.0, 0.0],
        [-0.5, -0.5, -0.5, -0.5],
    ],
)
def test_signed_ranks_are_counted_exactly(differences):
    assert statistics.signed_rank(differences) == pytest.approx(signs(differences))


def test_signed_ranks_agree_with_scipy_where_it_is_exact():
    differences = np.random.default_rng(0).normal(0.3, 1, 40)
    expected = stats.wilcoxon(differences, mode="exact").pvalue
    assert statistics.signed_rank(differences) == pytest.approx(expected)


def test_three_pairs_cannot_say_much():
    assert statistics.signed_rank([0.1, 0.2, 0.3]) == 0.25


def test_what_rounding_makes_of_ties_is_a_tie():
    assert statistics.signed_rank([0.3 - 0.2, -0.1, 0.1]) == statistics.signed_rank([1, -1, 1])


@pytest.mark.parametrize(
    ("differences", "p"), [([], math.nan), ([1.0], math.nan), ([np.nan, 1], math.nan), ([0, 0], 1)]
)
def test_signed_ranks_of_too_few(differences, p):
    assert statistics.signed_rank(differences) == pytest.approx(p, nan_ok=True)


def test_a_paired_t_is_scipys():
    a, b = [0.5, 0.7, 0.6, 0.9], [0.4, 0.7, 0.3, 0.6]
    expected = stats.ttest_rel(a, b).pvalue
    assert statistics.paired_t(np.subtract(a, b)) == pytest.approx(expected)
    assert statistics.paired_t([0, 0, 0]) == 1
    assert math.isnan(statistics.paired_t([0.1, 0.1]))
    assert math.isnan(statistics.paired_t([0.1]))


def test_holm_by_hand():
    # .01 x 4, .02 x 3, .03 x 2 raised to the one before, .04 x 1 too.
    found = statistics.holm([0.04, 0.01, 0.03, 0.02])
    assert found == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert statistics.holm([np.nan, 0.02]) == pytest.approx([np.nan, 0.02], nan_ok=True)
    assert len(statistics.holm([])) == 0


def test_rounding_is_no_variation():
    assert not statistics.varies([0.1 + 0.2, 0.3, math.nan])
    assert not statistics.varies([0.0, 0.0])
    assert not statistics.varies([])
    assert statistics.varies([1e-9, 2e-9])
    assert math.isnan(statistics.regress([0.1 + 0.2, 0.3, 0.3], [1, 2, 3]).slope)
