"""The 36 stored graphs against the numbers published with them."""

import importlib.util
from pathlib import Path

import networkx as nx
import pytest
from packaging.version import Version

from mpidl.components.graphs import TOPOLOGIES, build, components, ranking, read, symmetric
from mpidl.config import runfile
from mpidl.config.faults import Fault

FOLDER = Path(__file__).parents[3] / "topologies"

PUBLISHED = {
    # name: edges, components, diameter, greedy modularity, OOD devices, their degrees
    "ws_8_0": (16, 1, 3, 0.18, (7, 1, 0, 5), (6, 5, 4, 4)),
    "ws_16_0": (32, 1, 4, 0.351, (9, 3, 0, 1), (7, 6, 4, 4)),
    "ws_33_0": (66, 1, 5, 0.455, (20, 19, 16, 0), (6, 6, 6, 5)),
    "ba_8_2_0": (12, 1, 3, 0.111, (0, 3, 4, 5), (5, 5, 3, 3)),
    "ba_16_2_0": (28, 1, 3, 0.249, (3, 0, 4, 6), (10, 8, 5, 5)),
    "ba_64_2_0": (124, 1, 6, 0.431, (3, 4, 0, 6), (20, 15, 15, 10)),
    "ba_33_1_0": (32, 1, 8, 0.635, (0, 2, 5, 8), (10, 7, 7, 4)),
    "ba_33_2_0": (62, 1, 4, 0.364, (3, 0, 4, 6), (14, 13, 9, 7)),
    "ba_33_3_0": (90, 1, 3, 0.251, (0, 4, 5, 1), (15, 14, 14, 10)),
    "sb_.009_0": (78, 1, 9, 0.612, (30, 27, 32, 23), (9, 8, 7, 7)),
    "sb_.05_0": (94, 1, 5, 0.416, (32, 29, 15, 8), (11, 10, 9, 9)),
    "sb_.09_0": (129, 1, 3, 0.296, (23, 25, 19, 28), (13, 12, 12, 11)),
    "ws_8_1": (16, 1, 2, 0.094, (0, 5, 6, 3), (5, 5, 5, 4)),
    "ws_16_1": (32, 1, 4, 0.288, (0, 6, 8, 10), (6, 5, 5, 5)),
    "ws_33_1": (66, 1, 5, 0.414, (0, 31, 14, 32), (6, 6, 6, 5)),
    "ba_8_2_1": (12, 1, 3, 0.122, (0, 3, 4, 5), (5, 5, 3, 3)),
    "ba_16_2_1": (28, 1, 3, 0.248, (3, 0, 5, 4), (11, 8, 6, 4)),
    "ba_64_2_1": (124, 1, 6, 0.404, (3, 0, 5, 25), (19, 17, 11, 8)),
    "ba_33_1_1": (32, 1, 7, 0.624, (0, 4, 1, 7), (11, 7, 5, 4)),
    "ba_33_2_1": (62, 1, 4, 0.417, (3, 0, 5, 1), (15, 10, 9, 6)),
    "ba_33_3_1": (90, 1, 4, 0.285, (0, 4, 13, 1), (21, 12, 10, 8)),
    "sb_.009_1": (82, 3, None, 0.66, (3, 24, 26, 31), (9, 8, 7, 7)),
    "sb_.05_1": (98, 1, 5, 0.486, (22, 3, 26, 29), (10, 9, 9, 8)),
    "sb_.09_1": (107, 1, 4, 0.374, (17, 3, 9, 22), (10, 10, 10, 9)),
    "ws_8_2": (16, 1, 3, 0.186, (5, 6, 1, 2), (5, 5, 4, 4)),
    "ws_16_2": (32, 1, 4, 0.309, (1, 11, 8, 10), (6, 6, 5, 5)),
    "ws_33_2": (66, 1, 5, 0.393, (13, 10, 14, 32), (7, 6, 6, 5)),
    "ba_8_2_2": (12, 1, 3, 0.111, (0, 1, 3, 6), (6, 5, 3, 3)),
    "ba_16_2_2": (28, 1, 3, 0.213, (1, 0, 7, 3), (11, 9, 6, 4)),
    "ba_64_2_2": (124, 1, 5, 0.454, (7, 1, 0, 17), (20, 18, 13, 10)),
    "ba_33_1_2": (32, 1, 7, 0.646, (0, 10, 3, 1), (10, 6, 5, 3)),
    "ba_33_2_2": (62, 1, 5, 0.437, (1, 7, 0, 4), (14, 13, 10, 6)),
    "ba_33_3_2": (90, 1, 4, 0.268, (5, 0, 4, 12), (14, 11, 10, 10)),
    "sb_.009_2": (84, 1, 7, 0.616, (32, 3, 30, 27), (7, 7, 7, 7)),
    "sb_.05_2": (105, 1, 4, 0.446, (30, 2, 27, 3), (10, 10, 9, 8)),
    "sb_.09_2": (121, 1, 3, 0.356, (14, 25, 24, 18), (12, 11, 10, 10)),
}


