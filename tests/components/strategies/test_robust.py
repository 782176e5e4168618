"""Rules that discount outliers, against numpy, and that one huge outlier moves none of them far."""

import itertools

import networkx as nx
import numpy as np
import pytest
import torch

from mpidl.components.graphs import Neighborhood
from mpidl.components.strategies import SCHEDULES, STRATEGIES, Inbox, combines, looks, row
from mpidl.config import runfile
from mpidl.exchange.kernels import mix

KINDS = {"strategy": STRATEGIES, "schedule": SCHEDULES}
ROBUST = ["clipped_gossip", "krum", "median", "trimmed_mean"]
SIZE = (1 << 15) + 1000
"""More columns than are sorted at a time."""


def strategy(name, **settings):
    return runfile.validate({"strategy": {"name": name, **settings}}, KINDS).strategy


def drawn(members, size=40, seed=0, spread=1.0):
    generator = np.random.default_rng(seed)
    return (spread * generator.standard_normal((members, size))).astype(np.float32)


def made(name, vectors, graph=None, **settings):
    """The mixture of device 0, ``(P,)``, and its weights or None."""
    graph = nx.DiGraph(nx.complete_graph(len(vectors))) if graph is None else graph
    view = Neighborhood(graph, 0)
    box = Inbox([torch.from_numpy(vectors[j]) for j in view.members], lambda v: [v])
    found = row(strategy(name, **settings), runfile.ScheduleSettings(), view, lambda _: box)
    if isinstance(found, torch.Tensor):
        return found.numpy(), None
    out = torch.empty(vectors.shape[1])
    mix(found, box.vectors, out)
    return out.numpy(), found


def test_they_look_and_two_of_them_give_the_mixture_itself():
    assert all(map(looks, ROBUST))
    assert [name for name in STRATEGIES if combines(name)] == ["trimmed_mean", "median"]


@pytest.mark.parametrize("members", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("size", [7, SIZE])
def test_median_is_that_of_numpy(members, size):
    vectors = drawn(members, size)
    found, _ = made("median", vectors)
    np.testing.assert_allclose(found, np.median(vectors, axis=0), rtol=1e-6)


@pytest.mark.parametrize("members", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("liars", [0, 1, 2, 7])
def test_trimmed_mean_is_the_mean_of_what_is_left(members, liars):
    vectors = drawn(members, 300)
    left_out = min(liars, (members - 1) // 2)
    want = np.sort(vectors, axis=0)[left_out : members - left_out].mean(axis=0)
    found, _ = made("trimmed_mean", vectors, liars=liars)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


def krum_by_force(vectors, liars, selected):
    count = len(vectors)
    scores = []
    for i in range(count):
        squares = [np.sum((vectors[i].astype(float) - vectors[j]) ** 2) for j in range(count)]
        del squares[i]
        closest = max(1, count - liars - 2)
        scores.append(min(map(sum, itertools.combinations(squares, min(closest, count - 1)))))
    return sorted(range(count), key=lambda i: scores[i])[:selected]


@pytest.mark.parametrize(
    ("members", "liars", "selected"), [(2, 1, 1), (4, 1, 1), (6, 1, 1), (7, 2, 3), (5, 0, 9)]
)
def test_krum_chooses_as_by_brute_force(members, liars, selected):
    for seed in range(5):
        vectors = drawn(members, seed=seed)
        found, weights = made("krum", vectors, liars=liars, selected=selected)
        want = krum_by_force(vectors, liars, selected)
        assert sorted(np.flatnonzero(weights).tolist()) == sorted(want)
        np.testing.assert_allclose(found, vectors[want].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_clipped_gossip_is_the_published_formula():
    graph = nx.DiGraph(nx.star_graph(4))
    graph.add_edges_from([(1, 2), (2, 1)])
    vectors = drawn(5, spread=0.3)
    vectors[3] *= 50
    radius = 2.0
    degree = dict(graph.in_degree)
    want = vectors[0].astype(float)
    for j in range(1, 5):
        step = vectors[j].astype(float) - vectors[0]
        step *= min(1, radius / np.linalg.norm(step))
        want = want + step / (1 + max(degree[0], degree[j]))
    found, weights = made("clipped_gossip", vectors, graph, radius=radius)
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
    assert weights.sum() == pytest.approx(1)


def test_clipped_gossip_with_a_wide_radius_is_metropolis_hastings():
    vectors = drawn(5)
    _, clipped = made("clipped_gossip", vectors, radius=1e9)
    graph = nx.DiGraph(nx.complete_graph(5))
    want = row(strategy("metropolis_hastings"), runfile.ScheduleSettings(), Neighborhood(graph, 0))
    np.testing.assert_allclose(clipped, want)


@pytest.mark.parametrize("name", ROBUST)
@pytest.mark.parametrize("lie", [1e6, -1e30, np.inf, np.nan])
def test_one_outlier_moves_none_of_them_far(name, lie):
    vectors = drawn(6, SIZE)
    vectors[4] = lie
    found, _ = made(name, vectors)
    honest = np.delete(vectors, 4, axis=0)
    assert np.isfinite(found).all()
    assert (found >= honest.min(axis=0) - 1).all()
    assert (found <= honest.max(axis=0) + 1).all()


@pytest.mark.parametrize("name", ROBUST)
def test_a_device_that_hears_nobody_keeps_its_vector(name):
    vectors = drawn(3)
    alone = nx.DiGraph()
    alone.add_nodes_from(range(3))
    np.testing.assert_array_equal(made(name, vectors, alone)[0], vectors[0])


@pytest.mark.parametrize("name", ROBUST)
def test_of_equal_vectors_the_mixture_is_the_same(name):
    vectors = np.repeat(drawn(1, 100), 5, axis=0)
    np.testing.assert_allclose(made(name, vectors)[0], vectors[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["median", "trimmed_mean"])
def test_bits_do_not_depend_on_the_order_of_members(name):
    vectors = drawn(6, 1000)
    first, _ = made(name, vectors)
    for order in itertools.islice(itertools.permutations(range(6)), 0, 720, 97):
        assert made(name, vectors[list(order)])[0].tobytes() == first.tobytes()
