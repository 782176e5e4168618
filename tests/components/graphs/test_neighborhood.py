"""What a device sees, and links that fail."""

from dataclasses import FrozenInstanceError

import networkx as nx
import numpy as np
import pytest

from mpidl.components.graphs import Neighborhood, Topology, centrality


def topology_of(*edges, devices=4):
    graph = nx.empty_graph(devices, create_using=nx.DiGraph)
    graph.add_edges_from((i, j, {"probability": p}) for i, j, p in edges)
    return Topology(graph)


def edges_at(topology, round, seed):
    return set(topology.at(round, seed).graph.edges)


def two_way(edges, p):
    return [(a, b, p) for i, j in edges for a, b in ((i, j), (j, i))]


def test_an_edge_leads_from_the_sender_to_the_receiver():
    graph = topology_of((3, 1, 1.0), (2, 1, 1.0), (1, 0, 1.0)).graph
    view = Neighborhood(graph, 1)
    assert view.whole is view.measured is graph
    assert view.in_neighbors == [2, 3]
    assert view.out_neighbors == [0]
    assert view.members == [1, 2, 3]
    with pytest.raises(FrozenInstanceError):
        view.device = 2


def test_links_that_always_work_leave_the_graph_itself():
    topology = topology_of((0, 1, 1.0), (1, 0, 1.0))
    found = topology.at(5, 0)
    assert topology.reliable
    assert found.graph is found.whole is found.measured is topology.graph


def test_links_fail_as_often_as_they_should_and_both_ways_at_once():
    pairs = [(i, j) for i in range(40) for j in range(i)]
    topology = topology_of(*two_way(pairs, 0.3), devices=40)
    assert not topology.reliable
    graph, rounds = topology.graph, [topology.at(round, 1).graph for round in range(20)]
    for working in rounds:
        assert all(working.has_edge(j, i) for i, j in working.edges)
        assert list(working) == list(graph)
    share = np.mean([working.number_of_edges() for working in rounds]) / graph.number_of_edges()
    assert abs(share - 0.3) < 5 * (0.3 * 0.7 / (20 * len(pairs))) ** 0.5
    assert set(rounds[0].edges) != set(rounds[1].edges)


def test_one_way_links_and_unequal_ones_are_drawn_apart():
    topology = topology_of((0, 1, 0.5), (1, 0, 0.6), (2, 3, 0.5), devices=4)
    seen = {tuple(sorted(edges_at(topology, round, 0))) for round in range(200)}
    assert len(seen) == 8


def test_the_draw_depends_on_seed_and_round_only():
    pairs = [(i, j) for i in range(12) for j in range(i)]
    forwards = topology_of(*two_way(pairs, 0.5), devices=12)
    backwards = topology_of(*reversed(two_way(pairs, 0.5)), devices=12)
    backwards.at(6, 4)
    assert edges_at(forwards, 7, 4) == edges_at(backwards, 7, 4)
    assert edges_at(forwards, 7, 5) != edges_at(forwards, 7, 4)


def test_links_that_always_work_stay_and_attributes_are_kept():
    topology = topology_of(*two_way([(0, 1)], 1.0), *two_way([(1, 2), (2, 3)], 1e-9))
    topology.graph.nodes[2]["pos"] = 5
    found = topology.at(0, 0)
    assert set(found.graph.edges) == {(0, 1), (1, 0)}
    assert found.graph.nodes[2]["pos"] == 5
    assert found.whole is found.measured is topology.graph
    measured = found.around(0).measured
    np.testing.assert_array_equal(centrality(measured, "degree"), [1 / 3, 2 / 3, 2 / 3, 1 / 3])


def test_turned_and_among_some_devices_a_round_keeps_what_it_follows_from():
    topology = topology_of((0, 1, 1.0), (1, 2, 1e-9), (2, 0, 1.0))
    found = topology.at(0, 0)
    turned, few = found.turned, found.among({0, 1})
    assert set(turned.graph.edges) == {(1, 0), (0, 2)}
    assert set(turned.whole.edges) == set(turned.measured.edges) == {(1, 0), (2, 1), (0, 2)}
    assert (list(few.graph), set(few.graph.edges)) == ([0, 1, 2, 3], {(0, 1)})
    assert few.whole is found.whole
