"""Graph files as other programs write them: read as they mean it, or refused by their name."""

import gzip
import pickle

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from mpidl.components.graphs import build, read
from mpidl.config.faults import Fault
from mpidl.config.runfile import TopologySettings
from tests.components.graphs.notations import node_link

RING = {(i, (i + 1) % 4) for i in range(4)} | {((i + 1) % 4, i) for i in range(4)}


def chances(topology):
    return nx.get_edge_attributes(topology.graph, "probability")


def said(topology, words):
    return any(words in note for note in topology.notes)


def graphml(keys="", nodes="abcd", edges="", way="undirected", more=""):
    told = "".join(f'<node id="{node}"/>' for node in nodes)
    return f'<graphml>{keys}<graph edgedefault="{way}">{told}{edges}{more}</graph></graphml>'


AROUND = "".join(f'<edge source="{a}" target="{b}"/>' for a, b in ("ab", "bc", "cd", "da"))
KEY = '<key id="p" for="{}" attr.name="probability" attr.type="double">{}</key>'
HALF = KEY.format("edge", "<default>0.5</default>")


@pytest.mark.parametrize(
    ("keys", "first", "others"),
    [
        (HALF, 0.5, 0.5),
        (KEY.format("all", "<default>0.5</default>"), 0.5, 0.5),
        (HALF.replace(' attr.name="probability"', "").replace('"p"', '"probability"'), 0.5, 0.5),
        (HALF + "<!--1-->", 0.5, 0.5),
        (KEY.format("node", "<default>0.5</default>"), 1.0, 1.0),
        (KEY.format("edge", ""), 1.0, 1.0),
    ],
)
def test_the_default_of_an_attribute_holds_where_no_edge_says_more(written, keys, first, others):
    found = chances(read(written(graphml(keys, edges=AROUND))))
    assert set(found) == RING
    assert found[0, 1] == first
    assert {chance for link, chance in found.items() if link != (0, 1)} == {others}


def test_what_an_edge_says_is_stronger_than_the_default(written):
    edges = AROUND.replace("/>", '><data key="p">.25</data></edge>', 1)
    edges = edges.replace('target="c"/>', 'target="c"><data key="p"> </data></edge>')
    found = chances(read(written(graphml(HALF, edges=edges))))
    assert (found[0, 1], found[1, 2], found[2, 3]) == (0.25, 0.5, 0.5)
    with pytest.raises(Fault, match=r"has 'often' where a probability from 0 to 1"):
        read(written(graphml(HALF.replace("0.5", "often"), edges=AROUND)))


def test_a_probability_of_the_whole_graph_is_no_links_and_said(written):
    keys = KEY.format("graph", "")
    topology = read(written(graphml(keys, edges=AROUND, more='<data key="p">.5</data>')))
    assert set(chances(topology).values()) == {1.0}
    assert said(topology, "gives the graph as a whole")


def test_mixed_directions_and_foreign_types_in_graphml(written):
    keys = '<key id="v" for="edge" attr.name="pos" attr.type="vector_float"/>'
    edges = (
        '<edge source="a" target="b" directed="true"><data key="v">1, 2</data></edge>'
        '<edge source="b" target="c"/><edge source="c" target="a" directed="false"/>'
    )
    topology = read(written(graphml(keys, "abc", edges)))
    assert set(topology.graph.edges) == {(0, 1), (1, 2), (2, 1), (2, 0), (0, 2)}
    turned = edges.replace("true", "false", 1).replace('"c"/>', '"c" directed="true"/>')
    assert set(read(written(graphml(keys, "abc", turned, "directed"))).graph.edges) == {
        (0, 1),
        (1, 0),
        (1, 2),
        (2, 0),
        (0, 2),
    }


