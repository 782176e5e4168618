"""Robust strategies, for neighborhoods with attackers: each reads the inbox, discounts outliers.

Shapes: K members, among them the device itself, P parameters. A device trusts its own vector no
more than others, except in clipped gossip.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies.inbox import Inbox
from mpidl.components.strategies.properties import Least
from mpidl.components.strategies.weights import STRATEGIES, Array, metropolis_hastings

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = 1 << 15
"""Parameters that are sorted at a time, for all members, so that they stay in the cache."""

Liars = Annotated[int, Field(ge=0, le=10**6)]
"""Number of members that may be attackers."""


@STRATEGIES.add(
    color="#6b880e",
    marker="*",
    order=150,
    least=Least(times=2, more=1, otherwise="it takes the median, which of two is their mean"),
)
def trimmed_mean(view: Neighborhood, inbox: Inbox, /, liars: Liars = 1) -> "Tensor":
    """The mean of each number without the ``liars`` lowest and as many highest, ``(P,)``.

    In a small neighborhood fewer are left out, so that one or two remain. Source: Yin et al., 2018,
    arXiv 1803.01498.
    """
    return _by_columns(inbox, lambda ranked: _middle(ranked, liars))


@STRATEGIES.add(
    color="#4e7231",
    marker="+",
    order=160,
    least=Least(times=0, more=3, otherwise="the median of two is their mean"),
)
def median(view: Neighborhood, inbox: Inbox, /) -> "Tensor":
    """The median of each number, ``(P,)``; for an even K the mean of the two in the middle.

    Source: Yin et al., 2018, arXiv 1803.01498.
    """
    return _by_columns(inbox, lambda ranked: _middle(ranked, len(ranked)))


@STRATEGIES.add(
    color="#c34060",
    marker="H",
    order=170,
    least=Least(
        times=2, more=3, otherwise="nothing is proved of it, and what it takes may be a lie"
    ),
)
def krum(
    view: Neighborhood,
    inbox: Inbox,
    /,
    liars: Liars = 1,
    selected: Annotated[int, Field(ge=1, le=10**6)] = 1,
) -> Array:
    """The member that is closest to its ``K - liars - 2`` closest others (at least one).

    Closeness is the sum of squared distances; of equal members the device itself comes first, then
    the one with the lowest number. With several ``selected`` (multi-Krum), each of the closest ones
    has the same weight. Source: Blanchard et al., 2017, arXiv 1703.02757, with this number; the
    library byzfl takes one more, ``K - liars - 1``.
    """
    squares = squared_distances(inbox)
    closest = max(1, len(squares) - liars - 2)
    scores = np.sort(squares, axis=1)[:, 1 : closest + 1].sum(axis=1)
    chosen = np.argsort(scores, kind="stable")[:selected]
    weights = np.zeros(len(squares))
    weights[chosen] = 1 / len(chosen)
    return weights


@STRATEGIES.add(color="#4a5ecf", marker="8", order=180)
def clipped_gossip(
    view: Neighborhood,
    inbox: Inbox,
    /,
    radius: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0,
) -> Array:
    """Metropolis-Hastings steps towards the in-neighbors, each step cut to a radius.

    ``x_i + sum_j W_ij clip(x_j - x_i)``, where clip shortens a difference to at most ``radius``:
    the weight of j is ``W_ij min(1, radius / ||x_j - x_i||)``, and self has the rest. Source: He,
    Karimireddy and Jaggi, 2022, arXiv 2202.01545.
    """
    own, *others = inbox.vectors
    lengths = np.sqrt([_square(own, other) for other in others])
    weights = metropolis_hastings(view)
    weights[1:] *= radius / np.maximum(lengths, radius)
    weights[0] = 1.0 - weights[1:].sum()
    return weights


def squared_distances(inbox: Inbox) -> Array:
    """Squared distances between all members, ``(K, K)``; infinite if they are not finite."""
    count = len(inbox.vectors)
    squares = np.zeros((count, count))
    for i, one in enumerate(inbox.vectors):
        for j in range(i):
            squares[i, j] = squares[j, i] = _square(one, inbox.vectors[j])
    return squares


def _square(one: "Tensor", other: "Tensor") -> float:
    square = float((one - other).double().square().sum())
    return square if np.isfinite(square) else np.inf


def _by_columns(inbox: Inbox, rule: Callable[["Tensor"], "Tensor"]) -> "Tensor":
    """The result of a rule for each number, ``(P,)``; its argument is sorted, ``(K, B)``."""
    import torch

    size = len(inbox.vectors[0])
    blocks = [
        rule(torch.stack([v[start : start + COLUMNS] for v in inbox.vectors]).sort(dim=0).values)
        for start in range(0, size, COLUMNS)
    ]
    return torch.cat(blocks)


def _middle(ranked: "Tensor", left_out: int) -> "Tensor":
    """The mean of the numbers in the middle, ``(B,)``, added one after the other."""
    left_out = min(left_out, (len(ranked) - 1) // 2)
    first, *others = ranked[left_out : len(ranked) - left_out]
    total: Tensor = first.clone()
    for row in others:
        total += row
    total /= 1 + len(others)
    return total
