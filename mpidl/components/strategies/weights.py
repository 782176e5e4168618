"""Strategies by name: functions from the neighborhood of a device to its mixing weights."""

from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mpidl.components import graphs
from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies.properties import StrategyProperties
from mpidl.config import seeds
from mpidl.config.faults import Fault
from mpidl.config.registry import Registry

STRATEGIES = Registry("strategy", StrategyProperties, gives=2)
"""``builder(view, /, ...)``: weights over ``view.members``, ``(K,)``, that sum to 1.

A strategy whose weights follow from parameters takes ``(view, inbox, /, ...)``; it may return the
mixture itself in place of weights, a tensor ``(P,)``, and then has ``-> "Tensor"``.
"""

Array = npt.NDArray[np.float64]
Temperature = Annotated[float, Field(allow_inf_nan=False)]
Normalize = Literal["softmax", "plain"]


@STRATEGIES.add(color="#717080", marker="o", order=10, equal=True)
def unweighted(view: Neighborhood, /) -> Array:
    """The same weight for every member."""
    return _share(np.ones(len(view.members)))


@STRATEGIES.add(color="#009dbd", marker="s", order=20, needs=("samples",))
def weighted(view: Neighborhood, /) -> Array:
    """By the number of training samples.

    Raises:
        Fault: If no data are placed.
    """
    if view.samples is None:
        raise Fault("strategy.name = 'weighted': needs training samples, and no data are placed.")
    return _share(np.array([view.samples[j] for j in view.members], dtype=np.float64))


@STRATEGIES.add(color="#8862d1", marker="D", order=40, complete=True)
def federated(view: Neighborhood, /) -> Array:
    """The same weight for all devices of the complete graph, whatever the topology."""
    return _share(np.ones(len(view.members)))


@STRATEGIES.add(color="#90918f", marker="x", order=80)
def none(view: Neighborhood, /) -> Array:
    """Every device keeps its own model: no mixing at all."""
    weights = np.zeros(len(view.members))
    weights[0] = 1.0
    return weights


@STRATEGIES.add(color="#4d6995", marker="2", order=70, needs=("link weights",))
def given(view: Neighborhood, /) -> Array:
    """The link weights of the topology (``base_k``, ``matcha``, files), self the rest.

    If a link fails or its device is away, the device itself has its weight.
    """
    edges = view.graph.edges
    others = np.array([edges[j, view.device]["weight"] for j in view.in_neighbors])
    return np.array([1.0 - others.sum(), *others])


@STRATEGIES.add(color="#96838b", marker="P", order=50)
def metropolis_hastings(view: Neighborhood, /) -> Array:
    """Each in-neighbor ``1 / (1 + max(degree_i, degree_j))``, self the rest.

    Doubly stochastic if links go both ways. Degrees count incoming links of the whole graph: if a
    link fails in a round, the device itself has its weight. Source: Xiao, Boyd and Lall, 2005.
    """
    degree = view.whole.in_degree
    largest = [max(degree[view.device], degree[j]) for j in view.in_neighbors]
    others = 1.0 / (1.0 + np.array(largest, dtype=np.float64))
    return np.array([1.0 - others.sum(), *others])


@STRATEGIES.add(color="#c58300", marker="^", order=30, chance=True)
def random(
    view: Neighborhood,
    /,
    temperature: Temperature = 0.1,
    normalize: Normalize = "softmax",
    draw: Literal["per_round", "frozen"] = "per_round",
    frozen_rounds: Annotated[int, Field(ge=1)] = 10,
) -> Array:
    """By random numbers from [0, 1), one for each device and all its readers, new in each round.

    ``draw="frozen"`` keeps the numbers of the last round of each block of ``frozen_rounds``, as
    the published testbed did.
    """
    round = view.round
    if draw == "frozen":
        round += frozen_rounds - 1 - round % frozen_rounds
    values = _uniform(view.seed, round, len(view.graph))
    return normalized(values[view.members], temperature, normalize)


@STRATEGIES.add(color="#0870a7", marker="v", order=90, centrality="degree")
def degree(
    view: Neighborhood, /, temperature: Temperature = 0.1, normalize: Normalize = "softmax"
) -> Array:
    """By degree centrality: hubs have more weight. Source: arXiv 2505.11760."""
    return _central(view, "degree", temperature, normalize)


@STRATEGIES.add(color="#c95403", marker="<", order=100, centrality="betweenness")
def betweenness(
    view: Neighborhood, /, temperature: Temperature = 0.1, normalize: Normalize = "softmax"
) -> Array:
    """By betweenness centrality: bridges have more weight. Source: arXiv 2505.11760."""
    return _central(view, "betweenness", temperature, normalize)


@STRATEGIES.add(color="#4199ca", marker=">", order=110, centrality="closeness")
def closeness(
    view: Neighborhood, /, temperature: Temperature = 0.1, normalize: Normalize = "softmax"
) -> Array:
    """By closeness centrality: devices in the middle have more weight."""
    return _central(view, "closeness", temperature, normalize)


@STRATEGIES.add(color="#ad426d", marker="h", order=120, centrality="eigenvector")
def eigenvector(
    view: Neighborhood, /, temperature: Temperature = 0.1, normalize: Normalize = "softmax"
) -> Array:
    """By eigenvector centrality: neighbors of hubs have more weight."""
    return _central(view, "eigenvector", temperature, normalize)


def _central(view: Neighborhood, name: str, temperature: float, normalize: Normalize) -> Array:
    values = graphs.centrality(view.measured, name)
    return normalized(values[view.members], temperature, normalize)


def normalized(values: Array, temperature: float, normalize: Normalize) -> Array:
    """Weights by the softmax of values over the temperature, or by the values themselves."""
    return softmax(values, temperature) if normalize == "softmax" else _share(values)


def softmax(values: Array, temperature: float) -> Array:
    """Weights proportional to ``exp(values / temperature)``, without overflow.

    As the temperature falls to 0 from above, the largest value gets nearly all weight; as it rises
    to 0 from below, the smallest does. With an infinite temperature all weights are the same.
    """
    preferred = values.max() if temperature > 0 else values.min()
    with np.errstate(over="ignore", under="ignore"):
        return _share(np.exp((values - preferred) / temperature))


def _share(values: Array) -> Array:
    """Values divided by their sum; equal weights if all values are 0."""
    total = values.sum()
    return values / total if total > 0 else np.full(len(values), 1.0 / len(values))


@lru_cache(maxsize=4)
def _uniform(seed: int, round: int, devices: int) -> Array:
    return seeds.stream(seed, "random_weights", round).random(devices)
