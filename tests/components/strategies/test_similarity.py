"""Weights that follow from parameters: cosines against numpy, whose centrality decides, ties."""

import networkx as nx
import numpy as np
import pytest
import torch

from mpidl.components import graphs
from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies import SCHEDULES, STRATEGIES, Inbox, looks, row, softmax
from mpidl.components.strategies.similarity import similarities
from mpidl.config import runfile

KINDS = {"strategy": STRATEGIES, "schedule": SCHEDULES}
CENTRALITIES = ["betweenness", "degree"]


def strategy(name, **settings):
    return runfile.validate({"strategy": {"name": name, **settings}}, KINDS).strategy


def inbox(*members):
    """Each member as the tensors of its model; statistics lie behind them."""
    shapes = [np.shape(tensor) for tensor in members[0]]
    flat = [np.concatenate([*map(np.ravel, member), [np.nan]]) for member in members]

    def parameters(vector):
        parts = torch.split(vector[:-1], [int(np.prod(shape)) for shape in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]

    return Inbox([torch.tensor(vector, dtype=torch.float32) for vector in flat], parameters)


def cosine(a, b):
    """One number after the other, in doubles."""
    lengths = [max(1e-8, sum(x * x for x in part) ** 0.5) for part in (a, b)]
    return sum(x * y for x, y in zip(a, b, strict=True)) / (lengths[0] * lengths[1])


def oracle(own, other):
    means = []
    for a, b in zip(own, other, strict=True):
        # What lies along dimension 1, at each place of the others.
        lines = [
            np.moveaxis(t, 1, -1).reshape(-1, t.shape[1]) if t.ndim > 1 else t.reshape(-1, 1)
            for t in (np.asarray(a, float), np.asarray(b, float))
        ]
        means.append(np.mean([cosine(*pair) for pair in zip(*lines, strict=True)]))
    return np.mean(means)


@pytest.mark.parametrize(
    ("own", "other", "want"),
    [
        # Row by row: alike, at a right angle, opposite, at 60 degrees.
        ([[3, 4]], [[6, 8]], 1),
        ([[1, 0], [1, 0]], [[0, 5], [2, 0]], 1 / 2),
        ([[1, 2], [3, 4]], [[-2, -4], [3, 4]], 0),
        ([[1, 0]], [[1, 3**0.5]], 1 / 2),
        # Of one dimension: the share of equal signs minus that of others, however large.
        ([1, 2, 3, -4], [9, 1, -1e-3, -1], 1 / 2),
        (2.0, -1.0, -1),
        # Nothing has a direction that zero shares.
        ([[0, 0], [1, 1]], [[1, 1], [1, 1]], 1 / 2),
        ([0, 0, 1, 1], [0, 1, 1, 1], 1 / 2),
        ([[0.0]], [[0.0]], 0),
        # Norms below 1e-8 count as that.
        ([[1e-9, 0]], [[1, 0]], 0.1),
        ([1e-9], [1], 0.1),
        # A kernel of 1 x 2: two places, each over two channels.
        ([[[[1, 1]], [[0, 1]]]], [[[[1, 1]], [[1, -1]]]], (0.5**0.5 + 0) / 2),
    ],
)
def test_similarities_in_closed_form(own, other, want):
    found = similarities(inbox([own], [other], [own]))
    assert found.shape == (2,)
    assert found[0] == pytest.approx(want, abs=1e-6)
    assert oracle([own], [other]) == pytest.approx(want, abs=1e-6)


def test_all_tensors_count_alike():
    own = [np.ones((1, 100)), np.ones(3), np.ones((2, 2))]
    other = [np.ones((1, 100)), -np.ones(3), np.ones((2, 2))]
    assert similarities(inbox(own, other)) == pytest.approx([1 / 3])


@pytest.mark.parametrize("seed", range(5))
def test_similarities_are_those_of_numpy(seed):
    draw = np.random.default_rng(seed)
    shapes = [(5, 3, 2, 4), (5,), (7, 11), (7,), (2, 3, 4), ()]
    members = [[draw.normal(size=shape) for shape in shapes] for _ in range(4)]
    found = similarities(inbox(*members))
    np.testing.assert_allclose(found, [oracle(members[0], other) for other in members[1:]], 1e-5)


def test_each_cosine_is_that_of_torch():
    a, b = torch.randn(2, 5, 3, 2, 4, generator=torch.Generator().manual_seed(1))
    a[0], b[1] = 0, 1e-9
    want = torch.cosine_similarity(a, b, dim=1).mean()
    assert similarities(inbox([a], [b])) == pytest.approx([float(want)], rel=1e-5)


# A path 0-1-2-3-4 with three more leaves on device 3, which is the most central.
FAN = nx.path_graph(5).to_directed()
FAN.add_edges_from([(3, i) for i in (5, 6, 7)] + [(i, 3) for i in (5, 6, 7)])
ALIKE, APART = [[[1.0, 1.0]]], [[[1.0, -1.0]]]


def weights(device, apart, graph=FAN, name="degree", temperature=0.1, **settings):
    """The row of a device to which only these in-neighbors are not alike."""
    view = Neighborhood(graph, device)
    members = [APART if j in apart else ALIKE for j in view.members]
    wanted = strategy(f"{name}_similarity", temperature=temperature, **settings)
    return row(wanted, runfile.ScheduleSettings(), view, lambda _: inbox(*members))


@pytest.mark.parametrize("name", CENTRALITIES)
@pytest.mark.parametrize("given", [0.1, -0.1])
@pytest.mark.parametrize(
    ("device", "apart", "sign"),
    [
        (2, [3], 1),
        (3, [2], -1),
        (3, [4], -1),
        (4, [3], 1),
        # All alike: the lowest number decides.
        (3, [], -1),
        (0, [], 1),
    ],
)
def test_the_least_similar_tells_the_sign(name, given, device, apart, sign):
    values = graphs.centrality(FAN, name)[Neighborhood(FAN, device).members]
    found = weights(device, apart, name=name, temperature=given)
    np.testing.assert_allclose(found, softmax(values, sign * 0.1), rtol=1e-14)


def test_one_as_central_as_the_device_is_not_below_it():
    values = graphs.centrality(FAN, "degree")[[1, 0, 2]]
    assert values[0] == values[2]
    np.testing.assert_allclose(weights(1, [2]), softmax(values, 0.1), rtol=1e-14)
    np.testing.assert_allclose(weights(1, [0]), softmax(values, -0.1), rtol=1e-14)


def test_of_several_as_dissimilar_the_lowest_number_decides():
    # Device 1 hears the leaves 0 and 2 and the hub 3.
    graph = nx.Graph([(0, 1), (1, 2), (1, 3), (3, 4), (3, 5), (3, 6)]).to_directed()
    for apart, favors_high in (([0, 3], False), ([2, 3], False), ([3], True), ([0, 2, 3], False)):
        found = weights(1, apart, graph)
        assert (found[3] > found[0]) == favors_high
    # Device 1 hears the hub 0 and the leaf 2.
    graph = nx.Graph([(1, 0), (1, 2), (0, 3), (0, 4), (0, 5)]).to_directed()
    _, hub, leaf = weights(1, [0, 2], graph)
    assert hub > leaf


def test_golden_rows_on_a_path():
    """The published weights of degree where the end looks at the middle, and their opposite."""
    path = nx.path_graph(3).to_directed()
    np.testing.assert_allclose(weights(0, [], path), [0.006693, 0.993307], atol=1e-6)
    ends = 1 / (2 + np.exp(-5))
    np.testing.assert_allclose(weights(1, [2], path), [1 - 2 * ends, ends, ends], rtol=1e-12)


@pytest.mark.parametrize("name", CENTRALITIES)
def test_a_device_without_in_neighbors_keeps_its_vector(name):
    graph = nx.DiGraph([(0, 1)])
    np.testing.assert_array_equal(weights(0, [], graph, name), [1.0])
    np.testing.assert_array_equal(weights(0, [], graph, name, normalize="plain"), [1.0])


def test_plain_weights_have_no_sign():
    plain = row(
        strategy("degree", normalize="plain"), runfile.ScheduleSettings(), Neighborhood(FAN, 3)
    )
    np.testing.assert_array_equal(weights(3, [2], normalize="plain"), plain)


def test_a_schedule_changes_the_size_of_the_coefficient_and_not_its_sign():
    flips = runfile.validate({"schedule": {"name": "oscillating", "period": 1}}, KINDS).schedule
    members = [ALIKE] * 6
    wanted = strategy("degree_similarity")
    even, odd = (
        row(wanted, flips, Neighborhood(FAN, 3, round), lambda _: inbox(*members))
        for round in (0, 1)
    )
    np.testing.assert_array_equal(even, odd)


def test_vectors_that_are_no_numbers_still_give_weights():
    lost = [[[np.nan, 1.0]]]
    view = Neighborhood(FAN, 3)
    found = row(
        strategy("degree_similarity"),
        runfile.ScheduleSettings(),
        view,
        lambda _: inbox(ALIKE, ALIKE, lost, ALIKE, APART, ALIKE),
    )
    assert found.sum() == pytest.approx(1)


def test_only_strategies_that_ask_for_the_inbox_look():
    assert {name for name in STRATEGIES if looks(name)} == {
        *(f"{name}_similarity" for name in CENTRALITIES),
        *("clipped_gossip", "krum", "median", "trimmed_mean"),
    }
