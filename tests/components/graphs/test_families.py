"""Families of graphs: exact shapes, limits, and what all of them share."""

import inspect
import itertools
import math

import networkx as nx
import numpy as np
import pytest
from packaging.version import Version

from mpidl.components.graphs import TOPOLOGIES, build, components
from mpidl.config import runfile
from mpidl.config.faults import Fault

ANY_SIZE = ["ring", "chain", "star", "complete", "exponential", "torus", "binary_tree"]
RANDOM = [
    "erdos_renyi",
    "watts_strogatz",
    "barabasi_albert",
    "stochastic_block_model",
    "random_regular",
    "random_geometric",
]

DIRECTED = {"exponential", "one_peer_exponential", "epidemic"}


def section(**settings):
    tables = {"topology": {"allow_disconnected": True, **settings}}
    return runfile.validate(tables, {"topology": TOPOLOGIES}).topology


def undirected(name, devices, **settings):
    return nx.Graph(build(section(name=name, **settings), devices).graph)


def edges(name, devices, **settings):
    return set(build(section(name=name, **settings), devices).graph.edges)


def both(*links):
    return {*links, *((j, i) for i, j in links)}


@pytest.mark.parametrize("name", sorted(TOPOLOGIES))
@pytest.mark.parametrize("devices", [8, 16, 64])
def test_every_family_gives_a_plain_graph_on_numbered_devices(name, devices):
    graph = build(section(name=name, devices=devices), 1).graph
    assert isinstance(graph, nx.DiGraph)
    assert list(graph) == list(range(devices))
    assert nx.number_of_selfloops(graph) == 0
    assert graph.number_of_edges() >= devices - 1 or components(graph) > 1
    assert {p for *_, p in graph.edges(data="probability")} == {1.0}


@pytest.mark.parametrize("name", sorted(TOPOLOGIES))
def test_every_family_is_documented_and_its_defaults_are_allowed(name):
    assert inspect.getdoc(TOPOLOGIES[name])
    TOPOLOGIES.settings(name)()


@pytest.mark.parametrize("name", sorted(TOPOLOGIES))
def test_undirected_links_go_both_ways(name):
    graph = build(section(name=name), 16).graph
    symmetric = all(graph.has_edge(j, i) for i, j in graph.edges)
    assert symmetric == (name not in DIRECTED)


@pytest.mark.parametrize("name", [*ANY_SIZE, "hypercube"])
def test_one_device_has_no_links_and_two_have_one(name):
    assert edges(name, 1) == set()
    assert edges(name, 2) == both((0, 1))


@pytest.mark.parametrize("name", RANDOM)
def test_random_families_follow_the_seed(name):
    first = edges(name, 64, seed=3)
    assert first == edges(name, 64, seed=3)
    assert first != edges(name, 64, seed=2**63 - 1)


def test_exact_links():
    assert edges("ring", 4) == both((0, 1), (1, 2), (2, 3), (3, 0))
    assert edges("chain", 4) == both((0, 1), (1, 2), (2, 3))
    assert edges("star", 4) == both((0, 1), (0, 2), (0, 3))
    assert edges("complete", 3) == both((0, 1), (0, 2), (1, 2))
    assert edges("binary_tree", 6) == both((0, 1), (0, 2), (1, 3), (1, 4), (2, 5))
    assert edges("exponential", 5) == {(i, (i + hop) % 5) for i in range(5) for hop in (1, 2, 4)}


@pytest.mark.parametrize("devices", [3, 4, 5, 8, 9, 33])
def test_exponential_hears_log2_of_n(devices):
    graph = build(section(name="exponential"), devices).graph
    assert {d for _, d in graph.in_degree} == {math.ceil(math.log2(devices))}
    assert {d for _, d in graph.out_degree} == {math.ceil(math.log2(devices))}


def test_hypercube_and_torus_are_those_of_networkx():
    assert nx.is_isomorphic(undirected("hypercube", 16), nx.hypercube_graph(4))
    for rows, columns in ((4, 8), (3, 5), (2, 6), (1, 7)):
        torus = undirected("torus", rows * columns, rows=rows)
        assert nx.is_isomorphic(torus, nx.grid_2d_graph(rows, columns, periodic=True))
    assert edges("torus", 32) == edges("torus", 32, rows=4)
    assert edges("torus", 7) == edges("ring", 7)


def test_watts_strogatz_is_connected_and_keeps_the_number_of_links():
    graph = undirected("watts_strogatz", 100, k=6, rewiring=1.0)
    assert nx.is_connected(graph)
    assert graph.number_of_edges() == 300


def test_barabasi_albert_has_m_links_for_each_later_device():
    assert undirected("barabasi_albert", 100, m=3).number_of_edges() == 3 * 97