def stored(name):
    return read(FOLDER / f"{name}.txt")


def undirected(graph):
    plain = nx.empty_graph(len(graph))
    plain.add_edges_from(graph.edges)
    return plain


def test_all_are_there_and_no_other():
    assert {file.stem for file in FOLDER.glob("*.txt")} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_they_are_the_published_graphs(name):
    edges, parts, diameter, modularity, ranks, degrees = PUBLISHED[name]
    topology = stored(name)
    graph, plain = topology.graph, undirected(topology.graph)
    communities = nx.community.greedy_modularity_communities(plain)
    assert symmetric(graph)
    assert len(graph) == (33 if name.startswith("sb") else int(name.split("_")[1]))
    assert plain.number_of_edges() == edges
    assert components(graph) == parts
    assert parts > 1 or nx.diameter(plain) == diameter
    assert nx.community.modularity(plain, communities) == pytest.approx(modularity, abs=5e-4)
    assert topology.published == ranks
    assert tuple(plain.degree(device) for device in ranks) == degrees


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_ranks_are_the_highest_degrees(name):
    topology = stored(name)
    degree = undirected(topology.graph).degree
    highest = [degree[device] for device in ranking(topology.graph, "degree")[:4]]
    assert [degree[device] for device in topology.published] == highest


@pytest.mark.parametrize("name", PUBLISHED)
def test_families_draw_the_stored_graphs_by_name(name):
    kind, *words, seed = name.split("_")
    numbers = [float(word) if "." in word else int(word) for word in words]
    settings = {
        "ws": {"name": "watts_strogatz"},
        "ba": {"name": "barabasi_albert", "m": numbers[-1]},
        "sb": {"name": "stochastic_block_model", "between": numbers[-1]},
    }[kind]
    devices = 33 if kind == "sb" else numbers[0]
    tables = {"topology": {**settings, "devices": devices, "seed": int(seed)}}
    tables["topology"]["allow_disconnected"] = True
    section = runfile.validate(tables, {"topology": TOPOLOGIES}).topology
    assert set(build(section, 1).graph.edges) == set(stored(name).graph.edges)


def test_the_one_that_falls_apart_is_refused_unless_allowed():
    file = str(FOLDER / "sb_.009_1.txt")
    with pytest.raises(Fault, match=r"sb_.009_1.txt falls apart into 3 components"):
        build(runfile.TopologySettings(file=file), 33)
    assert len(build(runfile.TopologySettings(file=file, allow_disconnected=True), 33)) == 33


@pytest.mark.skipif(
    Version(nx.__version__) >= Version("3.7"), reason="networkx draws other graphs since 3.7"
)
def test_the_script_writes_these_files():
    spec = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    written = {name: make.text(name, origin, graph) for name, origin, graph in make.drawn()}
    assert written == {file.stem: file.read_text() for file in FOLDER.glob("*.txt")}
