"""First-passage times against closed forms; derivations are for W with equal weights.

Of a walk on a line, ``e_i`` is the mean number of rounds from device i to device i - 1.
"""

import networkx as nx
import numpy as np
import pytest

from mpidl.components.graphs import first_passage, first_passages


def equal(graph):
    """W of the strategy ``unweighted``: the same weight for a device and each it hears."""
    matrix = nx.to_numpy_array(graph, range(len(graph)), weight=None).T + np.eye(len(graph))
    return matrix / matrix.sum(axis=1, keepdims=True)


def solved(matrix, sources):
    """``(I - W without sources) h = 1``, the definition."""
    others = np.setdiff1d(np.arange(len(matrix)), sources)
    rounds = np.zeros(len(matrix))
    part = np.eye(len(others)) - matrix[np.ix_(others, others)]
    rounds[others] = np.linalg.solve(part, np.ones(len(others)))
    return rounds


def drawn(devices, seed=0):
    matrix = np.random.default_rng(seed).random((devices, devices)) ** 4
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("devices", [2, 5, 8])
def test_complete(devices):
    # Each step meets the source with chance 1 / N.
    want = devices * (1 - np.eye(devices))
    np.testing.assert_allclose(first_passages(equal(nx.complete_graph(devices))), want, rtol=1e-11)


@pytest.mark.parametrize("devices", [3, 8, 33])
def test_ring(devices):
    # A fair walk takes d (N - d) steps around a circle, and stands still every third round.
    hops = np.minimum(np.arange(devices), devices - np.arange(devices))
    want = 1.5 * hops * (devices - hops)
    passages = first_passages(equal(nx.cycle_graph(devices)))
    for source in range(devices):
        np.testing.assert_allclose(passages[:, source], np.roll(want, source), rtol=1e-11)


@pytest.mark.parametrize("devices", [3, 5, 20])
def test_star(devices):
    # From a leaf: the center comes half of the time, so 2 rounds; from the center to a leaf
    # c = 1 + c / N + (N - 2) / N * (2 + c), so c = 3 N - 4, and from another leaf 2 more.
    passages = first_passages(equal(nx.star_graph(devices - 1)))
    np.testing.assert_allclose(passages[1:, 0], 2, rtol=1e-11)
    np.testing.assert_allclose(passages[0, 1:], 3 * devices - 4, rtol=1e-11)
    others = passages[1:, 1:][~np.eye(devices - 1, dtype=bool)]
    np.testing.assert_allclose(others, 3 * devices - 2, rtol=1e-11)


@pytest.mark.parametrize("devices", [2, 5, 40])
def test_path_from_its_end(devices):
    # e of the far end is 2, as its weights are a half; e_i = 1 + e_i / 3 + (e_(i+1) + e_i) / 3,
    # so e_i = 3 + e_(i+1).
    steps = 2 + 3 * np.arange(devices - 1)[::-1]
    want = np.append(0, np.cumsum(steps))
    found = first_passage(equal(nx.path_graph(devices)), [0])
    np.testing.assert_allclose(found, want, rtol=1e-11)


@pytest.mark.parametrize("devices", [1, 2, 3, 7, 16, 31])
def test_any_walk_solves_the_linear_equations(devices):
    matrix = drawn(devices)
    passages = first_passages(matrix)
    for source in range(devices):
        np.testing.assert_allclose(passages[:, source], solved(matrix, [source]), rtol=1e-9)
        np.testing.assert_allclose(first_passage(matrix, [source]), passages[:, source], rtol=1e-11)


@pytest.mark.parametrize("sources", [[4], [2, 7], [7, 2, 2], list(range(9))])
def test_of_several_sources_the_first_that_is_met_counts(sources):
    matrix = drawn(9)
    np.testing.assert_allclose(first_passage(matrix, sources), solved(matrix, sources), rtol=1e-9)


def test_it_is_the_knowledge_that_is_missed():
    # k <- W k with k = 1 at the source: the rounds add up to the mean first passage.
    matrix, knowledge = drawn(8), np.zeros(8)
    missed = np.zeros(8)
    for _ in range(20_000):
        knowledge[3] = 1.0
        missed += 1 - knowledge
        knowledge = matrix @ knowledge
    np.testing.assert_allclose(first_passage(matrix, [3]), missed, rtol=1e-6, atol=1e-9)


def test_weights_of_any_size_keep_their_digits():
    # Two lazy steps of chance 1e-200 and 1e-100; an ordinary solver finds a singular matrix.
    matrix = np.array([[1.0, 0.0, 0.0], [1e-100, 1.0, 0.0], [0.0, 1e-200, 1.0]])
    np.testing.assert_allclose(first_passage(matrix, [0]), [0, 1e100, 1e200 + 1e100], rtol=1e-11)


def test_a_chance_below_every_float_takes_for_ever():
    matrix = np.array([[1.0, 0.0], [5e-324, 1.0]])
    np.testing.assert_array_equal(first_passages(matrix), [[0, np.inf], [np.inf, 0]])


def test_a_device_that_may_never_hear_of_a_source_waits_for_ever():
    np.testing.assert_array_equal(first_passages(np.eye(2)), [[0, np.inf], [np.inf, 0]])
    # Device 2 hears of 0 and of 1, and 1 hears nobody: it may be lost there.
    lost = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0, 0, 0.5]])
    np.testing.assert_array_equal(first_passage(lost, [0]), [0, np.inf, np.inf, 2])
    np.testing.assert_array_equal(first_passage(lost, [0, 1]), [0, 0, 1, 2])
    np.testing.assert_array_equal(first_passages(lost)[:, 0], [0, np.inf, np.inf, 2])


def test_a_directed_ring_is_as_far_as_its_links():
    # Half of the time nothing moves, so each link takes 2 rounds.
    graph = nx.cycle_graph(6, create_using=nx.DiGraph)
    np.testing.assert_allclose(first_passage(equal(graph), [0]), 2 * np.arange(6), rtol=1e-11)


def test_equal_devices_are_equal_in_all_digits():
    passages = first_passages(equal(nx.cycle_graph(15)))
    for source in range(15):
        np.testing.assert_array_equal(np.roll(passages[:, source], -source), passages[:, 0])
