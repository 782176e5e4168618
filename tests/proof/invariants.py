"""What must be the same whatever else is: federated averaging, devices alone, devices alike."""

import numpy as np

from mpidl.components.algorithms import ALGORITHMS
from mpidl.ranks.world import Comm
from tests.proof import laboratory
from tests.proof.checks import Finding, check
from tests.proof.laboratory import Array, Learning
from tests.proof.mixing import MH, ROUNDING, start
from tests.proof.optima import DEVICES, SIZE, drawn

ROUNDS = 10


def alone(learning: Learning, device: int) -> Array:
    """The models of a device that descends for itself, by round, ``(R, P)``."""
    model, found = learning.start[device].copy(), []
    for round_ in range(ROUNDS):
        learning.descend(device, model, round_)
        found.append(model.copy())
    return np.array(found)


def together(learning: Learning) -> Array:
    """The models of one that descends by the mean of all gradients, by round, ``(R, P)``."""
    model, found = learning.start[0].copy(), []
    for _ in range(ROUNDS):
        gradients = [learning.gradient(i, model, 0) for i in range(len(learning.start))]
        model = model - learning.lr * np.mean(gradients, axis=0)
        found.append(model)
    return np.array(found)


@check(
    "dsgd",
    "models in 10 rounds, {}: those of one learner with all data",
    [("federated",), ("unweighted, complete graph",)],
)
def means_of_all_are_one_learner(comm: Comm, which: str) -> Finding:
    """From one model, the mean of ``x - eta g_i(x)`` is a step along the mean gradient.

    With equal shards and one step that is all-reduce SGD, and federated averaging.
    """
    strategy, _, _ = which.partition(", ")
    problem = drawn(0.3)
    learning = Learning(np.tile(start(1, SIZE), (DEVICES, 1)), problem.gradient, problem.lr)
    settings = "topology.name=complete", f"strategy.name={strategy}"
    models = laboratory.run(comm, learning, *settings, rounds=ROUNDS).models[1:]
    return Finding(models, np.broadcast_to(together(learning)[:, None], models.shape), 1e-15)


@check("dsgd", "models in 10 rounds without mixing: bits of devices alone")
def nothing_mixed_is_plain_descent(comm: Comm) -> Finding:
    """With W = I a round is ``x <- 1 (x - s(x))``, which rounds nothing."""
    learning = drawn(0.3).learning()
    course = laboratory.run(comm, learning, "strategy.name=none", rounds=ROUNDS)
    expected = np.stack([alone(learning, i) for i in range(DEVICES)], axis=1)
    return Finding(course.models[1:], expected, 0.0)


ALIKE = sorted({*ALGORITHMS} - {"relay_sum"})
"""Algorithms by which devices that do not differ stay so.

RelaySum's do not: one at the end of a chain hears older models than one in the middle.
"""


@check("{}", "models in 10 rounds, all devices alike: those of one", [(n,) for n in ALIKE])
def alike_descends_as_one(comm: Comm, algorithm: str) -> Finding:
    """Rows of W (of push-sum's, times masses over masses) sum to 1, so equal models stay.

    Without momentum that is plain descent; beta = 0 turns that of quasi-global momentum off.
    """
    alike = like_the_first()
    settings = "topology.name=star", *named(algorithm)
    models = laboratory.run(comm, alike, *settings, rounds=ROUNDS).models[1:]
    return Finding(models, np.broadcast_to(alone(alike, 0)[:, None], models.shape), ROUNDING)


@check("{}", "consensus distance in 10 rounds, all devices alike", [(n,) for n in ALIKE])
def alike_agree(comm: Comm, algorithm: str) -> Finding:
    """As it is recorded: equal models and equal steps, so equal models for ever."""
    settings = "topology.name=ring", *named(algorithm)
    course = laboratory.run(comm, like_the_first(), *settings, rounds=ROUNDS)
    return Finding(course.series["consensus_distance"][1:], 0, ROUNDING)


def like_the_first() -> Learning:
    """All devices begin and learn as the first one does."""
    problem = drawn(0.3)
    begin = np.tile(start(1, SIZE), (DEVICES, 1))
    return Learning(begin, lambda _, model, draw: problem.gradient(0, model, draw), problem.lr)


@check(
    "{}", "models in 10 rounds, one device: those of descent", [(n,) for n in sorted(ALGORITHMS)]
)
def one_device_descends(comm: Comm, algorithm: str) -> Finding:
    """W is 1, so what corrects for others corrects nothing; each rank has its own device here."""
    from mpi4py import MPI

    problem = drawn(0.3)
    learning = Learning(start(1, SIZE), problem.gradient, problem.lr)
    settings = "topology.name=chain", *named(algorithm)
    models = laboratory.run(MPI.COMM_SELF, learning, *settings, rounds=ROUNDS).models[1:]
    return Finding(models[:, 0], alone(learning, 0), ROUNDING)


def named(algorithm: str) -> list[str]:
    """The settings by which an algorithm is plain descent where there is nothing to mix."""
    special = {
        "asynchronous": [MH, "algorithm.slowest=1"],
        "quasi_global_momentum": [MH, "algorithm.beta=0.0"],
        "relay_sum": ["strategy.name=unweighted"],
    }
    return [*special.get(algorithm, [MH]), f"algorithm.name={algorithm}"]
