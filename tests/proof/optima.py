"""Where algorithms come to rest on quadratics that differ from device to device."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from mpidl.components.algorithms.compression import COMPRESSORS
from mpidl.plan import Plan
from mpidl.ranks.world import Comm
from tests.proof import laboratory
from tests.proof.checks import Finding, check
from tests.proof.laboratory import Array, Course, Learning
from tests.proof.mixing import MH, ONE_WAY, perron, start

DEVICES, SIZE = 8, 3
REST = 1e-10
"""The distance to where it rests that an algorithm must come below."""


@dataclass(frozen=True)
class Quadratics:
    """``f_i(x) = 1/2 (x - b_i)' H_i (x - b_i)``, a device's loss.

    Attributes:
        curvatures: H, ``(N, P, P)``, with eigenvalues from 1/2 to 3/2.
        minima: b, ``(N, P)``.
        lr: The length of a step.
        steps: In a round.
    """

    curvatures: Array
    minima: Array
    lr: float
    steps: int = 1

    def learning(self) -> Learning:
        """Gradient descent from anywhere."""
        return Learning(start(DEVICES, SIZE), self.gradient, self.lr, self.steps)

    def gradient(self, device: int, model: Array, draw: int) -> Array:
        """H_i (x - b_i)."""
        return np.asarray(self.curvatures[device] @ (model - self.minima[device]))

    @property
    def moved(self) -> Array:
        """M, ``(N, P, P)``: a round takes ``M_i (x - b_i)`` away, M = 1 - (1 - lr H)^steps."""
        one = np.eye(SIZE)
        kept = [np.linalg.matrix_power(one - self.lr * h, self.steps) for h in self.curvatures]
        return one - np.array(kept)

    def optimum(self) -> Array:
        """Where the steps of all from one model cancel, ``(P,)``: ``sum_i M_i (x - b_i) = 0``.

        With one step in a round it is the minimum of the sum of all losses.
        """
        pulled = np.einsum("npq,nq->p", self.moved, self.minima)
        return np.linalg.solve(self.moved.sum(axis=0), pulled)


def drawn(lr: float, steps: int = 1) -> Quadratics:
    """Quadratics that no two devices share."""
    draw = np.random.default_rng(2)
    turns = [np.linalg.qr(draw.normal(size=(SIZE, SIZE)))[0] for _ in range(DEVICES)]
    scales = draw.uniform(0.5, 1.5, (DEVICES, SIZE))
    curvatures = np.array([(q * s) @ q.T for q, s in zip(turns, scales, strict=True)])
    return Quadratics(curvatures, draw.normal(size=(DEVICES, SIZE)), lr, steps)


def rest(comm: Comm, problem: Quadratics, rounds: int, *settings: str) -> Course:
    """The devices after so many rounds."""
    return laboratory.run(comm, problem.learning(), *settings, rounds=rounds, looks=[rounds])


ORDERS = ("adapt_then_combine", "combine_then_adapt", "consensus")


def fixed_point(order: str, matrix: Array, moved: Array, minima: Array) -> Array:
    """Where D-SGD rests, ``(N, P)``: W stands for ``W (x) I``, M for ``diag(M_1, ..., M_N)``.

    adapt_then_combine: ``x = W (x - M (x - b))``, so ``(I - W (I - M)) x = W M b``.
    combine_then_adapt: ``y = W x``, ``x = y - M (y - b)``, so ``(I - (I - M) W) x = M b``.
    consensus: ``x = W x - M (x - b)``, so ``(I - W + M) x = M b``.
    """
    mix, step = np.kron(matrix, np.eye(SIZE)), block_diag(*moved)
    one, pulled = np.eye(len(mix)), step @ minima.ravel()
    sides = {
        "adapt_then_combine": (one - mix @ (one - step), mix @ pulled),
        "combine_then_adapt": (one - (one - step) @ mix, pulled),
        "consensus": (one - mix + step, pulled),
    }
    return np.linalg.solve(*sides[order]).reshape(DEVICES, SIZE)


def biased(course: Course, problem: Quadratics, point: Array) -> Finding:
    """Where devices rest and should rest, as distances to the optimum."""
    optimum = problem.optimum()
    return Finding(course.models[-1] - optimum, point - optimum, REST)


@check(
    "dsgd, {0}",
    "distance to the optimum at rest, local steps: {1}",
    [(order, steps) for order in ORDERS for steps in (1, 3)],
)
def dsgd_keeps_its_bias(comm: Comm, order: str, steps: int) -> Finding:
    """Each order has a fixed point of its own, a linear system: see :func:`fixed_point`."""
    problem = drawn(0.2, steps)
    course = rest(comm, problem, 300, "topology.name=ring", MH, f"algorithm.order={order}")
    point = fixed_point(order, course.plan.matrix(), problem.moved, problem.minima)
    return biased(course, problem, point)


@check("quasi_global_momentum", "distance to the optimum at rest")
def momentum_rests_where_dsgd_does(comm: Comm) -> Finding:
    """At rest x = z, so m = mu m is 0 and what is left is ``x = W (x - s(x))``."""
    problem, name = drawn(0.1), "algorithm.name=quasi_global_momentum"
    course = rest(comm, problem, 600, "topology.name=ring", MH, name)
    matrix = course.plan.matrix()
    point = fixed_point("adapt_then_combine", matrix, problem.moved, problem.minima)
    return biased(course, problem, point)


@check(
    "push_sum, {0}", "distance to the optimum at rest, one-way links", [("alike",), ("by_mass",)]
)
def push_sum_keeps_its_bias(comm: Comm, steps: str) -> Finding:
    """Once masses rest, at N times the right Perron vector of A, a round is D-SGD by another W.

    ``x = D^-1 A D (x - t(x))`` for ``D = diag(m)``, whose rows sum to 1 as ``A m = m``; t is s
    where steps count by mass, and ``s / m`` where they count alike.
    """
    problem = drawn(0.1)
    name = "algorithm.name=push_sum", f"algorithm.steps={steps}"
    course = rest(comm, problem, 800, ONE_WAY, "strategy.name=unweighted", *name)
    columns = course.plan.matrix()
    mass = DEVICES * perron(columns.T)
    scale = mass[:, None, None] if steps == "alike" else 1.0
    matrix = columns * mass / mass[:, None]
    point = fixed_point("adapt_then_combine", matrix, problem.moved / scale, problem.minima)
    return biased(course, problem, point)


GAMMA = 0.2


@check("choco, {}", "distance to the optimum at rest", [(name,) for name in COMPRESSORS])
def compression_adds_no_bias(comm: Comm, compressor: str) -> Finding:
    """At rest nothing is left to send, so ``h = y = x - s(x)`` and ``x = ((1 - g) I + g W) y``.

    That is D-SGD by a lazier W, g being gamma: compression costs rounds, not accuracy.
    """
    problem, name = drawn(0.2), "algorithm.name=choco"
    settings = f"algorithm.compressor={compressor}", f"algorithm.gamma={GAMMA}"
    course = rest(comm, problem, 700, "topology.name=ring", MH, name, *settings)
    matrix = GAMMA * course.plan.matrix() + (1 - GAMMA) * np.eye(DEVICES)
    point = fixed_point("adapt_then_combine", matrix, problem.moved, problem.minima)
    return biased(course, problem, point)


@check("asynchronous", "distance to the optimum at rest, all train in every round")
def at_one_pace_it_is_consensus(comm: Comm) -> Finding:
    """Where no training lasts longer than a round, a round is ``x <- W x - s(x)``."""
    problem = drawn(0.2)
    name = "algorithm.name=asynchronous", "algorithm.slowest=1"
    course = rest(comm, problem, 300, "topology.name=ring", MH, *name)
    matrix = course.plan.matrix()
    point = fixed_point("consensus", matrix, problem.moved, problem.minima)
    return biased(course, problem, point)


@check("asynchronous", "distance to the optimum in 60 rounds, trainings of 1 to 4 rounds")
def slow_devices_use_what_they_read(comm: Comm) -> Finding:
    """Against dense rounds in which device i reads at t, and subtracts before it reads again."""
    return read_and_subtracted(comm)


@check("asynchronous", "the same, where in each round 4 of 10 devices sit out")
def who_is_away_subtracts_when_it_is_back(comm: Comm) -> Finding:
    """Against the same dense rounds, in which only who takes part ends a training."""
    return read_and_subtracted(comm, "training.participation=0.6")


def read_and_subtracted(comm: Comm, *settings: str) -> Finding:
    problem = drawn(0.2)
    settings = "topology.name=ring", MH, "algorithm.name=asynchronous", *settings
    course = laboratory.run(comm, problem.learning(), *settings, rounds=60)
    plan, model = course.plan, course.models[0].copy()
    step, due, expected = np.zeros_like(model), dict[int, int](), [model]
    for round_ in range(60):
        begun = {
            i: problem.lr * problem.gradient(i, model[i], round_) for i in plan.learners(round_)
        }
        model = model.copy()
        for i, found in begun.items():
            model[i] -= step[i] * (i in due)
            step[i], due[i] = found, next(r for r in range(round_, 100) if begins(plan, i, r + 1))
        model = plan.matrix(round_) @ model
        for i in plan.active(round_) & {i for i, last in due.items() if last <= round_}:
            model[i] -= step[i]
            del due[i]
        expected.append(model)
    return Finding(course.models - problem.optimum(), expected - problem.optimum(), 1e-13)


def begins(plan: Plan, device: int, round_: int) -> bool:
    """Whether a device begins a training in a round, if it takes part in it."""
    return plan.algorithm.trains(plan.file.training.seed, device, round_)


@check("asynchronous", "mixings while a training lasts, of 1 to 4 rounds")
def staleness_is_the_pace(comm: Comm) -> Finding:
    """On a ring every round mixes, so there are as many as the training has rounds."""
    settings = "topology.name=ring", MH, "algorithm.name=asynchronous"
    course = laboratory.run(comm, drawn(0.2).learning(), *settings, rounds=12)
    began = [[i in course.plan.learners(r) for i in range(DEVICES)] for r in range(13)]
    pace = np.array([np.diff(np.flatnonzero(of_one)).min() for of_one in np.transpose(began)])
    expected = np.where(began[1:], pace, -1)
    return Finding(np.nan_to_num(course.series["staleness"][1:], nan=-1), expected, 0.0)


EXACT = {
    "exact_diffusion": ("algorithm.name=exact_diffusion", "topology.name=ring"),
    # On an even ring the lowest eigenvalue is -1/3, where D2 does not settle; on a chain it is
    # 1/3 - 2/3 cos(pi/N), above that.
    "exact_diffusion, lazy = 0 (D2)": (
        "algorithm.name=exact_diffusion",
        "algorithm.lazy=0.0",
        "topology.name=chain",
    ),
    "gradient_tracking": ("algorithm.name=gradient_tracking", "topology.name=ring"),
    # Equal weights on the exponential graph, a circulant, sum to 1 by columns too.
    "gradient_tracking, one-way links": (
        "algorithm.name=gradient_tracking",
        "topology.name=exponential",
    ),
    # Two weights of 1/2 in each row and column, other ones in each of three rounds.
    "gradient_tracking, one_peer_exponential": (
        "algorithm.name=gradient_tracking",
        "topology.name=one_peer_exponential",
        "strategy.name=unweighted",
    ),
    "relay_sum": (
        "algorithm.name=relay_sum",
        "topology.name=binary_tree",
        "strategy.name=unweighted",
    ),
}


@check(
    "{0}",
    "distance to the optimum at rest, local steps: {1}",
    [(name, steps) for name in EXACT for steps in (1, 3)],
)
def corrections_find_the_optimum(comm: Comm, name: str, steps: int) -> Finding:
    """At rest devices agree, and the sum of their steps is 0: see :meth:`Quadratics.optimum`.

    Exact diffusion: ``1' (x_next - x + s)`` is the same in every round and 0 in the first, which is
    D-SGD. Gradient tracking: ``1' y = 1' s`` from the first round on, and y vanishes at rest.
    RelaySum: each model is ``1/N sum_j (x_j - s_j(x_j))``, with the x_j of earlier rounds.
    """
    problem = drawn(0.1 if steps == 1 else 0.05, steps)
    course = rest(comm, problem, 800, MH, *EXACT[name])
    return Finding(course.models[0] - problem.optimum(), 0, REST)


@check("gradient_tracking", "mean of what is followed less the mean step, in 20 rounds")
def trackers_follow_the_mean_step(comm: Comm) -> Finding:
    """``1' y_next = 1' (W y + s - s_before)`` keeps ``1' y = 1' s``, where 1' W = 1'."""
    settings = "topology.name=ring", MH, "algorithm.name=gradient_tracking"
    memory = laboratory.run(comm, drawn(0.1).learning(), *settings, rounds=20).memory
    return Finding((memory["tail"] - memory["step"]).mean(axis=1), 0, 1e-14)
