"""Graphs that change from round to round: exact means in finite time, and mean contractions."""

import math

import numpy as np

from mpidl.ranks.world import Comm
from tests.proof import laboratory
from tests.proof.checks import Finding, check
from tests.proof.laboratory import Array, Learning
from tests.proof.mixing import ROUNDING, start
from tests.proof.noise import ERRORS

UNWEIGHTED = "strategy.name=unweighted"


def spread(models: Array) -> Array:
    """``sum_i ||x_i - mean||^2`` of each look, ``(L,)``."""
    return np.sum((models - models.mean(axis=1, keepdims=True)) ** 2, axis=(1, 2))


def averaged(ratios: Array, expected: float) -> Finding:
    """The mean of independent ratios, and how far it may be off."""
    error = ratios.std(ddof=1) / math.sqrt(len(ratios))
    return Finding(ratios.mean(), expected, ERRORS * error)


@check("dsgd", "contraction by one random pair a round, {} devices", [(8,), (16,)])
def a_pair_at_a_time(comm: Comm, devices: int) -> Finding:
    """1 - 1/(N - 1), whatever the models are: Boyd et al., 2006, on a complete graph.

    Two that average take ``||x_i - x_j||^2 / 2`` away, in the mean over all N (N - 1)/2 pairs
    ``||x||^2 / (N - 1)`` for x of mean 0. Here two devices take part in a round.
    """
    pair = "topology.name=complete", UNWEIGHTED, f"training.participation={2 / devices}"
    learning, ratios = Learning(start(devices, 64)), []
    for seed in range(4):
        course = laboratory.run(comm, learning, *pair, f"training.seed={seed}", rounds=200)
        squares = spread(course.models)
        ratios.append(squares[1:] / squares[:-1])
    return averaged(np.concatenate(ratios), 1 - 1 / (devices - 1))


FRESH = {
    "random_matching": lambda n, s: (1 - 1 / (n - 1)) / 2,
    "epidemic": lambda n, s: (1 - s / (n - 1)) / (s + 1),
    "regular_each_round": lambda n, s: (1 - s / (n - 1)) / (s + 1),
}
"""What one round leaves of the square distance to the mean, in the mean over graphs.

A device takes ``(x_i + the sum of s others) / (s + 1)``, and those others are a random choice. With
x of mean 0 the N - 1 others of i sum to -x_i, so that the squares of all sum to
``(1 + s - 2 s / (N - 1) - s (s - 1) / (N - 1)) / (s + 1)^2`` of ``||x||^2``. A matching is s = 1.
De Vos et al., 2023, arXiv 2310.01972 (EL-Oracle).
"""

DRAWN = [
    ("random_matching", 8, 1),
    ("random_matching", 16, 1),
    ("epidemic", 8, 3),
    ("epidemic", 16, 4),
    ("regular_each_round", 16, 3),
]


@check("dsgd", "contraction by {0}, {1} devices, degree {2}", DRAWN)
def a_fresh_graph_each_round(comm: Comm, name: str, devices: int, degree: int) -> Finding:
    """Every round mixes the same models, so rounds are independent draws of :data:`FRESH`."""
    inputs = start(devices, 16)
    learning = Learning(inputs, lambda device, model, _: model - inputs[device])
    degrees = [] if name == "random_matching" else [f"topology.degree={degree}"]
    settings = f"topology.name={name}", *degrees, UNWEIGHTED
    squares = spread(laboratory.run(comm, learning, *settings, rounds=300).models)
    return averaged(squares[1:] / squares[0], FRESH[name](devices, degree))


FINITE = [
    *(("one_peer_exponential", 2**k, 1) for k in (3, 4, 5, 6)),
    *(("base_k", devices, degree) for devices in (9, 13, 31) for degree in (1, 2, 3)),
]


@check("dsgd", "distance to the mean after a period of {0}, {1} devices, degree {2}", FINITE)
def finite_time_averaging(comm: Comm, name: str, devices: int, degree: int) -> Finding:
    """The product of a period's matrices has 1/N everywhere.

    One-peer exponential: after round k each has the mean of the 2^(k+1) up to itself, so of all
    after log2(N) rounds (Ying et al., 2021, arXiv 2110.13363). Base-(k+1): by construction, for any
    N, after at most ``2 log_{k+1}(N) + 2`` rounds (Takezawa et al., 2023, arXiv 2305.11420).
    """
    settings = [f"topology.name={name}", UNWEIGHTED]
    rounds = int(math.log2(devices))
    if name == "base_k":
        settings = [f"topology.name={name}", f"topology.degree={degree}", "strategy.name=given"]
        made = laboratory.planned(comm, devices, *settings)
        rounds = made.topology.sequence.period
        assert rounds <= 2 * math.log(devices, degree + 1) + 2
    models = laboratory.run(comm, Learning(start(devices)), *settings, rounds=rounds).models
    return Finding(models[-1] - models[0].mean(axis=0), 0, ROUNDING)
