"""Linear algebra whose results are the same, bit for bit, on every machine.

Libraries add the terms of a matrix product in an order that depends on the processor. Here factors
are cut into whole numbers so small that all their sums are exact, whatever the order; all else goes
number by number.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MANTISSA = 53
"""Binary digits of a float64."""

DOUBLINGS = 40
"""Squarings of a matrix, after which its power is 2^40."""

NOTHING = 1e-12
"""A sum of eigenvalues that is rounding."""

LEFT = 0.05
"""The share of what a power has in further directions, below which these are not told."""


def square(matrix: Array) -> Array:
    """``A A`` of a symmetric matrix, ``(N, N)``, to about 40 digits of its largest entry.

    Binary digits, for N up to 1,000. Source: Ozaki, Ogita, Oishi and Rump, 2012, Numerical
    Algorithms 59(1), with two parts.
    """
    digits = (MANTISSA - math.ceil(math.log2(len(matrix)))) // 2
    unit = math.ldexp(1.0, math.frexp(float(abs(matrix).max()))[1] - digits)
    scaled = matrix / unit
    high = np.rint(scaled)
    low = np.rint((scaled - high) * 2.0**digits)
    mixed = high @ low
    found: Array = (high @ high + (mixed + mixed.T) / 2.0**digits) * unit**2
    return found


def leading(matrix: Array, close: float) -> tuple[float, Array]:
    """The largest eigenvalue of a matrix, and up to three directions of it, ``(K, N)``.

    The matrix is symmetric, ``(N, N)``, with eigenvalues from 0 to 1. It is squared until what the
    largest eigenvalue lacks to 1 is known, up to a share ``close``. Directions have length 1; where
    the largest eigenvalues differ by less than that they mix. Next to nothing has none.
    """
    total = float(np.trace(matrix))
    if total < NOTHING:
        return max(total, 0.0), np.empty((0, len(matrix)))
    power = matrix / total
    short, before = 1 - float((power * matrix).sum()), math.inf
    for _ in range(DOUBLINGS):
        if before - short <= close * short:
            break
        power = square(power)
        power /= np.trace(power)
        before, short = short, 1 - float((power * matrix).sum())
    found: list[Array] = []
    while len(found) < 3 and np.trace(power) > LEFT:
        place = int(np.argmax(np.diag(power)))
        column = power[:, place] / math.sqrt(power[place, place])
        power = power - np.multiply.outer(column, column)
        found.append(column / math.sqrt(float((column * column).sum())))
    return 1 - short, np.array(found)
