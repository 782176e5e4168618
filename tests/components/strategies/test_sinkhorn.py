"""The doubly stochastic projection: its sums, its pattern, and what it does not depend on."""

import networkx as nx
import numpy as np
import pytest

from mpidl.components.graphs import TOPOLOGIES, build, first_passages, stationary
from mpidl.components.strategies import STRATEGIES, sinkhorn
from mpidl.config import runfile
from mpidl.config.faults import Fault
from tests.matrices import mixing_matrix

KINDS = {"topology": TOPOLOGIES, "strategy": STRATEGIES}


def built(name, devices, **settings):
    tables = {"topology": {"name": name, "allow_disconnected": True, **settings}}
    return build(runfile.validate(tables, KINDS).topology, devices)


def named(name, devices, **settings):
    return built(name, devices, **settings).graph


def matrix(graph, name="sinkhorn", round=0, **settings):
    strategy = runfile.validate({"strategy": {"name": name, **settings}}, KINDS).strategy
    return mixing_matrix(graph, strategy, runfile.ScheduleSettings(), round)


def closed(graph):
    """1 where a device hears another or is itself, ``(N, N)``."""
    return nx.to_numpy_array(graph, weight=None).T + np.eye(len(graph))


def sinkhorn_knopp(weights, turns=5000):
    """The oracle: rows and columns in turn, as published."""
    for _ in range(turns):
        weights = weights / weights.sum(axis=1, keepdims=True)
        weights = weights / weights.sum(axis=0, keepdims=True)
    return weights


@pytest.mark.parametrize("topology", sorted(TOPOLOGIES))
@pytest.mark.parametrize("extra", [{}, {"link_probability": 0.6}])
def test_rows_and_columns_sum_to_1_and_there_is_no_weight_where_there_is_no_link(topology, extra):
    graph = built(topology, 32, **extra).at(2, 0).graph
    weights = matrix(graph)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-15)
    np.testing.assert_allclose(weights.sum(axis=0), 1, rtol=0, atol=1e-12)
    assert (weights[closed(graph) == 0] == 0).all()
    assert (weights >= 0).all()
    np.testing.assert_allclose(stationary(weights), 1 / 32, atol=1e-9)


@pytest.mark.parametrize("topology", ["chain", "star", "barabasi_albert", "binary_tree"])
def test_links_that_go_both_ways_keep_a_symmetric_positive_matrix(topology):
    graph = named(topology, 32)
    weights = matrix(graph)
    np.testing.assert_allclose(weights, weights.T, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(weights > 0, closed(graph) > 0)
    np.testing.assert_allclose(weights, sinkhorn_knopp(closed(graph)), atol=1e-9)


@pytest.mark.parametrize("topology", ["ring", "complete", "torus", "hypercube", "exponential"])
def test_a_row_that_is_doubly_stochastic_already_stays(topology):
    graph = named(topology, 16)
    np.testing.assert_allclose(matrix(graph), matrix(graph, "unweighted"), rtol=1e-15)


def test_a_path_of_three():
    # By symmetry [[1-a, a, 0], [a, 1-2a, a], [0, a, 1-a]], and scaling keeps the cross ratio
    # w_00 w_11 = w_01 w_10 of the pattern: (1 - a) (1 - 2 a) = a^2, so a = (3 - sqrt 5) / 2.
    a = (3 - np.sqrt(5)) / 2
    want = [[1 - a, a, 0], [a, 1 - 2 * a, a], [0, a, 1 - a]]
    np.testing.assert_allclose(matrix(named("chain", 3)), want, rtol=1e-12)


@pytest.mark.parametrize("centrality", ["degree", "betweenness", "closeness", "eigenvector"])
@pytest.mark.parametrize("temperature", [0.05, 0.3, -0.2])
def test_it_is_the_projection_of_every_centrality_at_any_temperature(centrality, temperature):
    graph = named("barabasi_albert", 20, m=2)
    aware = matrix(graph, centrality, temperature=temperature)
    np.testing.assert_allclose(sinkhorn_knopp(aware, 50_000), matrix(graph), atol=1e-7)


def test_a_link_without_a_way_back_has_no_weight():
    # 0 -> 1 <-> 2: nobody ever sends to 0, which so must keep all of its own.
    graph = nx.DiGraph([(0, 1), (1, 2), (2, 1)])
    want = [[1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]]
    np.testing.assert_allclose(matrix(graph), want, rtol=1e-12)


def test_a_directed_graph_is_scaled_by_rows_and_columns():
    graph = nx.DiGraph([(0, 1), (1, 2), (2, 0), (0, 2)])
    weights = matrix(graph)
    np.testing.assert_allclose(weights, sinkhorn_knopp(closed(graph)), atol=1e-10)
    assert (weights != weights.T).any()


def test_no_device_has_more_influence_but_one_in_the_middle_is_still_heard_sooner():
    weights = matrix(named("chain", 9))
    np.testing.assert_allclose(stationary(weights), 1 / 9, rtol=1e-9)
    assert first_passages(weights).max(axis=0).argmin() == 4


def test_rows_of_a_graph_are_computed_once(monkeypatch):
    graph = built("ring", 5).completed().graph
    first = matrix(graph)
    monkeypatch.setattr(sinkhorn, "doubly_stochastic", None)
    np.testing.assert_array_equal(matrix(graph), first)


def test_a_graph_that_takes_too_long_is_told(monkeypatch):
    monkeypatch.setattr(sinkhorn, "TURNS", 2)
    with pytest.raises(Fault, match="weights of this graph of 6 devices do not converge"):
        matrix(named("chain", 6))
