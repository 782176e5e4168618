"""Algorithms round by round, beside dense forms of them as they were published.

Each form takes all models at once, ``(N, P)``, and yields those after every round; W is the plan's.
"""

from collections.abc import Callable, Iterator

import networkx as nx
import numpy as np

from mpidl.ranks.world import Comm
from tests.proof import laboratory
from tests.proof.checks import Finding, check
from tests.proof.laboratory import Array
from tests.proof.mixing import MH, ONE_WAY
from tests.proof.optima import Quadratics, drawn

ROUNDS = 25
Form = Callable[[Array, Array, Quadratics], Iterator[Array]]


def gradients(problem: Quadratics, x: Array) -> Array:
    """Of all devices, ``(N, P)``."""
    return np.array([problem.gradient(i, model, 0) for i, model in enumerate(x)])


def quasi_global_momentum(x: Array, w: Array, problem: Quadratics) -> Iterator[Array]:
    """Lin et al., 2021, arXiv 2102.04761, algorithm 1, for beta = mu = 0.9."""
    momentum = np.zeros_like(x)
    while True:
        half = x - problem.lr * (0.9 * momentum + gradients(problem, x))
        mixed = w @ half
        momentum = 0.9 * momentum + 0.1 * (x - mixed) / problem.lr
        x = mixed
        yield x


def exact_diffusion(x: Array, w: Array, problem: Quadratics) -> Iterator[Array]:
    """Yuan et al., 2019, arXiv 1702.05122, algorithm 1: adapt, correct, combine; w is (I + W)/2."""
    before = x
    while True:
        adapted = x - problem.lr * gradients(problem, x)
        x, before = w @ (adapted + x - before), adapted
        yield x


def d2(x: Array, w: Array, problem: Quadratics) -> Iterator[Array]:
    """Tang et al., 2018, arXiv 1803.07068: ``W (2 x - x' - lr (g - g'))`` for the round before."""
    slope = gradients(problem, x)
    before, x = x, w @ (x - problem.lr * slope)
    while True:
        yield x
        now = gradients(problem, x)
        before, x = x, w @ (2 * x - before - problem.lr * (now - slope))
        slope = now


def gradient_tracking(x: Array, w: Array, problem: Quadratics) -> Iterator[Array]:
    """Di Lorenzo and Scutari, 2016: ``x <- W (x - lr y)``, ``y <- W y + g(x) - g(x')``."""
    slope = gradients(problem, x)
    tracked = slope
    while True:
        x = w @ (x - problem.lr * tracked)
        now = gradients(problem, x)
        tracked, slope = w @ tracked + now - slope, now
        yield x


def push_sum(x: Array, w: Array, problem: Quadratics) -> Iterator[Array]:
    """Assran et al., 2019, arXiv 1811.10792, algorithm 1: gradients at z = x / mass."""
    mass = np.ones((len(x), 1))
    while True:
        x = w @ (x - problem.lr * gradients(problem, x / mass))
        mass = w @ mass
        yield x / mass


def choco(x: Array, w: Array, problem: Quadratics) -> Iterator[Array]:
    """Koloskova et al., 2019, arXiv 1902.00340, algorithm 2: largest number, gamma 0.3."""
    known = np.zeros_like(x)
    while True:
        x = x - problem.lr * gradients(problem, x)
        left = x - known
        largest = np.abs(left) == np.abs(left).max(axis=1, keepdims=True)
        known = known + np.where(largest, left, 0)
        x = x + 0.3 * (w @ known - known)
        yield x


def relay_sum(x: Array, w: Array, problem: Quadratics) -> Iterator[Array]:
    """Vogels et al., 2021, arXiv 2110.04175: from d links away comes the model of d - 1 rounds ago.

    Own models stand for those of whom no word has come.
    """
    distances = np.array(nx.floyd_warshall_numpy(nx.Graph(w - np.diag(np.diag(w)) > 0)), int)
    late = np.maximum(distances - 1, 0)
    trained: list[Array] = []
    while True:
        trained.append(x - problem.lr * gradients(problem, x))
        last = len(trained) - 1
        x = np.array(
            [
                np.mean([trained[last - d][j] if d <= last else own for j, d in enumerate(row)], 0)
                for own, row in zip(trained[-1], late, strict=True)
            ]
        )
        yield x


RING = "topology.name=ring", MH
FORMS: dict[str, tuple[Form, tuple[str, ...]]] = {
    "quasi_global_momentum": (quasi_global_momentum, RING),
    "exact_diffusion": (exact_diffusion, RING),
    "exact_diffusion, lazy = 0 (D2)": (d2, ("topology.name=chain", MH, "algorithm.lazy=0.0")),
    "gradient_tracking": (gradient_tracking, RING),
    "push_sum": (push_sum, (ONE_WAY, "strategy.name=unweighted")),
    "choco": (choco, RING),
    "relay_sum": (relay_sum, ("topology.name=binary_tree", "strategy.name=unweighted")),
}


@check("{}", "models in 25 rounds: those of its published form", [(name,) for name in FORMS])
def rounds_are_those_published(comm: Comm, name: str) -> Finding:
    """Real rounds, which never see a gradient, beside a form that is written with gradients."""
    form, settings = FORMS[name]
    problem, named = drawn(0.1), f"algorithm.name={name.partition(',')[0]}"
    course = laboratory.run(comm, problem.learning(), named, *settings, rounds=ROUNDS)
    dense = form(course.models[0], course.plan.matrix(), problem)
    expected = np.array([next(dense) for _ in range(ROUNDS)])
    return Finding(course.models[1:], expected, 1e-13)
