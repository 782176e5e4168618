"""Quantities that need every rank, such as the consensus distance."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mpidl.world import Comm

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]


def consensus_distance(vectors: Mapping[int, "Tensor"], mean: "Tensor") -> list[float]:
    """``||x_i - mean_j x_j||_2`` of each own device.

    Args:
        vectors: For each own device its vector, ``(P,)``.
        mean: The mean over all devices, ``(P,)``.
    """
    import torch

    return [
        float(torch.linalg.vector_norm(vector.cpu() - mean, dtype=torch.float64))
        for vector in vectors.values()
    ]


def everyone(comm: Comm, own: Array, hosted: Array) -> Array:
    """Collective. The rows of all devices, in rank order, from each rank's own.

    Args:
        comm: All ranks.
        own: This rank's rows, ``(D, S)``, float64.
        hosted: How many rows each rank has.
    """
    rows = np.empty((int(hosted.sum()), own.shape[1]))
    comm.Allgatherv(np.ascontiguousarray(own), [rows, hosted * own.shape[1]])
    return rows