@pytest.mark.parametrize(("devices", "degree"), [(10, 3), (9, 4), (20, 17), (10, 9), (2, 1)])
def test_random_regular_has_one_degree(devices, degree):
    graph = undirected("random_regular", devices, degree=degree)
    assert {d for _, d in graph.degree} == {degree}


@pytest.mark.skipif(
    Version(nx.__version__) >= Version("3.7"), reason="networkx draws other graphs since 3.7"
)
@pytest.mark.parametrize("inside", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("between", [0.0, 0.02, 0.5, 1.0])
def test_stochastic_block_model_is_that_of_networkx(inside, between):
    for devices, blocks, seed in itertools.product((1, 7, 33, 100), (1, 2, 3, 7), range(3)):
        if blocks > devices:
            continue
        sizes = [devices // blocks + (block < devices % blocks) for block in range(blocks)]
        odds = np.full((blocks, blocks), between)
        np.fill_diagonal(odds, inside)
        drawn = nx.stochastic_block_model(sizes, odds.tolist(), seed=seed)
        want = nx.convert_node_labels_to_integers(drawn)
        settings = {"blocks": blocks, "inside": inside, "between": between}
        found = TOPOLOGIES["stochastic_block_model"](devices, seed, **settings)
        assert found.adj == want.adj
        assert [[*found[i]] for i in found] == [[*want[i]] for i in want]


@pytest.mark.parametrize("least", [5e-324, 1e-17])
def test_stochastic_block_model_takes_the_least_probability(least):
    graph = undirected("stochastic_block_model", 10, blocks=2, inside=1.0, between=least)
    assert graph.number_of_edges() == 20


def test_stochastic_block_model_links_only_inside_when_nothing_goes_between():
    graph = undirected("stochastic_block_model", 10, blocks=3, inside=1.0, between=0.0)
    sizes = sorted(len(component) for component in nx.connected_components(graph))
    assert sizes == [3, 3, 4]
    assert graph.number_of_edges() == 3 + 3 + 6


def test_erdos_renyi_with_probability_one_is_complete():
    assert edges("erdos_renyi", 9, probability=1.0) == edges("complete", 9)
    assert edges("erdos_renyi", 1) == set()


def test_random_geometric_links_the_near_and_only_them():
    graph = build(section(name="random_geometric", radius=0.3), 50).graph
    place = graph.nodes(data="pos")
    for i in graph:
        for j in graph:
            assert (math.dist(place[i], place[j]) <= 0.3 and i != j) == graph.has_edge(i, j)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"name": "hypercube", "devices": 12},
            "12: a hypercube needs a power of two, such as 8 or 16",
        ),
        (
            {"name": "torus", "devices": 12, "rows": 5},
            "rows = 5: must divide the number of devices, 12",
        ),
        (
            {"name": "barabasi_albert", "devices": 2},
            "m = 2: must be below the number of devices, 2",
        ),
        ({"name": "watts_strogatz", "devices": 4}, "k = 4: must be below the number of devices, 4"),
        ({"name": "random_regular", "devices": 3}, "degree = 3: must be below"),
        ({"name": "random_regular", "devices": 7}, "degree = 3: must be even where devices, 7"),
        ({"name": "stochastic_block_model", "devices": 2}, "blocks = 3: must be at most"),
        ({"name": "complete", "devices": 100_000}, "1e[+]10 directed links; at most 10,000,000"),
        ({"name": "barabasi_albert", "devices": 90_000, "m": 1_000}, "at most 10,000,000"),
        ({"name": "ring", "devices": 10**12}, "must be from 1 to 100,000"),
    ],
)
def test_limits_of_a_family_are_one_sentence(settings, sentence):
    with pytest.raises(Fault, match=sentence) as fault:
        build(section(**settings), 8)
    assert len(fault.value.sentences) == 1


def test_a_small_world_that_never_connects_says_what_to_change(monkeypatch):
    def never(*_, **__):
        raise nx.NetworkXError

    monkeypatch.setattr(nx, "connected_watts_strogatz_graph", never)
    with pytest.raises(Fault, match=r"take a larger topology\.k than 2 or another seed"):
        build(section(name="watts_strogatz", k=2), 30)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "rign"},
        {"name": "barabasi_albert", "m": 0},
        {"name": "barabasi_albert", "m": 2.0},
        {"name": "watts_strogatz", "k": 3},
        {"name": "watts_strogatz", "rewiring": 1.5},
        {"name": "erdos_renyi", "probability": float("nan")},
        {"name": "random_geometric", "radius": 0.0},
        {"name": "torus", "rows": 0},
        {"name": "ring", "m": 2},
        {"name": "ring", "link_probability": 0.0},
    ],
)
def test_settings_out_of_bounds_are_refused(settings):
    with pytest.raises(Fault, match=r"topology\."):
        section(**settings)
