"""Bridges and communities of graphs in which one sees them."""

import math

import networkx as nx
import pytest

from mpidl.components.graphs import bridges, communities, modularity


def barbell():
    """Two times four devices, all linked, and one link between device 3 and device 4."""
    return nx.to_directed(nx.barbell_graph(4, 0))


def test_the_link_between_two_communities():
    assert bridges(barbell()) == [(3, 4)]
    assert communities(barbell()) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    # 12 of 13 links lie within, and half of their ends in each: 12/13 - 2 (1/2)^2.
    assert modularity(barbell(), communities(barbell())) == pytest.approx(12 / 13 - 1 / 2)


def test_a_ring_has_no_bridge_and_a_path_nothing_else():
    assert bridges(nx.cycle_graph(5, create_using=nx.DiGraph)) == []
    assert bridges(nx.path_graph(4)) == [(0, 1), (1, 2), (2, 3)]


def test_without_links_each_device_is_by_itself():
    graph = nx.empty_graph(3, create_using=nx.DiGraph)
    assert bridges(graph) == []
    assert communities(graph) == [[0], [1], [2]]
    assert math.isnan(modularity(graph, communities(graph)))


def test_large_communities_come_first():
    graph = nx.disjoint_union(nx.complete_graph(3), nx.complete_graph(5))
    assert communities(graph) == [[3, 4, 5, 6, 7], [0, 1, 2]]
