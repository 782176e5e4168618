"""Measures of a run, from the curves of its devices.

Shapes: N devices, R rounds in which something was measured.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import trapezoid

from mpidl.components import graphs
from mpidl.components.graphs import prediction
from mpidl.report import recorded

if TYPE_CHECKING:
    import xarray as xr

Array = npt.NDArray[Any]


def area(curve: Array, rounds: Array) -> Array:
    """Area under the curve of each device, ``(N,)``, by the trapezoid rule.

    ``sum over t of (x[t+1] - x[t]) (y[t] + y[t+1]) / 2`` over the finite points, where x counts
    rounds. It begins at the first measured round, so R rounds have at most the area R - 1, which a
    device reaches that is always right. NaN if a device has no finite point.

    Args:
        curve: Values, ``(R, N)``.
        rounds: Rounds of the values, ``(R,)``, ascending.
    """
    fine = np.isfinite(curve)
    if len(rounds) and fine.all():
        return np.asarray(trapezoid(curve, rounds, axis=0))
    areas = [
        trapezoid(values[there], rounds[there]) if there.any() else np.nan
        for values, there in zip(curve.T, fine.T, strict=True)
    ]
    return np.array(areas, float)


def level(curve: Array, rounds: Array) -> Array:
    """The area of each device over the number of rounds it spans, ``(N,)``: its mean height.

    If only one round was measured, it is the value of that round.

    Args:
        curve: Values, ``(R, N)``.
        rounds: Rounds of the values, ``(R,)``, ascending.
    """
    if not len(rounds):
        return np.full(curve.shape[1], np.nan)
    fine = np.isfinite(curve)
    first, last = fine.argmax(axis=0), len(rounds) - 1 - fine[::-1].argmax(axis=0)
    span = rounds[last] - rounds[first]
    alone = curve[first, np.arange(curve.shape[1])]
    levels: Array = np.where(span > 0, area(curve, rounds) / np.maximum(span, 1), alone)
    return levels


def by_device(curve: Array, rounds: Array) -> dict[str, Array]:
    """The ``area``, the ``level`` and the value after the ``last`` round of each device, ``(N,)``.

    Args:
        curve: Values, ``(R, N)``; NaN where a device has none.
        rounds: Rounds of the values, ``(R,)``, ascending.
    """
    last = curve[-1] if len(rounds) else np.full(curve.shape[1], np.nan)
    return {"area": area(curve, rounds), "level": level(curve, rounds), "last": last}


def mean(values: Array) -> float:
    """Mean of the values that are not NaN, infinite if one of them is; NaN without any."""
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))


def least(values: Array) -> float:
    """Least of the values that are not NaN; NaN without any."""
    return float("nan") if np.isnan(values).all() else float(np.nanmin(values))


def worst(values: Array, value: str) -> float:
    """The worst of the values: the least accuracy, or the greatest loss; NaN without any."""
    return -least(-values) if recorded.less(value) else least(values)


def reached(mean: Array, rounds: Array, threshold: float) -> float:
    """Rounds until a mean accuracy ``(R,)`` is at least a threshold; NaN if it never is.

    Rounds count from 0 in a file, so a threshold that is reached in round 0 took one round.
    """
    above = np.flatnonzero(mean >= threshold)
    return float(rounds[above[0]] + 1) if len(above) else float("nan")


def passage(run: "xr.Dataset") -> Array:
    """Predicted rounds until knowledge of the sources reaches each device, ``(N,)``.

    By W of the first round (:func:`mpidl.components.graphs.first_passage`). NaN for a device that
    it may never reach, and for all devices if a run has no source, no W, or too many devices.
    """
    sources = np.flatnonzero(run["source"].to_numpy() == 1)
    never = np.full(run.sizes["device"], np.nan)
    if "W" not in run or not len(sources) or len(never) > prediction.CLOSE:
        return never
    matrix = run["W"].to_numpy()
    # A file may come from anywhere, and contain anything in place of weights.
    square = matrix.shape == (len(never), len(never))
    if not square or not (matrix >= 0).all() or not np.allclose(matrix.sum(axis=1), 1):
        return never
    rounds = graphs.first_passage(matrix, sources.tolist())
    return np.where(np.isfinite(rounds), rounds, np.nan)


def spearman(first: Array, second: Array) -> float:
    """Rank correlation of two measures of the same devices, ``(N,)`` each; NaN counts as never.

    "Never" ranks behind all rounds. The result is NaN if a measure has fewer than two different
    values. Source: Spearman, American Journal of Psychology 15, 1904.
    """
    from scipy import stats

    pair = [np.where(np.isnan(values), np.inf, values) for values in (first, second)]
    if any(len(np.unique(values)) < 2 for values in pair):
        return float("nan")
    return float(stats.spearmanr(*pair).statistic)


def difference(ood: float, iid: float) -> float:
    """OOD minus IID in percent of their mean: the symmetric difference, from -200 to 200.

    ``100 (ood - iid) / ((ood + iid) / 2)``; source: arXiv 2505.11760. NaN where both are 0.
    """
    return 200.0 * (ood - iid) / (ood + iid) if ood + iid else float("nan")