def test_parallel_links_are_one_that_works_where_any_does(written):
    edges = AROUND + '<edge source="b" target="a"/>' + '<edge source="a" target="b"/>'
    topology = read(written(graphml(HALF, edges=edges)))
    assert set(topology.graph.edges) == RING
    assert chances(topology)[0, 1] == chances(topology)[1, 0] == 1 - 0.5**3
    assert chances(topology)[1, 2] == 0.5
    assert said(topology, "2 links are parallel to another (first the edge from 'b' to 'a')")
    one_way = read(written(graphml(HALF, edges=edges, way="directed")))
    assert chances(one_way)[0, 1] == 0.75
    assert chances(one_way)[1, 0] == 0.5


def test_parallel_links_of_different_weights_are_refused(written):
    for first, second, words in (("1", "1.0", None), ("1", "2", "1.0 and 2.0"), ("1", "", "none")):
        graph = nx.MultiGraph()
        graph.add_edge(0, 1, weight=float(first))
        graph.add_edge(0, 1, **({"weight": float(second)} if second else {}))
        file = written("\n".join(nx.generate_gml(graph)), "graph.gml")
        if words is None:
            assert said(read(file), "a link is parallel to another")
        else:
            with pytest.raises(Fault, match=f"their weights differ: .*{words}"):
                read(file)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("0 1 {'weight': 4}\n1 2 {}\n2 3 {'weight': 1, 'probability': 0.5}\n", None),
        ("0 1 {'weight': np.float64(4.0)}\n1 2 {}\n2 3 {'probability': np.float32(.5)}", None),
        ("0 1 {'colour': '#f00 # {'} # first\n1 2 {}\n2 3 {'probability': .5}\n", None),
        ("0 1 {}\n1 2 {'a': __import__('os')}\n", "has attributes .* that are no dictionary"),
        ("0 1 {}\n1 2 {'a': 1\n", "line 2 of the edge list has attributes"),
        ("0 1 {}\n1 2 {1, 2}\n", "that are no dictionary as networkx writes it"),
        ("0 1 {}\n1 2 {'probability': 4}\n", "line 2 of the edge list has '4' where a probability"),
        (f"0 1 {{}}\n1 2 {{'a': {'[' * 3000}1{']' * 3000}}}\n", "at most 4,000 are read"),
        (f"0 1 {{}}\n1 2 {{'a': {'-' * 3900}1}}\n", "that are no dictionary"),
    ],
)
def test_the_dictionaries_of_networkx_are_read_and_not_run(written, content, sentence):
    if sentence is not None:
        with pytest.raises(Fault, match=sentence):
            read(written(content))
        return
    found = chances(read(written(content)))
    assert found == {**dict.fromkeys([(0, 1), (1, 0), (1, 2), (2, 1)], 1), (2, 3): 0.5, (3, 2): 0.5}


def test_the_edge_lists_that_networkx_writes(tmp_path):
    graph = nx.karate_club_graph()
    nx.write_edgelist(graph, tmp_path / "karate.edgelist")
    nx.write_adjlist(graph, tmp_path / "karate.adjlist")
    for name in ("karate.edgelist", "karate.adjlist"):
        assert set(read(tmp_path / name).graph.edges) == set(nx.DiGraph(graph).edges)
    assert said(
        read(tmp_path / "karate.edgelist"), "the weights of its links are no mixing weights"
    )
    (tmp_path / "karate.adjlist").write_text("0 1\n,\n")
    with pytest.raises(Fault, match="line 2 of the adjacency list must be 'i' and its neighbors"):
        read(tmp_path / "karate.adjlist")


