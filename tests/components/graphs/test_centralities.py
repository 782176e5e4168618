"""Centralities against closed forms and networkx; ranks."""

import networkx as nx
import numpy as np
import pytest

from mpidl.components.graphs import CENTRALITIES, centrality, ranking
from mpidl.config.faults import Fault


def directed(graph):
    return nx.DiGraph(graph)


def path(devices):
    return directed(nx.path_graph(devices))


def star(leaves):
    return directed(nx.star_graph(leaves))


@pytest.mark.parametrize(
    ("graph", "name", "want"),
    [
        (path(3), "degree", [0.5, 1, 0.5]),
        (path(3), "betweenness", [2 / 3, 1, 2 / 3]),
        (path(3), "closeness", [2 / 3, 1, 2 / 3]),
        (path(3), "eigenvector", [0.5, np.sqrt(0.5), 0.5]),
        (star(4), "degree", [1, 0.25, 0.25, 0.25, 0.25]),
        (star(4), "betweenness", [1, 0.4, 0.4, 0.4, 0.4]),
        (star(4), "closeness", [1, 4 / 7, 4 / 7, 4 / 7, 4 / 7]),
        (star(4), "eigenvector", [np.sqrt(0.5), *[np.sqrt(0.125)] * 4]),
        (directed(nx.empty_graph(1)), "eigenvector", [1.0]),
    ],
)
def test_closed_forms(graph, name, want):
    np.testing.assert_allclose(centrality(graph, name), want, atol=1e-11)


def test_they_are_those_of_networkx():
    graph = nx.barabasi_albert_graph(33, 2, seed=0)
    want = {
        "degree": nx.degree_centrality(graph),
        "betweenness": nx.betweenness_centrality(graph, endpoints=True),
        "closeness": nx.closeness_centrality(graph),
        "eigenvector": nx.eigenvector_centrality(graph, max_iter=1000, tol=1e-12),
    }
    assert want.keys() == CENTRALITIES.keys()
    for name, values in want.items():
        got = centrality(directed(graph), name)
        np.testing.assert_allclose(got, [values[i] for i in range(33)], atol=1e-9)


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph])
@pytest.mark.parametrize("seed", range(40))
def test_those_of_paths_are_exact_on_any_graph(kind, seed):
    """Connected or not, with lone devices or dense: what networkx computes, to the rounding."""
    rng = np.random.default_rng(seed)
    devices = int(rng.integers(1, 30))
    graph = nx.gnp_random_graph(devices, 0.5 * rng.random(), seed=seed, directed=kind is nx.DiGraph)
    want = {
        "betweenness": nx.betweenness_centrality(graph, endpoints=True),
        "closeness": nx.closeness_centrality(graph),
    }
    for name, values in want.items():
        got = centrality(directed(graph), name)
        np.testing.assert_allclose(got, [values[i] for i in range(devices)], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["betweenness", "closeness"])
def test_devices_that_mirror_each_other_are_equal_to_the_bit(name):
    values = centrality(directed(nx.full_rary_tree(2, 63)), name)
    for level in range(6):
        first = 2**level - 1
        assert len(set(values[first : 2 * first + 1].tolist())) == 1


def test_of_directed_graphs_too():
    graph = nx.gn_graph(12, seed=1)
    graph.add_edge(0, 11)
    values = centrality(graph, "degree")
    np.testing.assert_allclose(values, [graph.degree(i) / 11 for i in range(12)])
    cycle = nx.cycle_graph(6, create_using=nx.DiGraph)
    np.testing.assert_allclose(centrality(cycle, "eigenvector"), 6**-0.5)
    np.testing.assert_allclose(centrality(cycle, "closeness"), 5 / 15)


def test_eigenvector_counts_those_that_are_heard():
    graph = nx.DiGraph([(0, 1), (1, 0), (0, 2), (1, 2), (2, 0)])
    adjacency = nx.to_numpy_array(graph, range(3))
    values = centrality(graph, "eigenvector")
    ratio = (adjacency.T @ values) / values
    np.testing.assert_allclose(ratio, ratio[0], atol=1e-9)


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph])
def test_sparse_and_dense_eigenvectors_agree(kind, monkeypatch):
    graph = nx.DiGraph(nx.cycle_graph(50, create_using=kind))
    graph.add_edges_from([(0, 7), (3, 20), (7, 0)])
    dense = centrality(graph, "eigenvector")
    monkeypatch.setattr("mpidl.components.graphs.centralities.DENSE", 1)
    np.testing.assert_allclose(centrality(graph.copy(), "eigenvector"), dense, atol=1e-9)


def test_equal_components_have_equal_eigenvectors():
    graph = directed(nx.disjoint_union(nx.star_graph(4), nx.star_graph(4)))
    values = centrality(graph, "eigenvector")
    np.testing.assert_array_equal(values[:5], values[5:])


def test_it_is_computed_once_and_cannot_be_changed():
    graph = path(4)
    first = centrality(graph, "closeness")
    assert centrality(graph, "closeness") is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1


def test_ranks_fall_and_ties_rise():
    graph = directed(nx.Graph([(0, 1), (2, 1), (2, 3), (2, 4)]))
    assert ranking(graph, "degree") == [2, 1, 0, 3, 4]
    for name in CENTRALITIES:
        assert ranking(directed(nx.cycle_graph(30)), name) == list(range(30))
        assert ranking(directed(nx.empty_graph(3)), name) == [0, 1, 2]


def test_an_unknown_name_is_told():
    with pytest.raises(Fault, match="did you mean 'betweenness'"):
        centrality(path(3), "betweeness")
