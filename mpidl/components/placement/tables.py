"""Contingency tables: numbers of samples by device and class, and the samples dealt by them."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def cut(owner: Array, devices: int) -> list[Array]:
    """The samples of each device, ascending, from the device of each sample, ``(n,)``."""
    ends = np.cumsum(np.bincount(owner, minlength=devices))
    return np.split(np.argsort(owner, kind="stable"), ends[:-1])


def deal(rng: np.random.Generator, table: Array, kinds: Array) -> list[Array]:
    """Give each device as many samples, drawn at random, of each kind as ``(N, C)`` says."""
    devices, classes = table.shape
    shuffled = rng.permutation(len(kinds))
    grouped = shuffled[np.argsort(kinds[shuffled], kind="stable")]
    owner = np.empty(len(kinds), dtype=np.int64)
    owner[grouped] = np.repeat(np.tile(np.arange(devices), classes), table.T.ravel())
    return cut(owner, devices)


def log_dirichlet(rng: np.random.Generator, alpha: float, shape: tuple[int, ...]) -> Array:
    """Logarithms of symmetric Dirichlet draws over the last axis, finite for any alpha > 0.

    Gamma(a) = Gamma(a + 1) U^(1/a): the power, which underflows for small a, stays a logarithm.
    """
    alpha = min(max(alpha, 1e-300), 1e300)
    gamma = np.log(rng.standard_gamma(alpha + 1, shape)) - rng.standard_exponential(shape) / alpha
    gamma -= gamma.max(axis=-1, keepdims=True)
    logarithms: Array = gamma - np.log(np.exp(gamma).sum(axis=-1, keepdims=True))
    return logarithms


def apportion(shares: Array, total: int) -> Array:
    """Whole numbers in proportion to shares (which sum to 1), at least 1 each, by largest rest."""
    ideal = shares * total
    numbers: Array = np.floor(ideal).astype(np.int64)
    numbers[np.argsort(numbers - ideal, kind="stable")[: total - numbers.sum()]] += 1
    for empty in np.flatnonzero(numbers == 0):
        numbers[numbers.argmax()] -= 1
        numbers[empty] = 1
    return numbers


def fill(rng: np.random.Generator, quotas: Array, counts: Array, preferences: Array) -> Array:
    """A random ``(N, C)`` table with row sums ``quotas`` and column sums ``counts``.

    Args:
        rng: The generator of the draws.
        quotas: Samples that each device gets, ``(N,)``.
        counts: Samples of each class, ``(C,)``; as many in all.
        preferences: Logarithms of the share of each class that a device wants, ``(N, C)``.
    """
    table = np.zeros(preferences.shape, dtype=np.int64)
    while (left := counts - table.sum(axis=0)).any():
        room = quotas - table.sum(axis=1)
        free = np.flatnonzero(room)
        offers = _offers(rng, preferences[free] + np.log(room[free])[:, None], left)
        for offer, most in zip(offers, room[free], strict=True):
            if offer.sum() > most:
                offer[:] = rng.multivariate_hypergeometric(offer, most, method="marginals")
        table[free] += offers
    return table


def _offers(rng: np.random.Generator, preferences: Array, left: Array) -> Array:
    """Send each of the samples ``left`` (C,) to a device, by log preference ``(N, C)``."""
    # Relative to the greatest of a class, one device at least has a weight that is not zero.
    weights = np.exp(preferences - preferences.max(axis=0)).T
    return rng.multinomial(left, weights / weights.sum(axis=1, keepdims=True)).T
