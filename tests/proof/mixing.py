"""What mixing alone does: how fast devices agree, on what, and that nothing is lost."""

from pathlib import Path

import networkx as nx
import numpy as np

from mpidl.components.algorithms import ALGORITHMS
from mpidl.components.algorithms.compression import COMPRESSORS
from mpidl.ranks.world import Comm
from tests.proof import laboratory
from tests.proof.checks import Finding, check
from tests.proof.laboratory import Array, Course, Learning

MH = "strategy.name=metropolis_hastings"
ONE_WAY = f"topology.file={Path(__file__).with_name('one_way.edges')}"
ROUNDING = 1e-14
"""Some dozen roundings of numbers near 1, each of 1e-16."""

EIGENVALUES = {
    "ring": lambda n: 1 / 3 + 2 / 3 * np.cos(2 * np.pi / n),
    "chain": lambda n: 1 / 3 + 2 / 3 * np.cos(np.pi / n),
    "star": lambda n: 1 - 1 / n,
    "hypercube": lambda n: 1 - 2 / (1 + np.log2(n)),
    "exponential": lambda n: 1 - 2 / (1 + np.ceil(np.log2(n))),
}
"""The second largest modulus of W on N devices.

By Metropolis-Hastings. Ring: a circulant of three weights 1/3, of eigenvalues (1 + 2 cos(2 pi k /
N))/3. Chain: the same between reflecting ends, whose modes are cosines of half the frequency. Star:
links have weight 1/N, so a vector on the leaves that sums to 0 shrinks by 1 - 1/N. Hypercube of
degree d = log2(N): the mode that changes sign along one axis, (1 + (d - 2))/(1 + d). Exponential
graph, a circulant of 1 + log2(N) equal weights: the alternating mode, whose only odd hop is 1, so
(1 + (d - 1) - 1)/(1 + d); Ying et al., 2021, arXiv 2110.13363.
"""

TORUS = (3 + np.sqrt(2)) / 5
"""4 x 8 devices of weights 1/5: one turn along the longer side, (1 + 2 + 2 cos(2 pi/8))/5."""