@pytest.mark.parametrize(
    ("content", "devices", "words"),
    [
        ("5\n0 1\n1 2\n", 5, "line 1 (5) is the number of devices"),
        ("4\n0 1\n1 0\n1 2\n2 1\n", 4, "each link is written in both directions"),
        ("4 4\n0 1\n1 2\n2 3\n3 0\n", 4, "line 1 (4 4) is a header: 4 devices and 4 lines"),
        ("5 3\n0 1\n1 2\n2 3\n", 5, "line 1 (5 3) is a header"),
        ("% sym unweighted\n% 4 4 4\n1 2\n2 3\n3 4\n4 1\n", 4, "links go both ways, and its 1 is"),
        ("# numbered from: 1\n1 2\n2 3\n3 4\n4 1\n", 4, None),
        ("0 1 # 4 4\n1 2\t% second\n2 3\n3 0\n", 4, None),
        ("0 1\n0 1\n1 2\n", 3, "a link is parallel to another (line 2 of the edge list)"),
        ("0 1\n1 2\n", 3, None),
        ("0 1 .5\n1 2 .5\n2 3 .5\n", 4, None),
        ("0 2\n1 2\n", 3, None),
        ("4 5\n5 0\n0 1\n1 2\n2 3\n3 4\n", 6, None),
        ("4 4\n0 1\n1 2\n2 3\n3 4\n", None, "links device 4 to itself"),
        (
            "5 4\n0 1\n1 2\n2 3\n3 4\n",
            None,
            r"line 1 \(5 4\) may be a header, .* write '# devices: 5' in its place or '# dev.*: 6'",
        ),
        ("4\n0 1\n1 2\n2 4\n", None, "'4' where a whole .*; numbers that begin at 1 need a line"),
        ("% bip unweighted\n1 2\n1 3\n2 1\n", None, "bipartite graph of KONECT"),
        ("0 1\n1 2 # directed\n2 0\n", None, r"line 2 has a header at its end \(# directed\)"),
        ("source,target\n0,1\n1,2\n", None, "'source,target', names columns and is no link"),
    ],
)
def test_headers_and_comments_of_others(written, content, devices, words):
    if devices is None:
        with pytest.raises(Fault, match=words):
            read(written(content))
        return
    topology = read(written(content))
    graph = topology.graph
    assert len(graph) == devices
    assert all(graph.has_edge(j, i) for i, j in graph.edges)
    assert said(topology, words) if words else not topology.notes


def test_a_directed_graph_of_snap_or_konect_goes_one_way(written):
    around = "0\t1\n1\t2\n2\t3\n3\t0\n"
    snap = "# Directed graph (each unordered pair of nodes is saved once): a.txt\n# Nodes: 4\n"
    topology = read(written(snap + around))
    assert set(topology.graph.edges) == {(0, 1), (1, 2), (2, 3), (3, 0)}
    assert said(topology, "links go one way, as line 1 (# Directed graph (each unordered")
    assert set(read(written("# Undirected graph: a.txt\n" + around)).graph.edges) == RING
    konect = read(written("% asym positive\n1 2\n2 3\n3 4\n4 1\n"))
    assert set(konect.graph.edges) == {(0, 1), (1, 2), (2, 3), (3, 0)}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1 2\n2 3\n3 1\n", "as device 0 has no link: do the numbers begin at 1"),
        (
            "0 1\n1 7\n",
            r"as 5 of 8 devices have no link \(2, 3, 4, ...\): do the numbers have gaps",
        ),
        ("# devices: 3\n0 1\n", "falls apart into 2 components"),
    ],
)
def test_numbers_that_begin_at_1_or_have_gaps_are_told(written, content, words):
    file = str(written(content))
    with pytest.raises(Fault, match=words):
        build(TopologySettings(file=file), 2)
    topology = build(TopologySettings(file=file, allow_disconnected=True), 2)
    assert said(topology, ": do the numbers") == ("# devices" not in content)


CITIES = ["Lyon", "Paris", "Ulm", "Bonn"]


