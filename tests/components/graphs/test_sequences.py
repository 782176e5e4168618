"""Topologies that change: what each round has, how all of it is one graph, and files of them."""

from functools import partial
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

from mpidl.components.graphs import (
    TOPOLOGIES,
    build,
    centrality,
    read,
)
from mpidl.components.graphs.changing import _places
from mpidl.config import runfile
from mpidl.config.faults import Fault

CHANGING = [
    "base_k",
    "epidemic",
    "matcha",
    "mobility",
    "one_peer_exponential",
    "random_matching",
    "regular_each_round",
]


def section(name="one_peer_exponential", **settings):
    named = {} if "file" in settings else {"name": name}
    tables = {"topology": {**named, "allow_disconnected": True, **settings}}
    return runfile.validate(tables, {"topology": TOPOLOGIES}).topology


def moving(name, devices, **settings):
    return build(section(name, **settings), devices).sequence


def edges(graph):
    return set(graph.edges)


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("devices", [1, 2, 7, 16])
def test_the_graph_of_a_run_has_what_is_there_in_some_round(name, devices):
    settings = {"degree": 1} if name in ("epidemic", "base_k") and devices > 1 else {}
    if name == "regular_each_round":
        settings = {"degree": 1 if devices == 2 else 2} if devices > 2 else {"degree": 1}
        if devices == 1:
            with pytest.raises(Fault, match="degree = 1: must be below"):
                build(section(name, **settings), devices)
            return
    if name == "matcha":
        settings = {"base": "ring"}
    topology = build(section(name, **settings), devices, 5)
    graph, rounds = topology.graph, [topology.sequence.at(round) for round in range(5)]
    assert edges(graph) == set().union(*map(edges, rounds))
    assert all(list(one) == list(graph) == list(range(devices)) for one in rounds)
    assert nx.number_of_selfloops(graph) == 0
    assert {p for *_, p in graph.edges(data="probability")} <= {1.0}


@pytest.mark.parametrize("name", CHANGING)
def test_a_round_depends_on_devices_seed_and_number_only(name):
    first, second = moving(name, 16, seed=3), moving(name, 16, seed=3)
    late = edges(second.at(9))
    assert [edges(first.at(round)) for round in range(10)][9] == late
    assert first.at(4) is first.at(4)
    drawn = name not in ("base_k", "one_peer_exponential")
    other = moving(name, 16, seed=4)
    same = all(edges(other.at(round)) == edges(first.at(round)) for round in range(9))
    assert same != drawn


@pytest.mark.parametrize("name", ["random_matching", "regular_each_round", "epidemic"])
def test_a_union_in_large_pieces_is_the_union(name, monkeypatch):
    """2,000 rounds of 64 devices are more links than are sorted at once."""
    monkeypatch.setattr("mpidl.components.graphs.sequences.LATEST", 1)
    found = moving(name, 64).union(2000)
    assert found.number_of_edges() == 64 * 63


def test_too_many_links_are_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr("mpidl.components.graphs.sequences.LINKS", 100)
    with pytest.raises(Fault, match=r"devices = 16: over training.rounds = 50 .* than the 100"):
        build(section("random_matching"), 16, 50)


def test_connected_is_asked_of_all_rounds_together():
    with pytest.raises(Fault, match=r"over the training.rounds of the run, falls apart into 2"):
        build(section("random_matching", allow_disconnected=False), 4, 1)
    assert build(section(allow_disconnected=False), 8, 3).graph.number_of_edges() == 24


def test_everybody_meets_once_in_a_matching():
    for devices in (2, 9, 16):
        for round in range(5):
            graph = moving("random_matching", devices).at(round)
            heard = sorted(degree for _, degree in graph.in_degree)
            assert heard == [0] * (devices % 2) + [1] * (devices - devices % 2)
            assert all(graph.has_edge(j, i) for i, j in graph.edges)


