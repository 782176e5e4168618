"""Spectral gap, stationary weights, and the picture."""

import networkx as nx
import numpy as np
import pytest

from mpidl.graphs import picture, spectral_gap, stationary


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
    assert picture(graph) == "   0 1 2\n0  \\ . +\n1  # \\ .\n2  . . \\"


def test_picture_of_a_large_graph_is_empty():
    assert picture(nx.DiGraph(nx.cycle_graph(41))) == ""
    lines = picture(nx.DiGraph(nx.cycle_graph(40))).splitlines()
    assert len(lines) == 41
    assert len({len(line) for line in lines}) == 1
    assert picture(nx.DiGraph(nx.cycle_graph(40))).isascii()
