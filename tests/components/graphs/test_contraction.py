"""How fast topologies that change agree: published closed forms, and exact enumeration."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import linprog

from mpidl.components import strategies
from mpidl.components.graphs import TOPOLOGIES, build
from mpidl.components.graphs.matcha import (
    CLOSE,
    _laplacian,
    best_weight,
    matchings,
    probabilities,
)
from mpidl.config import runfile
from mpidl.config.faults import Fault
from tests.deal import slow_but
from tests.matrices import mixing_matrix

KINDS = {"topology": TOPOLOGIES, "strategy": strategies.STRATEGIES}


def matrices(devices, rounds, strategy="unweighted", **topology):
    """W of each of the first rounds, ``(N, N)``."""
    tables = {"topology": {"allow_disconnected": True, **topology}, "strategy": {"name": strategy}}
    file = runfile.validate(tables, KINDS)
    topology = build(file.topology, devices, rounds or 1)
    count = rounds or topology.sequence.period
    for round in range(count):
        yield mixing_matrix(topology.at(round, 0), file.strategy, file.schedule, round)


def product(found):
    return np.linalg.multi_dot([np.eye(len(first := next(found))), *[first, *found][::-1]])


def apart(matrix):
    """The spectral norm of a matrix minus J."""
    return np.linalg.norm(matrix - 1 / len(matrix), 2)


@pytest.mark.parametrize("devices", [2, 4, 8, 16, 32, 64])
def test_one_peer_exponential_agrees_exactly_after_log2_of_n_rounds(devices):
    """After round k each has the mean of the 2^(k+1) devices up to itself: of all, at last."""
    found = list(matrices(devices, int(math.log2(devices)), name="one_peer_exponential"))
    assert {weight for w in found for weight in w[w > 0]} == {0.5}
    assert apart(product(iter(found))) < 1e-15


@pytest.mark.parametrize(("devices", "left"), [(6, 0.216506), (12, 0.209129), (24, 0.207340)])
def test_one_peer_exponential_does_not_where_n_is_no_power_of_two(devices, left):
    """The rounds multiply to the circulant matrix whose symbol is prod_k (1 + z^(2^k)) / 2.

    At z = exp(2 pi i m / N) that is ``sin(2^K a) / (2^K sin(a))`` in modulus, a = pi m / N, as
    each factor is ``cos(2^k a)``; the largest over m > 0 is the spectral norm without the mean.
    """
    rounds = math.ceil(math.log2(devices))
    angles = np.pi * np.arange(1, devices) / devices
    symbol = np.abs(np.sin(2**rounds * angles) / (2**rounds * np.sin(angles))).max()
    found = apart(product(matrices(devices, rounds, name="one_peer_exponential")))
    assert found == pytest.approx(left, abs=5e-7)
    assert found == pytest.approx(symbol, abs=1e-12)


@pytest.mark.parametrize("degree", slow_but([1, 2, 3, 4], 1, 2))
def test_base_k_agrees_exactly_for_every_number_of_devices(degree):
    for devices in [*range(1, 34), 37, 48, 53, 61, 64, 81, 95, 97, 98, 99]:
        found = list(matrices(devices, None, "given", name="base_k", degree=degree))
        assert apart(product(iter(found))) < 1e-13
        assert len(found) <= 2 * math.log(devices, degree + 1) + 2
        for matrix in found:
            np.testing.assert_array_equal(matrix, matrix.T)
            assert matrix.min() >= 0
            assert (np.count_nonzero(matrix, axis=1) <= degree + 1).all()


@pytest.mark.parametrize("devices", slow_but([4, 6], 4))
def test_a_random_matching_contracts_as_all_matchings_do(devices):
    """``E ||W x - mean||^2`` over all perfect matchings, each equally likely.

    Of two that meet both take (x_i + x_j) / 2. With x of mean 0 the expected sum of squares is
    ``||x||^2 / 2 + sum_{i != j} x_i x_j P(i meets j) / 2 = ||x||^2 (1 - 1 / (N - 1)) / 2``.
    """
    x = np.random.default_rng(0).normal(size=devices)
    x -= x.mean()

    def left(pairs):
        return sum((x[i] + x[j]) ** 2 / 2 for i, j in pairs)

    exact = np.mean([left(pairs) for pairs in _matchings(list(range(devices)))])
    assert exact == pytest.approx(x @ x * (1 - 1 / (devices - 1)) / 2)
    drawn = [np.sum((w @ x) ** 2) for w in matrices(devices, 4000, name="random_matching")]
    assert np.mean(drawn) == pytest.approx(exact, abs=5 * np.std(drawn) / math.sqrt(4000))


def _matchings(devices):
    if not devices:
        return [[]]
    first, *rest = devices
    return [
        [(first, other), *more]
        for other in rest
        for more in _matchings([one for one in rest if one != other])
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["epidemic", "regular_each_round"])
@pytest.mark.parametrize(("devices", "degree"), [(8, 1), (16, 6), (9, 4)])
def test_a_random_graph_of_one_degree_contracts_as_published(name, devices, degree):
    """``E ||W x - mean||^2 = (1 - s / (N - 1)) / (s + 1) ||x||^2`` where all devices are alike.

    With x of mean 0, device i takes ``(x_i + sum of the s heard) / (s + 1)``. Summed over i, its
    square has ``(1 + s) ||x||^2`` from equal factors, ``-2 s / (N - 1) ||x||^2`` from x_i with a
    heard one, ``-s (s - 1) / (N - 1) ||x||^2`` from two heard ones, as P(j, l heard by i) is
    ``s (s - 1) / ((N - 1) (N - 2))``. De Vos et al., 2023, Lemma of EL-Oracle.
    """
    if degree * devices % 2 and name == "regular_each_round":
        pytest.skip("no such graph")
    x = np.random.default_rng(1).normal(size=devices)
    x -= x.mean()
    want = (1 - degree / (devices - 1)) / (degree + 1) * (x @ x)
    drawn = [np.sum((w @ x) ** 2) for w in matrices(devices, 2000, name=name, degree=degree)]
    assert np.mean(drawn) == pytest.approx(want, abs=5 * np.std(drawn) / math.sqrt(2000))


GRAPHS = {
    "cycle": nx.cycle_graph(8),
    "star": nx.star_graph(5),
    "complete": nx.complete_graph(7),
    "two cliques and a bridge": nx.barbell_graph(4, 0),
    "preferential": nx.barabasi_albert_graph(20, 2, seed=0),
    "random": nx.gnp_random_graph(40, 0.2, seed=3),
    "empty": nx.empty_graph(3),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_matchings_have_all_links_once_and_at_most_one_color_more_than_the_degree(name):
    graph = GRAPHS[name]
    found = matchings(graph)
    assert len(found) <= max(d for _, d in graph.degree) + 1
    for color in found:
        assert len(np.unique(color)) == color.size
    listed = [tuple(link) for color in found for link in color.tolist()]
    assert sorted(listed) == sorted(tuple(sorted(edge)) for edge in graph.edges)


@pytest.mark.parametrize("seed", range(20))
def test_matchings_of_random_graphs_are_colorings_of_their_links(seed):
    """Proper ones: in the line graph, where links that meet are neighbors, no two are alike."""
    generator = np.random.default_rng(seed)
    graph = nx.gnp_random_graph(int(generator.integers(2, 40)), generator.random(), seed=seed)
    found = matchings(graph)
    colors = {tuple(link): k for k, links in enumerate(found) for link in links.tolist()}
    line = nx.relabel_nodes(nx.line_graph(graph), lambda link: tuple(sorted(link)))
    assert colors.keys() == set(line)
    assert all(colors[one] != colors[other] for one, other in line.edges)
    assert len(found) <= max(d for _, d in graph.degree) + 1


def taken_apart(name):
    graph = GRAPHS[name]
    return [_laplacian(len(graph), color) for color in matchings(graph)]


def connectivity(laplacians, chances):
    return np.linalg.eigvalsh(np.tensordot(chances, np.array(laplacians), 1))[1]


def test_a_bridge_is_there_always_and_links_that_do_nothing_never():
    """On two cliques and a bridge half the budget goes where it connects: MATCHA, figure 1."""
    laplacians = taken_apart("two cliques and a bridge")
    colors = matchings(GRAPHS["two cliques and a bridge"])
    chances = probabilities(laplacians, 0.5)
    bridge = next(k for k, color in enumerate(colors) if [3, 4] in color.tolist())
    assert chances[bridge] == pytest.approx(1.0, abs=1e-3)
    equal = np.full(len(chances), 0.5)
    assert connectivity(laplacians, chances) > 1.3 * connectivity(laplacians, equal)


def test_links_of_a_star_are_all_alike():
    """All rays are matchings of their own, and by symmetry and concavity p is the same for all."""
    assert probabilities(taken_apart("star"), 0.4) == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize("name", ["two cliques and a bridge", "preferential", "random"])
def test_no_other_chances_connect_better(name):
    """Against 500 drawn within the budget; the maximum is one over a convex set."""
    laplacians = taken_apart(name)
    chances = probabilities(laplacians, 0.5)
    assert ((chances >= 0) & (chances <= 1)).all()
    assert chances.mean() <= 0.5 + 1e-6
    best = connectivity(laplacians, chances)
    generator = np.random.default_rng(0)
    for _ in range(500):
        way = chances + 0.2 * generator.normal(size=len(chances))
        way = np.clip(way - max(0, way.mean() - 0.5), 0, 1)
        way *= min(1, 0.5 / way.mean())
        assert connectivity(laplacians, way) <= best * (1 + CLOSE)


@pytest.mark.parametrize(("devices", "seed", "budget"), [(12, 3, 0.3), (12, 4, 0.5), (8, 1, 0.5)])
def test_chances_connect_as_well_as_any_up_to_the_promised_share(devices, seed, budget):
    """Against what no chances exceed: a linear program over ``v' L v``, v near those of the best.

    By eigenvectors of another library; the chances were up to 4.4e-4 short once.
    """
    graph = nx.gnp_random_graph(devices, 0.5, seed=seed)
    laplacians = np.array([_laplacian(devices, color) for color in matchings(graph)])
    chances = probabilities(list(laplacians), budget)
    count, cuts, tried = len(chances), [], chances
    for _ in range(40):
        vectors = np.linalg.eigh(np.tensordot(tried, laplacians, 1))[1].T[1:4]
        cuts += [[*(-np.einsum("i,kij,j->k", v, laplacians, v)), 1] for v in vectors]
        limits = [*cuts, [*[1] * count, 0]], [*[0] * len(cuts), budget * count]
        found = linprog([*[0] * count, -1], *limits, bounds=[*[(0, 1)] * count, (None, None)])
        tried = chances + (found.x[:-1] - chances) / 8
    assert connectivity(laplacians, chances) >= -found.fun * (1 - CLOSE)


@pytest.mark.parametrize("name", ["cycle", "star", "two cliques and a bridge"])
def test_the_expected_norm_is_that_of_all_subsets_of_matchings(name):
    laplacians = taken_apart(name)
    chances = probabilities(laplacians, 0.6)
    weight, left = best_weight(laplacians, chances)
    devices = len(laplacians[0])

    def norm(weight):
        expected = -np.full((devices, devices), 1 / devices)
        for there in itertools.product([0, 1], repeat=len(chances)):
            odds = np.prod(np.where(there, chances, 1 - chances))
            matrix = np.eye(devices) - weight * np.tensordot(there, np.array(laplacians), 1)
            expected += odds * matrix.T @ matrix
        return np.linalg.norm(expected, 2)

    assert norm(weight) == pytest.approx(left, abs=1e-9)
    assert left < 1
    assert left <= min(norm(weight + 0.01), norm(weight - 0.01))


def test_with_all_of_the_budget_the_graph_stays_and_its_weight_is_known():
    """``(1 - a l)^2`` over the spectrum is least at a = 2 / (l_2 + l_N) (Xiao and Boyd, 2004)."""
    spectrum = np.linalg.eigvalsh(nx.laplacian_matrix(GRAPHS["random"]).toarray().astype(float))
    weight, left = best_weight(taken_apart("random"), probabilities(taken_apart("random"), 1.0))
    assert weight == pytest.approx(2 / (spectrum[1] + spectrum[-1]), abs=1e-6)
    quotient = (spectrum[-1] - spectrum[1]) / (spectrum[-1] + spectrum[1])
    assert left == pytest.approx(quotient**2, abs=1e-6)


def test_a_run_of_matcha_contracts_as_expected():
    """``E ||x(t+1) - mean||^2 <= rho E ||x(t) - mean||^2``: over 400 rounds, with the weights."""
    found = matrices(20, 400, "given", name="matcha", base="barabasi_albert", budget=0.5)
    graph = nx.Graph(TOPOLOGIES["barabasi_albert"](20, 0))
    laplacians = [_laplacian(20, color) for color in matchings(graph)]
    _, left = best_weight(laplacians, probabilities(laplacians, 0.5))
    squares = [np.eye(20) - 1 / 20]
    for matrix in found:
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
        squares.append(matrix.T @ matrix - 1 / 20)
    assert np.linalg.norm(np.mean(squares[1:], axis=0), 2) < left + 0.05


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"base": "rign"}, "topology.base = 'rign': must be a topology or a graph file; did you"),
        ({"base": "exponential"}, "has links in one direction"),
        ({"base": "random_matching"}, "changes itself; take one that does not"),
        ({"base": "epidemik"}, "graph file; known: barabasi_albert, binary_tree, chain, complete,"),
        ({"devices": 4, "base": "watts_strogatz"}, "no graph of 4 devices with its own defaults"),
        ({"base": "hypercube"}, "12: a hypercube needs a power of two"),
        ({"devices": 2000}, "2000: matcha takes up to 500 devices"),
    ],
)
def test_a_base_that_does_not_fit_is_told(settings, sentence):
    tables = {"topology": {"name": "matcha", "devices": 12, **settings}}
    with pytest.raises(Fault, match=sentence):
        build(runfile.validate(tables, KINDS).topology, 1)


@pytest.mark.parametrize("devices", [2, 4, 7])
def test_a_complete_graph_that_is_all_there_agrees_at_once(devices):
    """``I - L / N`` is the mean of all."""
    laplacians = [_laplacian(devices, color) for color in matchings(nx.complete_graph(devices))]
    weight, left = best_weight(laplacians, np.ones(len(laplacians)))
    assert weight == pytest.approx(1 / devices, abs=1e-6)
    assert left == pytest.approx(0, abs=1e-10)


def test_a_graph_that_falls_apart_agrees_within_its_parts_as_each_alone_would():
    """Two rings of 8: chances are alike by symmetry, and so is the weight."""
    twice = nx.disjoint_union(nx.cycle_graph(8), nx.cycle_graph(8))
    both = [_laplacian(16, color) for color in matchings(twice)]
    alone = [_laplacian(8, color) for color in matchings(nx.cycle_graph(8))]
    chances = [probabilities(found, 0.6) for found in (alone, both)]
    assert chances[0] == pytest.approx(chances[1], abs=1e-3)
    assert best_weight(both, chances[0]) == pytest.approx(best_weight(alone, chances[0]), abs=1e-6)


def test_a_base_may_be_a_file(tmp_path):
    file = tmp_path / "base.edges"
    file.write_text("0 1\n1 2\n2 0\n2 3\n")
    tables = {"topology": {"name": "matcha", "devices": 4, "base": str(file), "budget": 1.0}}
    graph = build(runfile.validate(tables, KINDS).topology, 1, 30).graph
    assert {frozenset(edge) for edge in graph.edges} == {
        frozenset(edge) for edge in ((0, 1), (1, 2), (0, 2), (2, 3))
    }
