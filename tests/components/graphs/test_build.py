"""From settings to a graph: sizes, probabilities, connectedness."""

import pytest

from mpidl.components.graphs import TOPOLOGIES, build, components
from mpidl.config import runfile
from mpidl.config.faults import Fault


def section(**settings):
    return runfile.validate({"topology": settings}, {"topology": TOPOLOGIES}).topology


def test_ranks_say_the_size_where_the_settings_do_not():
    assert len(build(section(name="ring"), 5)) == 5
    assert len(build(section(name="ring", devices=7), 5)) == 7


def test_a_file_says_its_size(tmp_path):
    file = tmp_path / "three.txt"
    file.write_text("0 1 0\n1 0 1\n0 1 0\n")
    assert len(build(section(file=str(file)), 8)) == 3
    assert len(build(section(file=str(file), devices=3), 8)) == 3
    with pytest.raises(Fault, match=r"devices = 8: the graph file .*three.txt has 3 devices"):
        build(section(file=str(file), devices=8), 8)


def test_a_relative_file_is_looked_for_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "two.txt").write_text("0 1\n1 0\n")
    monkeypatch.chdir(tmp_path)
    assert set(build(section(file="two.txt"), 1).graph.edges) == {(0, 1), (1, 0)}


def test_link_probability_applies_where_the_file_says_one(tmp_path):
    file = tmp_path / "graph.edges"
    file.write_text("0 1 0.5\n1 2\n")
    graph = build(section(file=str(file), link_probability=0.9), 1).graph
    assert [graph.edges[link]["probability"] for link in ((0, 1), (1, 0))] == [0.5, 0.5]
    assert [graph.edges[link]["probability"] for link in ((1, 2), (2, 1))] == [0.9, 0.9]


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"name": "erdos_renyi", "probability": 0.01}, "a larger topology.probability or another"),
        ({"name": "random_geometric", "radius": 0.01}, "a larger topology.radius or another"),
        ({"name": "stochastic_block_model", "between": 0.0}, "a larger topology.between"),
        ({"name": "random_regular", "degree": 1}, "a larger topology.degree"),
    ],
)
def test_a_graph_that_falls_apart_is_refused_with_a_remedy(settings, remedy):
    with pytest.raises(Fault, match=remedy) as fault:
        build(section(**settings), 12)
    graph = build(section(**settings, allow_disconnected=True), 12).graph
    assert f"into {components(graph)} components" in str(fault.value)
    assert "topology.allow_disconnected = true" in str(fault.value)
    assert len(fault.value.sentences) == 1


def test_one_way_links_must_lead_everywhere(tmp_path):
    file = tmp_path / "line.edges"
    file.write_text("# directed\n0 1\n1 2\n")
    with pytest.raises(Fault, match=r"line.edges falls apart into 3 components"):
        build(section(file=str(file)), 1)
    file.write_text("# directed\n0 1\n1 2\n2 0\n")
    assert set(build(section(file=str(file)), 1).graph.edges) == {(0, 1), (1, 2), (2, 0)}


def test_completed_keeps_devices_and_what_is_known_of_them():
    topology = build(section(name="random_geometric", link_probability=0.5), 9)
    full = topology.completed().graph
    assert set(full.edges) == {(i, j) for i in range(9) for j in range(9) if i != j}
    assert full.nodes(data="pos") == topology.graph.nodes(data="pos")
    assert {p for *_, p in full.edges(data="probability")} == {1.0}
    assert topology.completed().reliable