def cities(kind):
    graph = nx.cycle_graph(4, create_using=kind)
    nx.set_edge_attributes(graph, 0.5, "probability")
    return nx.relabel_nodes(graph, dict(enumerate(CITIES)))


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph])
def test_names_become_numbers_in_file_order_in_every_notation(written, kind):
    graph = cities(kind)
    texts = {
        "a.gml": "\n".join(nx.generate_gml(graph)),
        "a.gexf": "\n".join(nx.generate_gexf(graph)),
        "a.graphml": "\n".join(nx.generate_graphml(graph)),
        "a.edges": "# directed\n" * graph.is_directed()
        + "".join(f"{a} {CITIES[i - 3]} {{'probability': 0.5}}\n" for i, a in enumerate(CITIES)),
        "a.json": node_link(graph, "edges"),
        "b.json": node_link(graph),
    }
    want = {(i, (i + 1) % 4) for i in range(4)} if graph.is_directed() else RING
    for name, content in texts.items():
        # Which notation it is, the text says as well.
        for file in (written(content, name), written(content, f"{name}.txt")):
            found = read(file)
            assert found.names == (*CITIES,), name
            assert chances(found) == dict.fromkeys(want, 0.5), name
            assert said(found, "device 0 is 'Lyon', 1 is 'Paris', 2 is 'Ulm' and so on")


def test_numbers_as_names_decide_the_order_and_labels_are_told_apart(written):
    graph = nx.path_graph([2, 0, 1])
    for text in ("\n".join(nx.generate_gml(graph)), "\n".join(nx.generate_gexf(graph))):
        found = read(written(text))
        assert set(found.graph.edges) == {(2, 0), (0, 2), (0, 1), (1, 0)}
        assert not found.names
    twice = 'graph [ node [ id 5 label "x" ] node [ id 3 label "x" ] edge [ source 3 target 5 ] ]'
    assert read(written(twice)).names == ("x #0", "x #1")
    igraph = graphml('<key id="l" for="node" attr.name="name"/>', ["n0", "n1"])
    assert not read(written(igraph)).names
    igraph = igraph.replace('"n0"/>', '"n0"><data key="l">Ulm</data></node>')
    assert read(written(igraph)).names == ("Ulm", "n1")


def test_names_are_kept_by_a_graph_for_each_round_and_by_a_plan(written):
    file = written("# round: 0\na b\n# round: 1\nb c\n", "a.edges")
    topology = build(TopologySettings(file=str(file)), 2, 4)
    assert topology.names == ("a", "b", "c")
    assert topology.graph.number_of_edges() == 4
    with pytest.raises(Fault, match="has '3', and nodes before it have names"):
        read(written("a b\nb 3\n"))
    with pytest.raises(Fault, match="has one more name, 'c', than there may be devices, 2"):
        read(written("# devices: 2\na b\nb c\n"))


PAJEK = """% comment
*Network test
*Vertices 4
1 "Lyon" 0.1 0.2
2 "the same"
3 "the same"
*Arcs
1 2 1
*Edges :1 "other"
2 3 1
3 4 1
*Arcslist
4 1 2
"""


def test_pajek_has_arcs_and_edges_and_vertices_of_one_label(written):
    topology = read(written(PAJEK, "a.net"))
    assert set(topology.graph.edges) == {(0, 1), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (3, 1)}
    assert topology.names == ("Lyon", "the same #1", "the same #2", "4")
    matrix = read(written("*Vertices 3\n*Matrix\n0 1 0\n0 0 1\n1 0 0\n"))
    assert set(matrix.graph.edges) == {(0, 1), (1, 2), (2, 0)}
    for content, words in (
        ("*Vertices 2\n*Edges\n1 3\n", "line 3 has '3' where a whole number from 1 to 2"),
        ("*Vertices x\n", "line 1 has 'x' where a whole number"),
        ("*Edges\n1 2\n", "begins links before '[*]Vertices'"),
        ("*Vertices 2\n*Edges\n1\n", "line 3 must be two vertices"),
        ("*Vertices 2\n*Partition a\n1\n", "line 2 begins '[*]Partition', which is not read"),
    ):
        with pytest.raises(Fault, match=words):
            read(written(content))


