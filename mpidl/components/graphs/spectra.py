"""Long-run behavior of a mixing matrix: how fast it agrees, and on whose parameters."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RESTARTS = 100
"""Of Arnoldi's method, before a matrix counts as one that mixes slowly."""

FILL = 500_000
"""Weights of a sparse matrix up to which it is factorized; the factors may be far larger."""


class Unknown(Exception):  # noqa: N818
    """The long run of a matrix cannot be told; the message says why."""


def moduli(matrix: Array) -> Array:
    """Moduli of the eigenvalues of ``matrix``, ``(N, N)``, descending, ``(N,)``."""
    found: Array = -np.sort(-np.abs(np.linalg.eigvals(matrix)))
    return found


def gap(moduli: Array) -> float:
    """One minus the second largest of descending ``moduli``, ``(N,)``, as of :func:`moduli`.

    Disagreement shrinks by ``1 - gap`` per round in the long run. Two components that never mix
    have gap 0; a single device has gap 1.
    """
    return float(np.clip(1.0 - moduli[1], 0.0, 1.0)) if len(moduli) > 1 else 1.0


def stationary(matrix: Array) -> Array:
    """Share of each device's parameters in the mean of all models in the long run, ``(N,)``.

    For an irreducible row-stochastic ``matrix``, ``(N, N)``, this is its left Perron vector: all
    devices agree, and on these weights. For a reducible one it is the mean of the rows of the
    long-run average of its powers: 0 for a device that nobody hears, and each group of devices
    that hears no other shares the weight of those it ends up deciding. It sums to 1, and has
    negative shares only if W has negative weights.
    """
    devices = len(matrix)
    left, values, right = np.linalg.svd(matrix - np.eye(devices))
    fixed = max(1, int(np.sum(values < 1e-13 * devices)))
    rows, columns = left[:, -fixed:].T, right[-fixed:].T
    # columns @ inverse(rows @ columns) @ rows projects on the eigenspace of eigenvalue 1.
    weights = columns.mean(axis=0) @ np.linalg.solve(rows @ columns, rows)
    if matrix.min() >= 0:
        weights = np.clip(weights, 0.0, None)
    share: Array = weights / weights.sum()
    return share


def effective_neighbors(matrix: Array, decay: float) -> float:
    """Over how many devices mixing averages noise: the effective number of neighbors.

    Each round every device adds noise of variance 1 to its number, and all mix:
    ``x <- W (sqrt(decay) x + noise)``. In the long run a device alone has variance
    ``1 / (1 - decay)``; that over the mean variance of the mixing devices is the effective number:
    1 where nobody mixes, N where all take the mean of all. Source: Vogels, Hendrikx and Jaggi,
    Beyond spectral gap, 2022, arXiv 2206.03093.

    Args:
        matrix: W, ``(N, N)``.
        decay: The share of its variance that a number keeps in a round, from 0 to below 1.
    """
    covariance, ahead = matrix @ matrix.T, np.sqrt(decay) * matrix
    kept = decay
    # Each turn doubles the number of rounds that are summed.
    while kept > np.finfo(float).eps:
        covariance += ahead @ covariance @ ahead.T
        ahead, kept = ahead @ ahead, kept * kept
    return float(1.0 / (1.0 - decay) / np.diag(covariance).mean())


def long_run(matrix: Any) -> tuple[float, Array]:
    """Spectral gap and stationary weights ``(N,)`` of a sparse row-stochastic matrix, N above 3.

    Arnoldi's method finds the two largest eigenvalues where they stand apart. Where they do not,
    as on rings, grids and trees, those closest to 1 come from a factorization, which such sparse
    graphs allow. Both find eigenvalues to about ten digits.

    Raises:
        Unknown: If not every device hears of every other, or the matrix mixes too slowly for
            both ways.
    """
    from scipy.sparse import csgraph, linalg

    groups = csgraph.connected_components(matrix > 0, connection="strong", return_labels=False)
    if groups > 1:
        raise Unknown(f"in the long run its devices are {groups} groups, not one that agrees")
    try:
        values, vectors = _dominant(matrix, which="LM", maxiter=RESTARTS)
    except linalg.ArpackNoConvergence:
        values, vectors = _slowest(matrix)
    first = int(np.argmax(values.real))
    share = vectors[:, first].real
    share = share / share.sum()
    gap = float(np.clip(1.0 - np.abs(np.delete(values, first)).max(), 0.0, 1.0))
    # Eigenvalues on the unit circle other than 1 are those of a period, and no harm.
    apart = np.abs(1.0 - np.delete(values, first)).min() > 1e-11
    if not apart or share.min() < -1e-9 or np.abs(matrix.T @ share - share).max() > 1e-9:
        raise Unknown("some of its devices agree with others too slowly for these digits")
    return gap, np.clip(share, 0.0, None)


def _dominant(matrix: Any, **wanted: Any) -> tuple[Any, Any]:
    """Two eigenvalues of the transposed matrix and their vectors, from a start that is fixed."""
    from scipy.sparse import linalg

    devices = matrix.shape[0]
    start = np.random.default_rng(0).random(devices)
    pair: tuple[Any, Any] = linalg.eigs(
        matrix.T.tocsc(), k=2, v0=start, ncv=min(40, devices), tol=1e-12, **wanted
    )
    return pair


def _slowest(matrix: Any) -> tuple[Any, Any]:
    """The same of those closest to 1, which are the largest by Gershgorin's circles, or Unknown."""
    if matrix.nnz > FILL:
        raise Unknown("it mixes slowly and has too many links to be factorized")
    # A little beyond 1, where the matrix is singular.
    values, vectors = _dominant(matrix, sigma=1 + 1e-9)
    share = np.abs(vectors[:, int(np.argmax(values.real))].real)
    flow = matrix.multiply(share[:, None] / share.sum())
    # Real eigenvalues, as of a reversible chain, are no lower than 2 min(W_ii) - 1.
    reversible = np.abs((flow - flow.T).data).max(initial=0.0) < 1e-12
    if not reversible or values.real.min() < 1 - 2 * matrix.diagonal().min():
        raise Unknown("it mixes slowly, and its eigenvalues may oscillate")
    return values, vectors
