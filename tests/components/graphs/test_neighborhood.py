"""What a device sees, and links that fail."""

from dataclasses import FrozenInstanceError

import networkx as nx
import numpy as np
import pytest

from mpidl.components.graphs import Neighborhood, centrality, links, whole


def graph_of(*edges, devices=4):
    graph = nx.empty_graph(devices, create_using=nx.DiGraph)
    graph.add_edges_from((i, j, {"probability": p}) for i, j, p in edges)
    return graph


def two_way(edges, p):
    return [(a, b, p) for i, j in edges for a, b in ((i, j), (j, i))]


def test_an_edge_leads_from_the_sender_to_the_receiver():
    graph = graph_of((3, 1, 1.0), (2, 1, 1.0), (1, 0, 1.0))
    view = Neighborhood(graph, 1)
    assert view.in_neighbors == [2, 3]
    assert view.out_neighbors == [0]
    assert view.members == [1, 2, 3]
    with pytest.raises(FrozenInstanceError):
        view.device = 2


def test_links_that_always_work_leave_the_graph_itself():
    graph = graph_of((0, 1, 1.0), (1, 0, 1.0))
    assert links(graph, 0, 5) is graph
    assert whole(graph) is graph


def test_links_fail_as_often_as_they_should_and_both_ways_at_once():
    pairs = [(i, j) for i in range(40) for j in range(i)]
    graph = graph_of(*two_way(pairs, 0.3), devices=40)
    rounds = [links(graph, 1, round) for round in range(20)]
    for working in rounds:
        assert all(working.has_edge(j, i) for i, j in working.edges)
        assert list(working) == list(graph)
    share = np.mean([working.number_of_edges() for working in rounds]) / graph.number_of_edges()
    assert abs(share - 0.3) < 5 * (0.3 * 0.7 / (20 * len(pairs))) ** 0.5
    assert set(rounds[0].edges) != set(rounds[1].edges)


def test_one_way_links_and_unequal_ones_are_drawn_apart():
    graph = graph_of((0, 1, 0.5), (1, 0, 0.6), (2, 3, 0.5), devices=4)
    seen = {tuple(sorted(links(graph, 0, round).edges)) for round in range(200)}
    assert len(seen) == 8


def test_the_draw_depends_on_seed_and_round_only():
    pairs = [(i, j) for i in range(12) for j in range(i)]
    forwards = graph_of(*two_way(pairs, 0.5), devices=12)
    backwards = graph_of(*reversed(two_way(pairs, 0.5)), devices=12)
    links(backwards, 4, 6)
    assert set(links(forwards, 4, 7).edges) == set(links(backwards, 4, 7).edges)
    assert set(links(forwards, 5, 7).edges) != set(links(forwards, 4, 7).edges)


def test_links_that_always_work_stay_and_attributes_are_kept():
    graph = graph_of(*two_way([(0, 1)], 1.0), *two_way([(1, 2), (2, 3)], 1e-9))
    graph.graph["published"] = [2]
    graph.nodes[2]["samples"] = 5
    working = links(graph, 0, 0)
    assert set(working.edges) == {(0, 1), (1, 0)}
    assert working.nodes[2]["samples"] == 5
    assert working.graph["published"] == [2]
    assert whole(working) is graph
    assert whole(links(working, 0, 1)) is graph
    assert "whole" not in graph.graph
    np.testing.assert_array_equal(centrality(working, "degree"), [1 / 3, 2 / 3, 2 / 3, 1 / 3])
