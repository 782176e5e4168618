"""Spectral gap, stationary weights, and the picture."""

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array

from mpidl.components.graphs import (
    Topology,
    Unknown,
    effective_neighbors,
    long_run,
    moduli,
    picture,
    stationary,
)
from tests.matrices import spectral_gap


def test_gap_of_two_states():
    matrix = np.array([[0.9, 0.1], [0.3, 0.7]])
    assert spectral_gap(matrix) == pytest.approx(0.4)
    np.testing.assert_allclose(stationary(matrix), [0.75, 0.25])


def test_gap_limits():
    assert spectral_gap(np.ones((1, 1))) == 1.0
    assert spectral_gap(np.full((4, 4), 0.25)) == pytest.approx(1.0)
    assert spectral_gap(np.eye(3)) == 0.0


def test_stationary_of_a_random_chain_is_its_fixed_point():
    matrix = np.random.default_rng(0).random((20, 20))
    matrix /= matrix.sum(axis=1, keepdims=True)
    share = stationary(matrix)
    np.testing.assert_allclose(share @ matrix, share, atol=1e-12)
    assert share.sum() == pytest.approx(1)
    np.testing.assert_allclose(share, np.linalg.matrix_power(matrix, 200)[0], atol=1e-12)


def test_stationary_of_parts_is_the_mean_of_the_long_run():
    pair = np.array([[0.9, 0.1], [0.3, 0.7]])
    matrix = np.zeros((5, 5))
    matrix[:2, :2], matrix[2:4, 2:4] = pair, pair
    matrix[4] = [0.2, 0, 0.2, 0, 0.6]
    want = np.linalg.matrix_power(matrix, 500).mean(axis=0)
    np.testing.assert_allclose(stationary(matrix), want, atol=1e-12)
    assert want[4] == pytest.approx(0)
    np.testing.assert_allclose(stationary(np.eye(4)), 0.25)


def test_stationary_of_a_periodic_chain():
    swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(stationary(swap), [0.5, 0.5])


def test_picture_shows_whom_a_device_hears():
    graph = nx.DiGraph()
    graph.add_nodes_from(range(3))
    graph.add_edge(0, 1, probability=1.0)
    graph.add_edge(2, 0, probability=0.5)
    *drawn, legend = picture(Topology(graph)).splitlines()
    assert drawn == ["   0 1 2", "0  \\ . +", "1  # \\ .", "2  . . \\"]
    assert "# always, + not in every round" in legend


def test_picture_of_a_large_graph_is_empty():
    assert picture(Topology(nx.DiGraph(nx.cycle_graph(41)))) == ""
    lines = picture(Topology(nx.DiGraph(nx.cycle_graph(40)))).splitlines()[:-1]
    assert len(lines) == 41
    assert len({len(line) for line in lines}) == 1
    assert picture(Topology(nx.DiGraph(nx.cycle_graph(40)))).isascii()


def chain_on(graph, seed=0):
    """Weights on links and self, by a number of each device: a softmax of it, in short."""
    matrix = nx.to_numpy_array(graph, weight=None).T + np.eye(len(graph))
    matrix *= 0.5 + np.random.default_rng(seed).random(len(graph))
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "graph",
    [
        nx.complete_graph(12),
        nx.star_graph(30),
        nx.barabasi_albert_graph(60, 2, seed=1),
        nx.cycle_graph(40, create_using=nx.DiGraph),
        # These mix slowly.
        nx.cycle_graph(150),
        nx.path_graph(120),
        nx.full_rary_tree(2, 120),
        nx.barbell_graph(20, 60),
    ],
)
@pytest.mark.parametrize("restarts", [1, 100])
def test_the_sparse_ways_agree_with_the_dense_one(graph, restarts, monkeypatch):
    monkeypatch.setattr("mpidl.components.graphs.spectra.RESTARTS", restarts)
    matrix = chain_on(graph)
    gap, share = long_run(csr_array(matrix))
    assert gap == pytest.approx(spectral_gap(matrix), rel=1e-6, abs=1e-10)
    np.testing.assert_allclose(share, stationary(matrix), rtol=1e-5, atol=1e-11)
    np.testing.assert_array_equal(share, long_run(csr_array(matrix))[1])


def test_what_the_sparse_ways_cannot_tell_has_its_reason(monkeypatch):
    with pytest.raises(Unknown, match="5 groups, not one that agrees"):
        long_run(csr_array(np.eye(5)))
    parted = chain_on(nx.barbell_graph(20, 0))
    parted[19, 20] = parted[20, 19] = 1e-16
    parted /= parted.sum(axis=1, keepdims=True)
    with pytest.raises(Unknown, match="agree with others too slowly"):
        long_run(csr_array(parted))
    monkeypatch.setattr("mpidl.components.graphs.spectra.RESTARTS", 1)
    turning = nx.cycle_graph(200, create_using=nx.DiGraph)
    with pytest.raises(Unknown, match="may oscillate"):
        long_run(csr_array(chain_on(turning)))
    monkeypatch.setattr("mpidl.components.graphs.spectra.FILL", 100)
    with pytest.raises(Unknown, match="too many links to be factorized"):
        long_run(csr_array(chain_on(nx.path_graph(200))))


def test_the_sparse_ways_on_a_periodic_chain():
    swap = nx.to_numpy_array(nx.cycle_graph(6)) / 2
    gap, share = long_run(csr_array(swap))
    assert gap == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(share, np.full(6, 1 / 6))


def test_moduli_are_those_of_the_eigenvalues():
    # A circulant matrix: 1/3 + 2/3 cos(2 pi k / 4).
    matrix = np.array([[1, 1, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]]) / 3
    np.testing.assert_allclose(moduli(matrix), [1, 1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_effective_neighbors_of_limits(decay):
    assert effective_neighbors(np.eye(5), decay) == pytest.approx(1)
    # The mean of all has an N-th of the variance, in every round.
    assert effective_neighbors(np.full((5, 5), 0.2), decay) == pytest.approx(5)


def test_effective_neighbors_of_one_round_are_those_of_a_row():
    matrix = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]])
    assert effective_neighbors(matrix, 0.0) == pytest.approx(1 / (0.25 + 2 * 0.0625))


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_effective_neighbors_of_a_symmetric_matrix_follow_from_its_spectrum(decay):
    # The published form: variance sum of lambda^2 / (1 - decay lambda^2) over N.
    ring = np.eye(8) + np.roll(np.eye(8), 1, axis=1) + np.roll(np.eye(8), -1, axis=1)
    squares = (1 / 3 + 2 / 3 * np.cos(np.pi * np.arange(8) / 4)) ** 2
    want = 1 / (1 - decay) / np.mean(squares / (1 - decay * squares))
    assert effective_neighbors(ring / 3, decay) == pytest.approx(want, rel=1e-12)


def test_effective_neighbors_are_those_of_a_simulated_walk():
    draw = np.random.default_rng(0)
    matrix = draw.random((4, 4)) ** 3
    matrix /= matrix.sum(axis=1, keepdims=True)
    values = np.zeros((4, 100_000))
    for _ in range(40):
        values = matrix @ (np.sqrt(0.7) * values + draw.normal(size=values.shape))
    want = 1 / (1 - 0.7) / values.var(axis=1).mean()
    assert effective_neighbors(matrix, 0.7) == pytest.approx(want, rel=0.02)
