"""What noise in the gradients leaves, in the mean over many draws: within four standard errors."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from mpidl.ranks.world import Comm
from tests.proof import laboratory
from tests.proof.checks import Finding, check
from tests.proof.laboratory import Array, Learning
from tests.proof.mixing import MH

DEVICES, COPIES = 8, 20_000
RING = "topology.name=ring", MH
ERRORS = 4.0
"""Standard errors that a mean over draws may be off: more happens to 1 in 16,000 such means."""


def ring_matrix() -> Array:
    """W of a ring by Metropolis-Hastings: 1/3 for each device and both its neighbors."""
    one = np.eye(DEVICES)
    return (one + np.roll(one, 1, axis=0) + np.roll(one, -1, axis=0)) / 3


@dataclass(frozen=True)
class Additive:
    """``f(x) = h/2 ||x||^2`` on all devices, and noise of variance sigma^2 in each gradient."""

    curvature: float = 1.0
    sigma: float = 1.0
    lr: float = 0.3

    def gradient(self, device: int, model: Array, draw: int) -> Array:
        """H x and noise."""
        noise = np.random.default_rng([3, device, draw]).normal(size=model.shape)
        return self.curvature * model + self.sigma * noise


def variances(order: str, eigenvalues: Array, model: Additive) -> Array:
    """Of each mode of a symmetric W in the long run, for k = 1 - lr h and s = lr sigma.

    Along an eigenvector of W models follow ``z <- l (k z - s n)`` where D-SGD adapts first,
    ``z <- k l z - s n`` where it combines first, ``z <- (l - lr h) z - s n`` by consensus; n is
    normal. Variances v stay as they are where ``v = l^2 (k^2 v + s^2)`` and so on.
    """
    kept, moved = 1 - model.lr * model.curvature, (model.lr * model.sigma) ** 2
    l2 = eigenvalues**2
    found: dict[str, Array] = {
        "adapt_then_combine": moved * l2 / (1 - l2 * kept**2),
        "combine_then_adapt": moved / (1 - l2 * kept**2),
        "consensus": moved / (1 - (eigenvalues - model.lr * model.curvature) ** 2),
    }
    return found[order]


@check(
    "dsgd, {}",
    "square distance to the optimum with noise, in the long run",
    [("adapt_then_combine",), ("combine_then_adapt",), ("consensus",)],
)
def noise_of_dsgd(comm: Comm, order: str) -> Finding:
    """The mean of :func:`variances` over the modes of W, as W's eigenvectors are a basis.

    40 rounds from the optimum leave ``0.7^80`` of the way there. Each of P numbers of each mode is
    normal, so a mode's mean square has variance ``2 v^2 / P``.
    """
    problem = Additive()
    learning = Learning(np.zeros((DEVICES, COPIES)), problem.gradient, problem.lr)
    settings = *RING, f"algorithm.order={order}"
    models = laboratory.run(comm, learning, *settings, rounds=40, looks=[40]).models
    modes = variances(order, np.linalg.eigvalsh(ring_matrix()), problem)
    error = np.sqrt(2 * np.sum(modes**2) / COPIES) / DEVICES
    return Finding(np.mean(models**2), modes.mean(), ERRORS * error)


SIZE, LR = 4, 0.1


def random_quadratic(device: int, model: Array, draw: int) -> Array:
    """``d d' x`` for a normal d, in each of P / 4 copies of a problem in 4 dimensions."""
    x = model.reshape(-1, SIZE)
    d = np.random.default_rng([4, device, draw]).normal(size=x.shape)
    return np.asarray((np.sum(d * x, axis=1)[:, None] * d).ravel())


def kept_in_a_round(eigenvalues: Array) -> float:
    """What a round leaves of the mean square distance: 1 - r, by Vogels et al., arXiv 2206.03093.

    ``r = 1 - (1 - eta)^2 - (zeta - 1) eta^2 / n(g)`` with ``g = (1 - eta)^2 / (1 - r)``; zeta is
    P + 2 for a normal d, as ``E |d|^2 d d' = (P + 2) I``; n is the effective number of neighbors,
    ``1 / n(g) = (1 - g) mean(l^2 / (1 - g l^2))`` over the eigenvalues of W.
    """
    slow, jitter = (1 - LR) ** 2, (SIZE + 1) * LR**2

    def left(kept: float) -> float:
        g = slow / kept
        crowd = (1 - g) * np.mean(eigenvalues**2 / (1 - g * eigenvalues**2))
        return float(slow + jitter * crowd - kept)

    return float(brentq(left, slow * (1 + 1e-12), 1.0, xtol=1e-14))


def steady_covariance(kept: float) -> Array:
    """Of the devices, ``(N, N)``, with mean square 1, which each round shrinks to ``kept`` of it.

    As ``kept C = W ((1 - eta)^2 C + (zeta - 1) eta^2 I) W'`` for a circulant W, whose C has a
    constant diagonal: mode by mode ``c = (zeta - 1) eta^2 l^2 / (kept - (1 - eta)^2 l^2)``.
    """
    values, vectors = np.linalg.eigh(ring_matrix())
    scale = (SIZE + 1) * LR**2 * values**2 / (kept - (1 - LR) ** 2 * values**2)
    return np.asarray((vectors * scale) @ vectors.T)


@check("dsgd, adapt_then_combine", "shrinking of the square distance on noisy random quadratics")
def rate_of_dsgd(comm: Comm) -> Finding:
    """Models drawn with the covariance that rounds only scale, which they then do at one rate."""
    kept, rounds = kept_in_a_round(np.linalg.eigvalsh(ring_matrix())), 8
    root = np.linalg.cholesky(steady_covariance(kept) + 1e-15 * np.eye(DEVICES))
    start = root @ np.random.default_rng(5).normal(size=(DEVICES, COPIES * SIZE))
    learning = Learning(start, random_quadratic, LR)
    models = laboratory.run(comm, learning, *RING, rounds=rounds, looks=[rounds]).models
    squares = np.mean((models[0] ** 2).reshape(DEVICES, COPIES, SIZE), axis=(0, 2))
    mean, error = squares.mean(), squares.std() / np.sqrt(COPIES)
    found = mean ** (1 / rounds)
    return Finding(found, kept, ERRORS * found * error / mean / rounds)
