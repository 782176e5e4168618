"""Arrival of knowledge: the time that the walk by a mixing matrix takes to a source.

Let sources know something for good, ``k_s = 1``, and let all others mix: ``k <- W k`` from
``k = 0``. Then ``k_i`` after t rounds is the chance that a walk which goes from i to j with
probability ``W[i, j]`` has met a source within t steps. The mean first-passage time of that walk,
``sum over t of (1 - k_i)``, is how many rounds of knowing everything device i misses: here the
predicted rounds until knowledge reaches it. Source: Kemeny and Snell, Finite Markov Chains, 1960.

Walks are reduced device by device without a subtraction, so that weights of any size, however
small, leave all digits right. Source: Grassmann, Taksar and Heyman, Operations Research 33, 1985.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def first_passage(matrix: Array, sources: Sequence[int]) -> Array:
    """Predicted rounds until knowledge of the nearest source reaches each device, ``(N,)``.

    It is 0 at a source, and infinite for a device that may never hear of one.

    Args:
        matrix: W, ``(N, N)``, row-stochastic.
        sources: At least one.
    """
    devices = len(matrix)
    others = np.setdiff1d(np.arange(devices), sources)
    order = np.append(others, np.unique(sources))
    found = np.zeros((devices, 1))
    moves, rounds = _reduced(matrix[np.ix_(order, order)], np.ones(devices), len(others))
    _go_back(moves, rounds, found, len(others))
    return rounded(found[np.argsort(order), 0])


def first_passages(matrix: Array) -> Array:
    """Predicted rounds until knowledge of device j reaches device i, ``(N, N)`` by i and j.

    The column of a device is its :func:`first_passage`. All of them take a few times as long as
    one, as the walks to all devices of one half skip those of the other half together.
    """
    return rounded(_to_all(matrix, np.ones(len(matrix))))


def rounded(values: Array) -> Array:
    """Values to forty bits, twelve digits, so that rounding does not tell equal devices apart."""
    fraction, exponent = np.frexp(values)
    found: Array = np.ldexp(np.round(fraction * 2.0**40) / 2.0**40, exponent)
    return found


def _to_all(moves: Array, rounds: Array) -> Array:
    devices = len(moves)
    found = np.zeros((devices, devices))
    if devices == 1:
        return found
    halves = np.arange(devices // 2), np.arange(devices // 2, devices)
    for skipped, kept in (halves, halves[::-1]):
        order, count = np.append(skipped, kept), len(skipped)
        fewer, longer = _reduced(moves[np.ix_(order, order)], rounds[order], count)
        part = np.zeros((devices, len(kept)))
        part[count:] = _to_all(fewer[count:, count:], longer[count:])
        _go_back(fewer, longer, part, count)
        found[np.ix_(order, kept)] = part
    return found


def _reduced(moves: Array, rounds: Array, count: int) -> tuple[Array, Array]:
    """The walk that skips the first so many of its devices, each once those before it are.

    Args:
        moves: Chances by device and next device, ``(N, N)``.
        rounds: That a stay at a device takes, ``(N,)``.
        count: Of devices to skip.

    Returns:
        The same of the walk that is left; of each skipped device its chances to move on to later
        ones, which sum to 1, and the rounds until it does, which are infinite if it never does.
    """
    moves, rounds = moves.copy(), rounds.copy()
    for device in range(count):
        later = slice(device + 1, None)
        ahead = moves[device, later]
        total = ahead.sum()
        ahead /= total or 1.0
        with np.errstate(over="ignore", divide="ignore"):
            rounds[device] /= total
        back = device + 1 + np.flatnonzero(moves[later, device])
        chance = moves[back, device]
        rounds[back] += chance * rounds[device]
        moves[back, later] += np.outer(chance, ahead)
    return moves, rounds


def _go_back(moves: Array, rounds: Array, found: Array, count: int) -> None:
    """Fill in the first so many rows of ``found``, ``(N, S)``, from those of later devices."""
    for device in reversed(range(count)):
        # Infinity, which a chance of 0 does not lead to, must not be multiplied by it.
        ahead = device + 1 + np.flatnonzero(moves[device, device + 1 :])
        found[device] = rounds[device] + moves[device, ahead] @ found[ahead]
