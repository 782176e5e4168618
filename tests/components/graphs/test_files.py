"""Graph files in each form, and a sentence for each damage."""

import os

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpidl.components.graphs import read
from mpidl.config.faults import Fault

BOTH = {(0, 1), (1, 0), (1, 2), (2, 1)}


@pytest.mark.parametrize(
    "content",
    [
        "0 1 0\n1 0 1\n0 1 0\n",
        "0 1 0\r\n1 0 1\r\n0 1 0",
        "0,1,0\n1,0,1\n0,1,0\n",
        "0, 1.0, 0\n\n# a comment\n1, 0, 1e0\n  0\t1 0.000\n",
        "\ufeff0 1 0\n1 0 1\n0 1 0\n",
        "# devices: 3\n0 1\n1 2\n",
        "0 1 1\n2 1 1\n",
        "# devices: 3\n0,1,1\n1,2\n",
    ],
)
def test_one_graph_in_many_forms(written, content):
    graph = read(written(content)).graph
    assert list(graph) == [0, 1, 2]
    assert set(graph.edges) == BOTH
    assert {p for *_, p in graph.edges(data="probability")} == {1.0}


def test_row_i_lists_whom_device_i_hears(written):
    graph = read(written("0 0.25 0\n0 0 .5\n1 0 0\n")).graph
    assert dict(graph.edges) == {
        (1, 0): {"probability": 0.25},
        (2, 1): {"probability": 0.5},
        (0, 2): {"probability": 1.0},
    }


def test_fractions_survive(written):
    graph = read(written("0 .7 .8\n.7 0 .9\n.8 .9 0\n")).graph
    assert graph.number_of_edges() == 6
    assert sorted(p for *_, p in graph.edges(data="probability")) == [0.7, 0.7, 0.8, 0.8, 0.9, 0.9]


def test_edge_lists(written):
    assert set(read(written("1 2\n0 1\n", "a.edges")).graph.edges) == BOTH
    assert set(read(written("0 1\n1 0\n# directed\n", "b.txt")).graph.edges) == {(0, 1), (1, 0)}
    assert list(read(written("# devices: 5\n")).graph.nodes) == list(range(5))
    one_way = read(written("# directed\n2 0 0.5\n")).graph
    assert dict(one_way.edges) == {(2, 0): {"probability": 0.5}}
    assert list(one_way) == [0, 1, 2]


def test_one_device(written):
    graph = read(written("0\n")).graph
    assert (len(graph), graph.number_of_edges()) == (1, 0)


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph])
def test_graphml(tmp_path, kind):
    graph = nx.gnp_random_graph(9, 0.4, seed=1, directed=kind is nx.DiGraph)
    nx.set_edge_attributes(graph, 0.5, "probability")
    named = nx.relabel_nodes(graph, {i: f"device {i}" for i in graph})
    numbered = nx.empty_graph(0, create_using=kind)
    numbered.add_nodes_from(reversed(range(9)))
    numbered.add_edges_from(graph.edges(data=True))
    for number, source in enumerate((graph, named, numbered)):
        file = tmp_path / f"{number}.graphml"
        nx.write_graphml(source, file)
        assert set(read(file).graph.edges) == set(nx.DiGraph(graph).edges)
        assert list(read(file).graph) == list(range(9))
        assert {p for *_, p in read(file).graph.edges(data="probability")} == {0.5}
        assert set(read(file.rename(tmp_path / f"{number}.txt")).graph.edges) == set(
            nx.DiGraph(graph).edges
        )


def test_published_ranks(written):
    assert read(written("# published ood ranks: 1 0\n0 1\n1 0\n")).published == (1, 0)
    assert read(written("# published nothing\n0 1\n1 0\n")).published == ()


@pytest.mark.parametrize(
    "header",
    [
        *("Round 3", "round:3 links", "round = 3", "rounds: 3", "period 20", "Period: ten"),
        *("devices 5", "devices: ", "device: 5", "directed: yes", "published ood: 1"),
    ],
)
def test_a_comment_that_looks_like_a_header_is_one_or_refused(written, header):
    with pytest.raises(Fault, match=r"line 2 \(# ?.*\) (begins as a header|has .* whole number)"):
        read(written(f"# a comment\n#{header}\n0 1\n"))