@pytest.mark.parametrize("name", ["a.mtx", "a.npy", "csr.npz", "csc.npz", "coo.npz"])
def test_in_matrices_of_scipy_rows_send_to_columns(tmp_path, name):
    matrix = np.array([[0, 1, 0], [0, 0, 0.5], [1, 0, 0]])
    file = tmp_path / name

    def write(values):
        if name == "a.mtx":
            scipy.io.mmwrite(file, scipy.sparse.coo_array(values))
        elif name == "a.npy":
            np.save(file, values)
        else:
            scipy.sparse.save_npz(file, scipy.sparse.coo_array(values).asformat(name[:3]))

    write(matrix)
    topology = read(file)
    assert chances(topology) == {(0, 1): 1.0, (1, 2): 0.5, (2, 0): 1.0}
    assert said(topology, "A[i, j] is a link from i to j, by which j hears i, and 3 of 3 links")
    write(((matrix + matrix.T) > 0).astype(np.int8))
    assert not read(file).notes
    for wrong, words in (
        (np.eye(3), r"(row 0, column 0|line \d) .*links device 0 to itself"),
        (2 * matrix, r"(row \d, column \d|line \d) .*has '2.*' where a probability"),
        (matrix[:2], "has the shape 2 x 3; an adjacency matrix is square"),
        (
            1j * matrix,
            r"is a matrix of complex128, not of prob|complex general', is not of the form",
        ),
    ):
        write(wrong)
        with pytest.raises(Fault, match=words):
            read(file)
    write(matrix)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(Fault, match=r"is not valid|line \d must be 'i j'"):
        read(file)


