"""Metrics that need every rank: the consensus distance."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mpidl.exchange import kernels

if TYPE_CHECKING:
    from torch import Tensor


def consensus_distance(vectors: Mapping[int, "Tensor"], mean: "Tensor") -> list[float]:
    """``||x_i - mean_j x_j||_2`` of each own device, the same bits wherever it is computed.

    Args:
        vectors: For each own device its vector, ``(P,)``.
        mean: The mean over all devices, ``(P,)``, in the memory of the vectors.
    """
    return kernels.apart(list(vectors.values()), mean)