def test_other_comments_and_headers_in_capitals_are_read(written):
    prose = "# Devices of a lab, directed by hand\n# a round: 3\n# periodic\n# published 2025\n"
    graph = read(written(f"{prose}# Devices: 4\n# DIRECTED\n0 1\n")).graph
    assert (len(graph), set(graph.edges)) == (4, {(0, 1)})


def test_headers_that_contradict_each_other_are_refused(written):
    assert len(read(written("# devices: 4\n# devices: 4\n0 1\n"))) == 4
    with pytest.raises(Fault, match=r"line 2 \(# devices: 5\) is not what an earlier line says"):
        read(written("# devices: 4\n# devices: 5\n0 1\n"))


XML = '<graphml><graph edgedefault="undirected">{}</graph></graphml>'
NODES = '<node id="a"/><node id="b"/>'


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "holds no graph"),
        ("# only a comment\n\n", "holds no graph"),
        ("0 1 0\n1 0 1\n", "line 1 of the edge list has probability 0"),
        ("0 1 0 1\n1 0 1 1\n", "2 rows of 4 entries; an adjacency matrix must be square"),
        ("0 1 0 1\n1 0 1\n0 1 0\n", "line 2 has 3 entries where the first has 4"),
        ("0 1 0\n1 0 1\n0 1\n", "line 1 of the edge list has probability 0"),
        ("0 1\n1 nan\n", "line 2, column 2 has 'nan' where a probability from 0 to 1"),
        ("0 1\ninf 0\n", "line 2, column 1 has 'inf'"),
        ("0 -0.1\n1 0\n", "line 1, column 2 has '-0.1'"),
        ("0 1.5\n1 0\n", "line 1, column 2 has '1.5'"),
        ("0 x\n1 0\n", "line 1, column 2 has 'x'"),
        ("0 1\n1 1\n", "line 2 links device 1 to itself; write 0"),
        ("1\n", "line 1 links device 0 to itself"),
        (b"\xff\xfe\x00\x01", "is not UTF-8 text"),
        (b"0 1\n1 \x00\n", "line 2, column 2 has"),
        (
            b"\x1f\x8b\x08",
            "is a file packed by gzip, which is not read. Read are adjacency matrices",
        ),
        ("# devices: 0\n", "'0' where a whole number from 1 to 100000"),
        ("# devices: many\n0 1\n", "'many' where a whole number from 1 to 100000"),
        ("# devices: 99999999999999999999\n0 1\n", "whole number from 1 to 100000"),
        (
            "# devices: 2\n0 2\n",
            "line 2 of the edge list has '2' where a whole number from 0 to 1 is needed",
        ),
        ("# devices: 2\n0 1 .5 7\n", "line 2 of the edge list must be 'i j' or 'i j probability'"),
        ("# devices: 3\n0 1 0\n", "line 2 of the edge list has probability 0; leave the link out"),
        ("# devices: 3\n0 1 2\n", "line 2 of the edge list has '2' where a probability"),
        ("# devices: 3\n0 0\n", "line 2 of the edge list links device 0 to itself"),
        (
            "# devices: 3\n0 1\n1 0\n1 2\n",
            "line 3 of the edge list repeats the link of 1 and 0, and other links",
        ),
        ("# devices: 3\n0 1 .5\n1 0\n", "repeats the link of 1 and 0, and some have another prob"),
        ("0 1\n1 2\n-1 2\n", "line 3 of the edge list has '-1' where a whole number"),
        ("0 1\n1 2.0\n2 3\n", "line 2 of the edge list has '2.0' where a whole number"),
        ("0 999999999999\n1 2\n2 3\n", "'999999999999' where a whole number from 0 to 99999"),
        ("# published ood ranks: 0 2\n0 1\n1 0\n", "has '2' where a whole number from 0 to 1"),
        ("# published ood ranks: 0 0\n0 1\n1 0\n", "must list different devices"),
        ("# published ood ranks:\n0 1\n1 0\n", "must list different devices"),
        ("<graphml>", "is not valid XML: no element found: line 1"),
        ("<html></html>", "neither GraphML nor GEXF: its outermost element is 'html'"),
        ("<graphml></graphml>", "holds no graph"),
        ("<!DOCTYPE lolz><graphml/>", "document type is refused"),
        (XML.format(""), "holds no graph"),
        (XML.format(NODES + '<edge source="a" target="a"/>'), "to itself"),
        (XML.format(NODES + '<edge source="a" target="c"/>'), "has an end that is no node, 'c'"),
        (XML.format("<hyperedge/>"), "has hyperedges, which are not read"),
        (XML.format('<node id="a"><graph/></node>'), "node 'a' holds a graph of its own"),
        ("<graphml><graph/><graph/></graphml>", "holds 2 graphs; keep one"),
    ],
)
def test_a_damaged_file_is_one_sentence_that_names_it(written, content, sentence):
    file = written(content)
    with pytest.raises(Fault, match=sentence) as fault:
        read(file)
    assert str(file) in str(fault.value)
    assert len(fault.value.sentences) == 1