def test_matrices_are_read_without_pickle_and_within_bounds(tmp_path, written, monkeypatch):
    np.save(tmp_path / "a.npy", np.array([[None]], object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", np.eye(2))
    for file, words in (
        (tmp_path / "a.npy", r"is not valid .npy: .*Python objects in dtype\.$"),
        (tmp_path / "a.npz", "holds neither a sparse matrix of scipy"),
        (
            written("%%MatrixMarket matrix array real general\n90000 90000\n0\n", "a.mtx"),
            "its end comes where the entry of row 2, column 1 is needed",
        ),
        (
            written(
                "%%MatrixMarket matrix coordinate pattern general\n200000 200000 1\n1 1\n", "b.mtx"
            ),
            "has 200,000 devices; at most 100,000",
        ),
        (
            written("%%MatrixMarket nonsense\n", "c.mtx"),
            "line 1, '%%MatrixMarket nonsense', is not of the form",
        ),
    ):
        with pytest.raises(Fault, match=words):
            read(file)
    market = "%%MatrixMarket matrix array integer symmetric\n3 3\n0\n1\n0\n0\n1\n0\n"
    assert chances(read(written(market))) == dict.fromkeys([(0, 1), (1, 0), (1, 2), (2, 1)], 1.0)
    market = "%%MatrixMarket matrix coordinate pattern symmetric\n% by hand\n3 3 2\n2 1\n3 2\n"
    assert set(read(written(market)).graph.edges) == {(0, 1), (1, 0), (1, 2), (2, 1)}
    outside = scipy.sparse.csr_array(np.eye(3)[::-1])
    outside.indices[1] = 2**30
    for form in ("dia", "bsr"):
        scipy.sparse.save_npz(tmp_path / "c.npz", scipy.sparse.eye_array(3, format=form))
        with pytest.raises(Fault, match=f"of the form '{form}', which is not read; 'csr' "):
            read(tmp_path / "c.npz")
    scipy.sparse.save_npz(tmp_path / "b.npz", outside)
    with pytest.raises(Fault, match=r"is not valid .npz: "):
        read(tmp_path / "b.npz")
    csr = {"format": b"csr", "shape": [3, 3], "data": np.ones(1), "indices": [1]}
    np.savez(tmp_path / "d.npz", **csr, indptr=[0, 2**40, 2**40, 2**40])
    with pytest.raises(Fault, match=r"is not valid .npz: its indptr does not fit"):
        read(tmp_path / "d.npz")
    monkeypatch.setattr("mpidl.components.graphs.files.matrices.BYTES", 10)
    with pytest.raises(Fault, match="bytes when it is unpacked; at most 10 are read"):
        read(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("content", "name", "called"),
    [
        (gzip.compress(b"0 1\n"), "a.edges.gz", "a file packed by gzip"),
        (pickle.dumps({}), "a.gpickle", "a pickle of Python"),
        (b"\x89HDF\r\n\x1a\n", "a.h5", "an HDF5 file"),
        (b"MATLAB 5.0 MAT-file, Platform", "a.mat", "a MATLAB file"),
        ("graph {\n a -- b\n}\n", "a.txt", "DOT of Graphviz"),
        ("// x\nstrict digraph G {\n a -> b\n}\n", "a.dot", "DOT of Graphviz"),
        (">>graph6<<A_\n", "a.txt", "graph6"),
        ("A_\n", "a.g6", "graph6"),
        ("c a\np edge 2 1\ne 1 2\n", "a.col", "DIMACS"),
        ("DL n = 3\nformat = edgelist1\n", "a.txt", "UCINET's DL"),
        ("nodedef>name VARCHAR\na\n", "a.gdf", "GDF"),
    ],
)
def test_a_format_that_is_not_read_is_called_by_its_name(written, content, name, called):
    with pytest.raises(Fault, match=f"is {called}, which is not read. Read are .*, GraphML, GEXF"):
        read(written(content, name))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("graph [ node [ id 0 ] node [ id 0 ] ]", "is not valid GML: node id 0 is duplicated"),
        ("graph [ node [ id 0 ]", "is not valid GML: expected"),
        (f"graph [ {'a [ ' * 5000}", "is not valid GML: "),
        ('{"nodes": [{"id": 0}]', "is not valid JSON: Expecting"),
        ("[" * 100_000, "is not valid JSON: "),
        ('{"elements": {"nodes": []}}', "is JSON, but not node-link JSON"),
        ('{"nodes": [{"id": 0}, {"id": 0}], "links": []}', "has two nodes with the id 0"),
        ('{"nodes": [{"id": {}}], "links": []}', "has {} where the id of a node is needed"),
        ('{"nodes": [{}, {}], "links": [{"source": 0, "target": 2}]}', "end that is no node, 2"),
        ("<gexf><graph><nodes><node id='a'><nodes/></node></nodes></graph></gexf>", "nodes of its"),
        (",\n0 1\n1 2\n", "line 2 has 2 entries where the first has 0"),
        ("# devices: 3\n,\n0 1\n", "line 2 of the edge list must be 'i j'"),
        ("a b c d\n1 2\n", "line 2 has 2 entries where the first has 4; .* Read are adjacency"),
    ],
)
def test_a_damaged_notation_is_one_sentence(written, content, words):
    with pytest.raises(Fault, match=words) as fault:
        read(written(content))
    assert len(fault.value.sentences) == 1


def test_gexf_has_defaults_directions_and_times(written):
    attributes = (
        '<attributes class="edge"><attribute id="0" title="probability" type="double">'
        "<default>0.5</default></attribute></attributes>"
    )
    edges = (
        '<edge source="a" target="b" type="directed"/><edge source="b" target="c" type="mutual">'
        '<attvalues><attvalue for="0" value="1.0"/></attvalues></edge>'
        '<edge source="c" target="a" weight="3"/>'
    )
    nodes = '<nodes><node id="a"/><node id="b"/><node id="c"/></nodes>'
    gexf = f'<gexf xmlns="http://www.gexf.net/1.2draft"><graph mode="dynamic">{attributes}{nodes}'
    topology = read(written(f"{gexf}<edges>{edges}</edges></graph></gexf>"))
    half = dict.fromkeys([(0, 1), (2, 0), (0, 2)], 0.5)
    assert chances(topology) == {**half, (1, 2): 1.0, (2, 1): 1.0}
    assert said(topology, "it is dynamic: all its edges are read")
