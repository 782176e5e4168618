"""Strategies that read the inbox: they favor or avoid central devices by models' similarity."""

from typing import TYPE_CHECKING

import numpy as np

from mpidl.components import graphs
from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies.inbox import Inbox
from mpidl.components.strategies.weights import (
    STRATEGIES,
    Array,
    Normalize,
    Temperature,
    normalized,
)

if TYPE_CHECKING:
    from torch import Tensor

NONZERO = 1e-8
"""Norms count as at least this, as in torch's ``cosine_similarity``."""


@STRATEGIES.add(color="#2f9c8e", marker="d", order=130, centrality="degree")
def degree_similarity(
    view: Neighborhood,
    inbox: Inbox,
    /,
    temperature: Temperature = 0.1,
    normalize: Normalize = "softmax",
) -> Array:
    """By degree centrality, high or low like that of the least similar in-neighbor.

    The least similar in-neighbor has the lowest mean cosine similarity of its parameters to the
    device's own (:func:`similarities`; of several the lowest number). It decides the sign of the
    temperature, whatever sign the setting has: negative if it is less central than the device,
    which then favors low centrality, else positive. ``normalize="plain"`` has no temperature, and
    so gives the weights of ``degree``. A device without in-neighbors keeps its vector. Source:
    code to arXiv 2505.11760.
    """
    return _turned(view, inbox, "degree", temperature, normalize)


@STRATEGIES.add(color="#c17a60", marker="p", order=140, centrality="betweenness")
def betweenness_similarity(
    view: Neighborhood,
    inbox: Inbox,
    /,
    temperature: Temperature = 0.1,
    normalize: Normalize = "softmax",
) -> Array:
    """By betweenness centrality, high or low like that of the least similar in-neighbor.

    Like ``degree_similarity``, with another centrality. Source: code to arXiv 2505.11760.
    """
    return _turned(view, inbox, "betweenness", temperature, normalize)


def _turned(
    view: Neighborhood, inbox: Inbox, name: str, temperature: float, normalize: Normalize
) -> Array:
    own, *others = values = graphs.centrality(view.measured, name)[view.members]
    temperature = abs(temperature)
    if others and others[np.argmin(similarities(inbox))] < own:
        temperature = -temperature
    return normalized(values, temperature, normalize)


def similarities(inbox: Inbox) -> Array:
    """Mean cosine similarity of each in-neighbor's parameters to the device's own, ``(K - 1,)``.

    For each tensor of the model: the cosine along dimension 1, then the mean over all other
    dimensions; for a matrix row by row, for a convolution ``(out, in, H, W)`` over ``in``. A tensor
    of one dimension is a column, so that only signs count. All tensors count the same, whatever
    their size. Batch-norm statistics are left out: they are not learned, and variances are never
    negative.
    """
    import torch

    own, *others = ([_column(t) for t in inbox.parameters(v)] for v in inbox.vectors)
    lengths = [_lengths(tensor) for tensor in own]
    means = [
        [
            (torch.linalg.vecdot(a, b, dim=1) / (length * _lengths(b))).mean()
            for a, b, length in zip(own, other, lengths, strict=True)
        ]
        for other in others
    ]
    average = torch.stack([torch.stack(mean).mean() for mean in means])
    similarity: Array = average.double().cpu().numpy()
    return similarity


def _column(tensor: "Tensor") -> "Tensor":
    return tensor if tensor.ndim > 1 else tensor.reshape(-1, 1)


def _lengths(tensor: "Tensor") -> "Tensor":
    import torch

    lengths: Tensor = torch.linalg.vector_norm(tensor, dim=1).clamp_min(NONZERO)
    return lengths