@pytest.mark.parametrize(("devices", "degree"), [(6, 3), (7, 2), (33, 16), (12, 11), (64, 3)])
def test_regular_each_round_has_one_degree_in_each_round(devices, degree):
    seen = set()
    for round in range(8):
        graph = moving("regular_each_round", devices, degree=degree).at(round)
        assert {d for _, d in graph.in_degree} == {degree}
        assert all(graph.has_edge(j, i) for i, j in graph.edges)
        seen.add(frozenset(graph.edges))
    assert len(seen) == (1 if degree == devices - 1 else 8)


@pytest.mark.parametrize("draw", ["oracle", "local"])
@pytest.mark.parametrize(("devices", "degree"), [(6, 2), (17, 8), (9, 8), (64, 6)])
def test_in_an_epidemic_each_sends_to_s_others(draw, devices, degree):
    for round in range(5):
        graph = moving("epidemic", devices, degree=degree, draw=draw).at(round)
        assert {d for _, d in graph.out_degree} == {degree}
        heard = {d for _, d in graph.in_degree}
        assert (heard == {degree}) == (draw == "oracle" or degree == devices - 1)


def test_an_epidemic_has_log2_of_n_by_default():
    assert {d for _, d in moving("epidemic", 33).at(0).out_degree} == {6}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("epidemic", {"degree": 2}, marks=pytest.mark.slow),
        ("epidemic", {"degree": 2, "draw": "local"}),
        pytest.param("regular_each_round", {"degree": 2}, marks=pytest.mark.slow),
        ("random_matching", {}),
    ],
)
def test_all_pairs_are_alike_in_what_is_drawn(name, settings):
    """In 6,000 rounds of N = 6 a link is there p of the time, within five standard deviations."""
    draws, found = moving(name, 6, **settings), np.zeros((6, 6))
    for round in range(6000):
        found[tuple(draws.draw(round).ends.T)] += 1
    chance = settings.get("degree", 1) / 5
    off = np.abs(found / 6000 - chance)[~np.eye(6, dtype=bool)]
    assert off.max() < 5 * np.sqrt(chance * (1 - chance) / 6000)


def test_devices_walk_no_faster_than_their_speed_and_stay_inside():
    places = [_places(40, 1, 0.2, round) for round in range(200)]
    steps = np.linalg.norm(np.diff(places, axis=0), axis=2)
    assert 0.15 < steps.max() <= 0.2
    assert np.min(places) >= 0
    assert np.max(places) <= 1
    # Any round can be asked for first.
    _places.__globals__["_begin"].cache_clear()
    _places.__globals__["_leg"].cache_clear()
    np.testing.assert_array_equal(_places(40, 1, 0.2, 150), places[150])
    walk = moving("mobility", 40, seed=1, radius=0.3, speed=0.2)
    for round in (0, 64, 150):
        for i, j in [(i, j) for i in range(40) for j in range(40) if i != j]:
            near = np.linalg.norm(places[round][i] - places[round][j]) <= 0.3
            assert near == walk.at(round).has_edge(i, j)


def test_slow_devices_keep_most_of_their_links():
    walk = moving("mobility", 60, speed=0.01)
    for one, two in pairwise(walk.at(round) for round in range(6)):
        assert len(edges(one) & edges(two)) > 0.8 * len(edges(one))


def test_links_of_a_round_are_those_of_the_topology_that_do_not_fail():
    topology = build(section("random_matching", link_probability=0.5), 16, 40)
    seen = []
    for round in range(40):
        found = topology.at(round, 7)
        one = found.graph
        assert found.whole is topology.sequence.at(round)
        assert edges(one) <= edges(found.whole)
        assert all(one.has_edge(j, i) for i, j in one.edges)
        seen.append(one.number_of_edges())
        missing = [edge for edge in sorted(topology.graph.edges) if edge not in one.edges]
        np.testing.assert_array_equal(topology.failures(round, 7), missing)
    assert abs(np.sum(seen) / (40 * 16) - 0.5) < 5 * np.sqrt(0.25 / 320)


def test_centralities_are_those_of_the_last_refresh():
    for refresh in (1, 3):
        topology = build(section("mobility", refresh=refresh), 12, 10)
        for round in range(10):
            want = topology.sequence.at(round - round % refresh)
            got = centrality(topology.at(round, 0).measured, "degree")
            np.testing.assert_array_equal(got, centrality(want, "degree"))