def test_graphml_probability_is_checked(written):
    key = '<key id="d0" for="edge" attr.name="probability" attr.type="string"/>'
    namespace = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
    edge = '<edge source="a" target="b"><data key="d0">often</data></edge>'
    graph = f'{namespace}{key}<graph edgedefault="directed">{NODES}{edge}</graph></graphml>'
    with pytest.raises(Fault, match="the edge from 'a' to 'b' has 'often' where a probability"):
        read(written(graph))
    assert dict(read(written(graph.replace("often", "0.5"))).graph.edges) == {
        (0, 1): {"probability": 0.5}
    }


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(Fault, match=r"Cannot read the graph file .*none.txt: No such file"):
        read(tmp_path / "none.txt")
    with pytest.raises(Fault, match="is not a regular file"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Fault, match="is not a regular file"):
        read(tmp_path / "pipe")
    with pytest.raises(Fault, match="null"):
        read(tmp_path / "a\0b")
    with pytest.raises(Fault, match="name too long"):
        read(tmp_path / ("a" * 5000))


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    file = tmp_path / "huge.txt"
    with file.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(Fault, match="bytes; at most 268,435,456 are read"):
        read(file)


SMALL = st.integers(0, 5)
ROWS = st.lists(st.tuples(SMALL, SMALL, st.sampled_from(["", "1", ".5", "0", "x", "1e-9"])))
HEADS = st.sampled_from(["", "# directed\n", "# devices: 6\n", "# published ood ranks: 1 0\n"])
EDGES = st.builds(
    lambda head, rows: head + "".join(f"{i} {j} {chance}\n" for i, j, chance in rows), HEADS, ROWS
)
MATRICES = st.integers(1, 5).flatmap(
    lambda size: st.lists(
        st.lists(st.sampled_from(["0", "1", ".25", "2", "-"]), min_size=size, max_size=size),
        min_size=size,
        max_size=size,
    ).map(lambda rows: "\n".join(map(" ".join, rows)))
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("graphs") / "graph.txt"


@given(content=EDGES | MATRICES | st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_graph_or_one_sentence(scratch, content):
    scratch.write_text(content, encoding="utf-8", errors="replace")
    try:
        graph = read(scratch).graph
    except Fault as fault:
        assert len(fault.sentences) == 1  # noqa: PT017
    else:
        assert list(graph) == list(range(len(graph)))
        assert all(0 < chance <= 1 for *_, chance in graph.edges(data="probability"))
        assert not list(nx.selfloop_edges(graph))


@pytest.mark.parametrize(
    ("limit", "content", "sentence"),
    [
        ("text.LINES", "\n" * 9 + "0 1\n1 0\n", "has more than 3 lines"),
        ("text.GRAPHS", "".join(f"# round: {n}\n" for n in range(4)), "more than 3 lines '# round"),
        ("markup.CHARACTERS", XML.format(NODES), "XML of more than 3 characters or"),
        ("markup.TAGS", XML.format(NODES), "XML of more than .* or 3 tags is refused"),
        ("entries.DEVICES", XML.format('<node id="{}"/>' * 4).format(*"abcd"), "has 4 devices; at"),
    ],
)
def test_what_costs_more_than_its_size_is_bounded(written, monkeypatch, limit, content, sentence):
    monkeypatch.setattr(f"mpidl.components.graphs.files.{limit}", 3)
    with pytest.raises(Fault, match=sentence):
        read(written(content))


def test_more_links_than_allowed(written, monkeypatch):
    monkeypatch.setattr("mpidl.components.graphs.files.entries.LINKS", 3)
    for content in ("0 1 1\n1 0 1\n1 1 0\n", "# devices: 9\n0 1\n1 2\n2 3\n3 4\n"):
        with pytest.raises(Fault, match="more links than the 3"):
            read(written(content))
