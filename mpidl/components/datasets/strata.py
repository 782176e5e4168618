"""Stratified draws: some samples out of many, so that every class keeps its share."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def choose(labels: Array, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw ``count`` of n samples without replacement, each class within one of its quota.

    Systematic sampling: the samples, shuffled and then sorted by class, are read at equal steps
    from a random start. A class smaller than one step may get none. Without classes it is a plain
    draw.

    Args:
        labels: Class of each sample, ``(n,)``; or numbers, ``(n,)`` or ``(n, outputs)``, which are
            no classes.
        count: Number of samples, at most n.
        rng: The generator of the draw.

    Returns:
        Ascending sample indices, ``(count,)``.
    """
    if count == 0:
        return np.empty(0, dtype=np.int64)
    shuffled = rng.permutation(len(labels))
    ordered = shuffled
    if labels.dtype.kind != "f":
        ordered = shuffled[np.argsort(labels[shuffled], kind="stable")]
    places = (np.arange(count) * len(labels) + rng.integers(len(labels))) // count
    return np.sort(ordered[places])