@pytest.mark.parametrize("name", CHANGING)
def test_centralities_of_all_of_it_do_not_depend_on_the_rounds_of_a_run(name):
    few, many = (build(section(name), 12, rounds) for rounds in (1, 40))
    for measure in ("degree", "betweenness"):
        one, other = (centrality(built.measured, measure) for built in (few, many))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["degree", "betweenness", "closeness", "eigenvector"])
def test_a_device_without_links_in_a_round_has_a_centrality(name):
    topology = build(section("random_matching"), 5, 4)
    for round in range(4):
        values = centrality(topology.at(round, 0).measured, name)
        assert values.shape == (5,)
        assert np.isfinite(values).all()


@pytest.fixture
def written(written):
    """The shared one, for files that their name calls edge lists."""
    return partial(written, name="graphs.edges")


def test_a_file_has_a_graph_for_each_round(written):
    path = written("# devices: 4\n# round: 0\n0 1\n# round: 1\n1 2 0.5\n2 3\n# round: 3\n")
    topology = read(path)
    assert edges(topology.graph) == {(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)}
    at = topology.sequence.at
    assert [len(edges(at(round))) for round in range(8)] == [2, 4, 4, 0, 2, 4, 4, 0]
    assert at(1) is at(2) is at(5)
    assert at(1).edges[1, 2]["probability"] == 0.5
    again = build(section(file=str(path), link_probability=0.9), 1, 2)
    assert again.graph.edges[0, 1]["probability"] == 0.9
    assert again.sequence.at(5).edges[2, 1]["probability"] == 0.5
    assert edges(build(section(file=str(path)), 1, 1).graph) == {(0, 1), (1, 0)}


def test_the_last_graph_of_a_file_stays_until_its_period_ends(written):
    topology = read(written("# directed\n# period: 1000000\n# round: 0\n0 1\n# round: 2\n1 2\n"))
    at = topology.sequence.at
    assert [edges(at(round)) for round in (0, 1, 2, 999_999, 1_000_000)] == [
        *[{(0, 1)}] * 2,
        *[{(1, 2)}] * 2,
        {(0, 1)},
    ]
    assert edges(topology.graph) == {(0, 1), (1, 2)}
    assert topology.at(2, 0).around(2).members == [2, 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0 1\n# round: 0\n0 1\n", "has links before its first line '# round: 0'"),
        ("# period: 3\n0 1\n", "has links before its first line '# round: 0'"),
        ("# round: 1\n0 1\n", r"line 1 \(# round: 1\) is out of order; rounds ascend from 0"),
        ("# round: 0\n0 1\n# round: 0\n", r"line 3 \(# round: 0\) is out of order"),
        (
            "# round: 0\n0 1\n# round: x\n",
            r"line 3 \(# round: x\) has 'x' where a whole number",
        ),
        ("# round: 0\n0 1\n# round: 1000000\n", "from 0 to 999999 is needed"),
        (
            "# period: 2\n# round: 0\n0 1\n# round: 2\n",
            "'# period: 2' must be above its last",
        ),
        ("# round: 0\n# round: 1\n", "holds no graph"),
        ("# round: 0\n0 1 0\n", "has probability 0"),
        ("# devices: 2\n# round: 0\n0 2\n", "from 0 to 1 is needed"),
    ],
)
def test_a_damaged_file_is_told_in_a_sentence(written, text, sentence):
    with pytest.raises(Fault, match=sentence) as fault:
        read(written(text))
    assert len(fault.value.sentences) == 1


def test_what_tells_sequences_apart_does_not_depend_on_the_rounds_of_a_run(written):
    def told(topology):
        return [part.tolist() for part in topology.sequence.distinct()]

    for name in CHANGING:
        one, two = (build(section(name), 8, rounds) for rounds in (3, 30))
        assert told(one) == told(two)
    assert told(build(section("epidemic", seed=1), 8)) != told(build(section("epidemic"), 8))
    one = written("# round: 0\n0 1\n# round: 1\n1 2\n")
    first = told(read(one))
    assert first != told(read(written("# round: 0\n0 1\n# round: 1\n1 2 0.5\n")))