def _heap(devices: int) -> nx.Graph:
    return nx.Graph((i, (i - 1) // 2) for i in range(1, devices))


def start(devices: int, size: int = 5) -> Array:
    """Models drawn from the normal distribution, ``(N, P)``."""
    return np.random.default_rng(1).normal(size=(devices, size))


@check(
    "dsgd",
    "second eigenvalue, {0} of {1}",
    [(family, n, value(n)) for family, value in EIGENVALUES.items() for n in (8, 16, 32, 64)]
    + [("torus", 32, TORUS)],
)
def second_eigenvalue(comm: Comm, family: str, devices: int, expected: float) -> Finding:
    """By how much a round shrinks the eigenvector of W that is slowest to vanish.

    A complex one, of the exponential graph, is given as two columns, its parts.
    """
    settings = f"topology.name={family}", MH
    matrix = laboratory.planned(comm, devices, *settings).matrix()
    values, vectors = np.linalg.eig(matrix)
    slowest = vectors[:, np.argsort(-np.abs(values))[1]]
    parts = np.stack([slowest.real, slowest.imag], axis=1)
    models = laboratory.run(comm, Learning(parts), *settings, rounds=10).models
    shrunk = np.linalg.norm(models[-1]) / np.linalg.norm(models[0])
    return Finding(shrunk ** (1 / 10), expected, 1e-12)


@check(
    "{}",
    "mean over devices, Metropolis-Hastings, {1}: its change in 20 rounds",
    [(name, "all links") for name in sorted({*ALGORITHMS} - {"choco", "relay_sum"})]
    + [(f"choco, {name}", "all links") for name in COMPRESSORS]
    + [("dsgd", "half of the links fail"), ("dsgd", "half of the devices sit out")],
)
def mean_is_kept(comm: Comm, algorithm: str, which: str) -> Finding:
    """1' W = 1' where W is doubly stochastic, so 1' x stays what it is.

    CHOCO adds ``gamma (W - I) h``, whose sum over devices is 0 whatever h is.
    """
    algorithm, _, compressor = algorithm.partition(", ")
    name = [f"algorithm.name={algorithm}"]
    name += [f"algorithm.compressor={compressor}"] if compressor else []
    more = {
        "all links": "training.participation=1.0",
        "half of the links fail": "topology.link_probability=0.5",
        "half of the devices sit out": "training.participation=0.5",
    }
    settings = "topology.name=barabasi_albert", MH, *name, more[which]
    models = laboratory.run(comm, Learning(start(8)), *settings, rounds=20).models
    return Finding(models.mean(axis=1) - models[0].mean(axis=0), 0, ROUNDING)


@check(
    "dsgd",
    "mean over devices by stationary weights, {}: its change in 20 rounds",
    [("degree, barabasi_albert",), ("unweighted, one-way links",)],
)
def weighted_mean_is_kept(comm: Comm, which: str) -> Finding:
    """Pi' W = pi' for the left Perron vector pi of W, so pi' x stays what it is."""
    strategy, _, graph = which.partition(", ")
    topology = ONE_WAY if graph == "one-way links" else f"topology.name={graph}"
    course = laboratory.run(
        comm, Learning(start(8)), topology, f"strategy.name={strategy}", rounds=20
    )
    share = perron(course.plan.matrix())
    return Finding(np.einsum("n,lnp->lp", share, course.models - course.models[0]), 0, ROUNDING)


def perron(matrix: Array) -> Array:
    """The left eigenvector of the eigenvalue 1, which sums to 1, ``(N,)``."""
    values, vectors = np.linalg.eig(matrix.T)
    vector = vectors[:, np.argmax(values.real)].real
    share: Array = vector / vector.sum()
    return share


PUSHES = {
    "one-way links": (ONE_WAY,),
    "one-way links, half of them fail": (ONE_WAY, "topology.link_probability=0.5"),
    "one-way links, half of the devices sit out": (ONE_WAY, "training.participation=0.5"),
}


def pushed(comm: Comm, which: str, rounds: int, *looks: int) -> Course:
    """What becomes of models that devices push to each other by equal shares, without training."""
    settings = "algorithm.name=push_sum", "strategy.name=unweighted", *PUSHES[which]
    learning = Learning(start(8))
    return laboratory.run(comm, learning, *settings, rounds=rounds, looks=looks or None)


@check("push_sum", "distance to the plain mean after 400 rounds, {}", [(w,) for w in PUSHES])
def push_sum_finds_the_plain_mean(comm: Comm, which: str) -> Finding:
    """Columns sum to 1, so sums over devices of vector and of mass stay; all ratios meet.

    Kempe, Dobra and Gehrke, 2003; whatever the order of sending, if it connects all.
    """
    models = pushed(comm, which, 400, 0, 400).models
    return Finding(models[-1] - models[0].mean(axis=0), 0, 1e-12)


@check("push_sum", "mass of all devices in 50 rounds, {}", [(w,) for w in PUSHES])
def mass_is_kept(comm: Comm, which: str) -> Finding:
    """The columns of every round's matrix sum to 1, so 1' m = N from the start on."""
    return Finding(pushed(comm, which, 50).series["mass"][1:].sum(axis=1), 8.0, 8 * ROUNDING)


@check("push_sum", "mean weighted by mass, {}: its change in 50 rounds", [(w,) for w in PUSHES])
def vectors_are_kept(comm: Comm, which: str) -> Finding:
    """1' u stays for u = m x, as 1' m does; m is 1 before the first round."""
    course = pushed(comm, which, 50)
    mass = np.nan_to_num(course.series["mass"], nan=1.0)
    means = np.einsum("ln,lnp->lp", mass, course.models) / 8
    return Finding(means - means[0], 0, ROUNDING)


@check("choco, {}", "distance to the mean after 700 rounds", [(name,) for name in COMPRESSORS])
def compressed_models_agree(comm: Comm, compressor: str) -> Finding:
    """What Q leaves out shrinks with what is left to say: CHOCO-Gossip, arXiv 1902.00340.

    So linearly, down to the same mean, not to a ball around it as by quantized gossip.
    """
    name = "algorithm.name=choco", f"algorithm.compressor={compressor}", "algorithm.gamma=0.2"
    course = laboratory.run(
        comm, Learning(start(8)), "topology.name=ring", MH, *name, rounds=700, looks=[0, 700]
    )
    return Finding(course.models[-1] - course.models[0].mean(axis=0), 0, 1e-10)


TREES = {"chain": nx.path_graph, "star": lambda n: nx.star_graph(n - 1), "binary_tree": _heap}


@check("relay_sum", "models on a {} after 1, 2, ... diameter rounds", [(tree,) for tree in TREES])
def relayed_models_count_once(comm: Comm, tree: str) -> Finding:
    """Each device's own model is the same b_i before every exchange; at last all have the mean.

    After t rounds i has heard the devices up to t links away, each with weight 1/N, and itself has
    what is missing: ``x_i = (sum_{d(i, j) <= t} b_j + (N - their number) b_i) / N``.
    """
    inputs = start(8)
    distances = np.array(nx.floyd_warshall_numpy(TREES[tree](8), nodelist=range(8)))
    learning = Learning(np.zeros_like(inputs), lambda device, model, _: model - inputs[device])
    settings = f"topology.name={tree}", "strategy.name=unweighted", "algorithm.name=relay_sum"
    models = laboratory.run(comm, learning, *settings, rounds=int(distances.max())).models
    near = np.arange(1, len(models))[:, None, None] >= distances
    own = (8 - near.sum(axis=2))[:, :, None] * inputs
    return Finding(models[1:], (near @ inputs + own) / 8, ROUNDING)
