"""What a mixing matrix does in the long run: how fast it agrees, and on whose parameters."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def spectral_gap(matrix: Array) -> float:
    """One minus the second largest modulus among the eigenvalues of ``matrix``, ``(N, N)``.

    Disagreement shrinks by ``1 - gap`` per round in the long run. Two components that never mix
    have gap 0; a single device has gap 1.
    """
    if len(matrix) == 1:
        return 1.0
    moduli = np.sort(np.abs(np.linalg.eigvals(matrix)))
    return float(np.clip(1.0 - moduli[-2], 0.0, 1.0))


def stationary(matrix: Array) -> Array:
    """Share of each device's parameters in the mean of all models in the long run, ``(N,)``.

    For an irreducible row-stochastic ``matrix``, ``(N, N)``, this is its left Perron vector: all
    devices agree, and on these weights. For a reducible one it is the mean of the rows of the
    long-run average of its powers: 0 for a device that nobody hears, and each group of devices
    that hears no other shares the weight of those it ends up deciding. It sums to 1.
    """
    devices = len(matrix)
    left, values, right = np.linalg.svd(matrix - np.eye(devices))
    fixed = max(1, int(np.sum(values < 1e-13 * devices)))
    rows, columns = left[:, -fixed:].T, right[-fixed:].T
    # columns @ inverse(rows @ columns) @ rows projects on the eigenspace of eigenvalue 1.
    weights = columns.mean(axis=0) @ np.linalg.solve(rows @ columns, rows)
    weights = np.clip(weights, 0.0, None)
    share: Array = weights / weights.sum()
    return share
