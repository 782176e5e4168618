"""Predictions from graph and weights before a run, as plain values.

How well mixing averages, how fast knowledge spreads, where it is held up, and from which device
it spreads fastest.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.components import graphs

Array = npt.NDArray[np.float64]

CLOSE = 1024
"""Devices. What knowledge does on a larger graph takes too long to be told."""

MERGED = 20_000
"""Links, both ways counted as one. Of more, communities take too long."""

DECAY = 0.9
"""Of the effective number of neighbors: noise of about ten rounds counts."""

WALKED = 256
"""Devices. On a larger graph a W that is another in each round is not followed."""

ROUNDS = 200
"""For how many rounds it is followed."""

TAIL = 20
"""Rounds at the end that tell how what is still missing shrinks."""

AGREED = 1e-10
"""Disagreement that is none but for rounding, where it was a thousand times as much before."""


def of_graph(graph: nx.DiGraph) -> dict[str, Any]:
    """Bridges, communities and modularity of a graph; nothing where these take too long."""
    low, high = np.sort(graphs.ends(graph)).T
    if len(np.unique(low * len(graph) + high)) > MERGED:
        return {}
    groups = graphs.communities(graph)
    modularity = graphs.modularity(graph, groups)
    return {
        "bridges": graphs.bridges(graph),
        "communities": groups,
        "modularity": None if np.isnan(modularity) else modularity,
    }


def of_weights(matrix: Array, sources: Sequence[int]) -> dict[str, Any]:
    """The spread of knowledge under a mixing matrix.

    Args:
        matrix: W, ``(N, N)``, N up to :data:`CLOSE`.
        sources: Devices with OOD data; there may be none.

    Returns:
        ``effective_neighbors`` (:func:`mpidl.components.graphs.effective_neighbors` for
        :data:`DECAY`); ``passage``, the predicted rounds until knowledge of the sources reaches
        each device (:func:`mpidl.components.graphs.first_passage`); ``passage_worst`` and
        ``passage_mean``, the longest and the mean of those rounds over all others if a device were
        the only source, for each device; ``fastest``, the device from which the longest, then the
        mean are least. None stands for never.
    """
    passages = graphs.first_passages(matrix)
    passage = graphs.first_passage(matrix, sources) if sources else np.empty(0)
    worst = passages.max(axis=0)
    mean = graphs.rounded(passages.sum(axis=0) / max(1, len(matrix) - 1))
    fastest = fastest_first(worst, mean)[0]
    return {
        "effective_neighbors": graphs.effective_neighbors(matrix, DECAY),
        "passage": _plain(passage),
        "passage_worst": _plain(worst),
        "passage_mean": _plain(mean),
        "fastest": fastest if np.isfinite(worst[fastest]) else None,
    }


def of_rounds(matrices: Iterable[Array], devices: int, sources: Sequence[int]) -> dict[str, Any]:
    """The same where W is another in each round, followed for :data:`ROUNDS` of them.

    With P the product of the first r matrices, disagreement has shrunk to ``||P - 1 p||_2``, p
    being the mean row of P. Knowledge of a device that is held at 1 spreads by ``k <- W k``, and
    the rounds of it that another device misses, ``1 - k`` summed over rounds, are its predicted
    rounds, as they are for one W (:func:`mpidl.components.graphs.first_passage`).

    Args:
        matrices: W of each round, ``(N, N)``, row-stochastic; without end.
        devices: N.
        sources: Devices with OOD data; there may be none.

    Returns:
        What :func:`of_weights` does but for the effective number of neighbors, and
        ``spectral_gap``, one minus the factor by which disagreement shrinks a round in the mean;
        ``stationary``, p, of whose devices the consensus is led; ``followed``, r, at most
        :data:`ROUNDS` and fewer where all agree and know; ``agreed``, after how many of them
        all agree exactly, None if they come closer by and by.
    """
    walk = _Walk(devices, sources)
    for matrix in itertools.islice(matrices, ROUNDS):
        walk.step(matrix)
        if walk.ended:
            break
    single = walk.missed[:, :-1]
    worst = single.max(axis=0)
    mean = single.sum(axis=0) / max(1, len(single) - 1)
    fastest = fastest_first(worst, mean)[0]
    return {
        "spectral_gap": 1.0 - walk.rate,
        "stationary": walk.product.mean(axis=0).tolist(),
        "followed": walk.rounds,
        "agreed": walk.agreed,
        "passage": _plain(walk.missed[:, -1]) if sources else [],
        "passage_worst": _plain(worst),
        "passage_mean": _plain(mean),
        "fastest": fastest if np.isfinite(worst[fastest]) else None,
    }


class _Walk:
    """Matrices ``(N, N)`` of some rounds, one after the other.

    Attributes:
        product: Of all.
        rounds: How many they are.
        rate: The factor by which disagreement has shrunk a round, in the mean.
        agreed: After how many rounds it was gone at once; None where it shrinks by and by.
    """

    def __init__(self, devices: int, sources: Sequence[int]) -> None:
        self.product, self.rounds, self.rate = np.eye(devices), 0, 1.0
        self.agreed: int | None = None
        self._apart = 1.0
        # Knowledge of each device, and, in the last column, that of all sources.
        self._known = np.eye(devices, devices + 1)
        self._known[list(sources), -1] = 1
        self._held, self._missed = self._known > 0, np.zeros_like(self._known)
        self._before = dict.fromkeys((ROUNDS // 2, ROUNDS - TAIL), 1 - self._known)

    def step(self, matrix: Array) -> None:
        """Go on by a round."""
        self._missed += 1 - self._known
        self._known = np.where(self._held, 1.0, matrix @ self._known)
        self.product = matrix @ self.product
        apart = float(np.linalg.norm(self.product - self.product.mean(axis=0), 2))
        self.rounds += 1
        if apart > AGREED:
            self.rate = apart ** (1 / self.rounds)
        elif self._apart > 1000 * AGREED:
            self.rate, self.agreed = 0.0, self.rounds
        self._apart = apart
        if self.rounds in self._before:
            self._before[self.rounds] = np.clip(1 - self._known, 0.0, None)

    @property
    def ended(self) -> bool:
        """Whether all agree, and every device knows what any does."""
        return self._apart <= AGREED and bool((self._known[:, :-1] > 1 - 1e-9).all())

    @property
    def missed(self) -> Array:
        """Rounds of knowledge that each device misses, ``(N, N + 1)``: the last one of all sources.

        What is missing in the end is taken to shrink on as it did in the last :data:`TAIL` rounds,
        or in the second half where it did not; where it did in neither, rounds are infinite.
        """
        left = np.clip(1 - self._known, 0.0, None)
        rate = 0 * left
        if self.rounds == ROUNDS:
            half, lately = (
                (left / np.where(before > 0, before, 1.0)) ** (1 / (ROUNDS - at))
                for at, before in self._before.items()
            )
            rate = np.where(lately < 1 - 1e-9, lately, half)
        tail = left / np.where(rate < 1, 1 - rate, 1.0)
        return np.where((rate < 1 - 1e-9) | (left <= 1e-9), self._missed + tail, np.inf)


def fastest_first(worst: Array, mean: Array) -> list[int]:
    """Devices by their longest, then by their mean rounds until all others know what one does.

    Those that are equal to twelve digits come by number.

    Args:
        worst: ``(N,)``.
        mean: ``(N,)``.
    """
    order: list[int] = np.lexsort((graphs.rounded(mean), graphs.rounded(worst))).tolist()
    return order


def _plain(values: Array) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
