"""Weights of W that links carry: read from files, taken from graphs and matrices, and checked."""

import io
import re

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from mpidl import plan
from mpidl.components import graphs
from mpidl.components.graphs import digest, digest_of, from_matrix, from_networkx, read
from mpidl.config import runfile
from mpidl.config.faults import Fault
from mpidl.run import opening
from tests.components.graphs.notations import node_link

W = np.array([[0.5, 0.5, 0, 0], [0.25, 0.5, 0.25, 0], [0, 0.125, 0.5, 0.375], [0.25, 0, 0.25, 0.5]])
"""Row-stochastic; the link from 0 to 3 goes one way."""

LINKS = {(j, i): W[i, j] for i in range(4) for j in range(4) if i != j and W[i, j]}

EXAMPLE = r"by that from (.) to (.), W\[(.), (.)\] is (\S+)"


def listed(own=True):
    graph = nx.DiGraph()
    graph.add_nodes_from(range(4))
    for i, j in zip(*np.nonzero(W), strict=True):
        if own or i != j:
            graph.add_edge(int(j), int(i), weight=float(W[i, j]))
    return graph


def binary(write, *arguments, **named):
    target = io.BytesIO()
    write(target, *arguments, **named)
    return target.getvalue()


def rows(between=" "):
    return "\n".join(between.join(map(repr, row)) for row in W.tolist())


FORMS = {
    "graphml": lambda: "\n".join(nx.generate_graphml(listed())),
    "gexf": lambda: "\n".join(nx.generate_gexf(listed(own=False))),
    "gml": lambda: "\n".join(nx.generate_gml(listed())),
    "numpy.gml": lambda: "\n".join(nx.generate_gml(listed())).replace("0.5", "NP.FLOAT64(0.5)"),
    "json": lambda: node_link(listed()),
    "net": lambda: "\n".join(nx.generate_pajek(listed())),
    "edgelist": lambda: "# directed\n" + "\n".join(nx.generate_edgelist(listed())),
    "edges": lambda: (
        "# directed\n# columns: source,target,weight\n"
        + "\n".join(f"{i} {j} {w}" for (i, j), w in LINKS.items())
    ),
    "chance.edges": lambda: (
        "# directed\n# columns: i j weight probability\n0 0 .5 1\n"
        + "\n".join(f"{i} {j} {w} 1" for (i, j), w in LINKS.items())
    ),
    "txt": lambda: f"# matrix: W\n{rows()}\n",
    "csv": lambda: f"# matrix: W of the paper\n{rows(', ')}\n",
    "npz": lambda: binary(np.savez, W=W),
    "mtx": lambda: binary(scipy.io.mmwrite, scipy.sparse.coo_array(W), comment="matrix: W"),
    "dense.mtx": lambda: binary(scipy.io.mmwrite, W, comment="matrix: W"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_carries_the_same_weights(written, form):
    found = read(written(FORMS[form](), f"w.{form}"))
    assert found.weighted
    assert nx.get_edge_attributes(found.graph, "weight") == LINKS
    assert set(nx.get_edge_attributes(found.graph, "probability").values()) == {1.0}
    assert digest(found) == digest(from_matrix(W)) == digest(from_networkx(listed()))
    assert found.amiss[0] == ""
    (i, j, row, column, weight), *_ = re.findall(EXAMPLE, " ".join(found.notes))
    assert (row, column, float(weight)) == (j, i, LINKS[int(i), int(j)])


def made(file, *more):
    settings = [f"topology.file={file}", "strategy.name=given", *more]
    return plan.make(runfile.read(runfile.DEFAULT.read_text(), settings, plan.KINDS), 1)


def test_rows_of_the_plan_and_of_the_results_are_those_of_the_file(written):
    found = made(written(f"# matrix: W\n{rows()}\n"))
    np.testing.assert_allclose(found.matrix(), W, rtol=0, atol=1e-15)
    stored = opening.graph_arrays(found)
    np.testing.assert_array_equal(stored["weight"], [LINKS[i, j] for i, j in stored["edges"]])
    other = made(written(f"# matrix: W\n{rows()}\n"), "strategy.name=unweighted")
    assert digest(other.topology) == digest(found.topology)


def test_columns_are_for_senders_that_share_out(written):
    file = written("# matrix: W\n" + "\n".join(" ".join(map(str, row)) for row in W.T.tolist()))
    found = made(file, "algorithm.name=push_sum")
    np.testing.assert_allclose(found.matrix(), W.T, rtol=0, atol=1e-15)
    with pytest.raises(
        Fault, match=r"'given': in row 1 of W, .* sum to 1.125: .* only its columns sum"
    ):
        made(file)
    rows_only = written(f"# matrix: W\n{rows()}\n")
    with pytest.raises(
        Fault, match=r"^strategy.name = 'given': in column 1 of W, .* only its rows"
    ):
        made(rows_only, "algorithm.name=push_sum")


def test_negative_weights_mix_where_numbers_do_not_grow(written):
    fastest = np.array([[0.6, 0.5, -0.1], [0.5, 0.0, 0.5], [-0.1, 0.5, 0.6]])
    file = written("# matrix: W\n.6 .5 -.1\n.5 0 .5\n-.1 .5 .6\n")
    found = made(file)
    np.testing.assert_allclose(found.matrix(), fastest, rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.influence(fastest), 1 / 3)
    with pytest.raises(Fault, match=r"has the weight -0.1: must not be negative where senders"):
        made(file, "algorithm.name=push_sum")


def test_a_device_has_the_weights_of_links_that_fail(written):
    file = written(f"# matrix: W\n{rows()}\n")
    found = made(file, "topology.link_probability=0.5", "training.participation=0.75")
    matrices = [found.matrix(round_) for round_ in range(20)]
    off = ~np.eye(4, dtype=bool)
    for matrix in matrices:
        np.testing.assert_allclose(matrix.sum(axis=1), 1)
        assert np.isin(matrix[off], [0, *W[off]]).all()
    assert len({matrix.tobytes() for matrix in matrices}) > 5


@pytest.mark.parametrize(
    ("content", "weights"),
    [
        ("# columns: i j weight\n0 1 .25\n1 2 .5\n", {(0, 1): 0.25, (1, 2): 0.5}),
        ("# columns: i j weight\n# directed\n0 1 1\n1 0 .5\n0 0 0\n", {(0, 1): 1, (1, 0): 0.5}),
        ("# columns: i j weight\n0 1 .25\n1 0 .75\n", {(0, 1): 0.25, (1, 0): 0.75}),
        ("# columns: i j weight\na b .25\nb b .75\n", {(0, 1): 0.25, (1, 0): 0.25}),
        ("# columns: i j weight\n0 1 .3333333\n1 1 .6666666\n", {(0, 1): 0.3333333}),
        ("0 1 .25\n", {}),
        ("# columns: i j probability\n0 1 .25\n", {}),
        ("# Columns: from to\n0 1\n", {}),
    ],
)
def test_a_third_column_is_a_weight_where_a_line_says_so(written, content, weights):
    found = read(written(content))
    given = nx.get_edge_attributes(found.graph, "weight")
    assert {link: given[link] for link in weights} == weights
    assert bool(given) == bool(weights)
    if not weights and "\n0 1\n" not in content:
        assert set(nx.get_edge_attributes(found.graph, "probability").values()) == {0.25}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("# columns: i j weigth\n0 1 1\n", r"line 1 \(# columns: i j weigth\) must be '# columns"),
        ("# columns: j i weight\n0 1 1\n", "must be '# columns: i j' and any of"),
        ("# columns: i j weight weight\n0 1 1 1\n", "must be '# columns: i j' and any of"),
        ("# columns: i j weight\n0 1\n", "line 2 of the edge list must be 'i j weight'"),
        ("# columns: i j weight\n0 1 {'weight': 1}\n", "where a weight, a number, is needed"),
        ("# columns: i j weight\n0 1 nan\n", "has 'nan' where a weight, a number, is needed"),
        ("# columns: i j probability weight\n0 0 .5 1\n", "to itself with probability 0.5; leave"),
        ("# columns: i j weight\n0 1 1\n0 0 .5\n0 0 1\n", "the weight 1.0, and an earlier one 0.5"),
        ("# matrix: W\n# directed\n1\n", "has a line '# matrix: W', with which lines on devices"),
        ("# matrix: W\n.5 .5\n1\n", "line 3 has 1 entries; a mixing matrix of 2 rows has 2"),
        ("# matrix: W\n.5 .5\n.5 x\n", "line 3, column 2 has 'x' where a weight"),
        (
            "# matrix: W\n1.5 -.5\n-.5 1.5\n",
            r"-0.5, and W an eigenvalue of modulus 2: must be at most",
        ),
        (
            "# matrix: W\n.5 .4\n.5 .5\n",
            "is no W that mixes: in row 0 of W, .* sum to 0.9: must be",
        ),
        (binary(np.savez, W=np.ones((2, 3))), "has the shape 2 x 3"),
        (binary(np.savez, V=W), "holds neither a sparse matrix of scipy .* nor a mixing matrix"),
        (binary(np.save, W), r"links device 0 to itself; .* numpy.savez\(file, W=W\)"),
    ],
)
def test_what_is_no_weight_is_refused(written, content, sentence):
    with pytest.raises(Fault, match=sentence):
        read(written(content))
    named = written(content, "w.adjlist")
    if isinstance(content, str) and content.startswith("# columns: i j weight\n"):
        with pytest.raises(Fault, match="is an adjacency list, as its name says"):
            read(named)


@pytest.mark.parametrize(
    ("links", "sentence"),
    [
        (
            "0 1 .7\n1 2 .5\n",
            "in row 1 of W, .* device 1 counts others sum to 1.2: must be at most",
        ),
        ("0 1 .5\n1 2 .5\n1 1 .1\n", "counts others and itself sum to 1.1: must be 1"),
        (
            "0 1 .5\n1 2 -.1\n",
            "the weight -0.1, and W an eigenvalue of modulus 1.15678: must be at",
        ),
        ("0 1 .5\n1 2 .2\n0 0 -1\n", "device 0 counts others and itself sum to -0.5: must be 1"),
    ],
)
def test_weights_that_make_no_w_are_left_out(written, links, sentence):
    file = written(f"# columns: i j weight\n{links}")
    found = read(file)
    assert not found.weighted
    assert digest(found) == digest_of(3, sorted(found.graph.edges))
    assert "weight" not in opening.graph_arrays(made(file, "strategy.name=degree"))
    with pytest.raises(Fault, match=f"^strategy.name = 'given': .*{sentence}") as fault:
        made(file)
    assert len(fault.value.sentences) == 1


def test_a_link_without_a_weight_is_named(written):
    for content, told in (
        ("0 1 {'weight': .5}\n1 2 {}", "no weight"),
        ("0 1 {'weight': 'x'}", "'x'"),
    ):
        with pytest.raises(Fault, match=rf"the link from . to . has .*{told}: must be a number"):
            made(written(content, "w.edgelist"))
    with pytest.raises(Fault, match="this one has none; 'base_k' and 'matcha' have weights, and a"):
        made(written("0 1\n"))


def test_the_weights_of_other_graphs_change_nothing(written):
    graph = nx.karate_club_graph()
    found = read(written("\n".join(nx.generate_graphml(graph))))
    assert digest(found) == digest_of(34, sorted(found.graph.edges))
    assert "no mixing weights (in row 0 of W, " in " ".join(found.notes)


def test_rounds_of_a_file_have_weights(written):
    file = written(
        "# columns: i j probability weight\n# round: 0\n0 1 .5 .7\n# round: 2\n1 2 1 .4\n1 1 1 .6\n"
    )
    found = made(file)
    rows = [[1, 0, 0], [0, 0.6, 0.4], [0, 0.4, 0.6]]
    np.testing.assert_allclose(found.matrix(2), rows)
    assert {found.matrix(round_)[0, 1] for round_ in (0, 1, 3, 4, 6, 7)} == {0, 0.7}
    assert "weight" not in opening.graph_arrays(found)
    plain = read(written("# columns: i j probability\n# round: 0\n0 1 .5\n# round: 2\n1 2 1\n"))
    assert digest(plain) != digest(found.topology)
    wrong = written(
        "# columns: i j weight\n# round: 0\n0 1 .5\n# round: 2\n1 2 1\n1 1 1\n", "2.txt"
    )
    assert not read(wrong).weighted
    with pytest.raises(Fault, match="'given': from round 2 on, in row 1 of W"):
        made(wrong)


def test_graphs_and_matrices_of_a_program():
    found = from_networkx(nx.relabel_nodes(listed(), dict(enumerate("abcd"))))
    assert found.names == tuple("abcd")
    assert nx.get_edge_attributes(found.graph, "weight") == LINKS
    half = from_networkx(nx.path_graph(3), 0.5)
    assert set(nx.get_edge_attributes(half.graph, "probability").values()) == {0.5}
    assert not half.weighted
    assert not from_networkx(nx.Graph([(0, 1, {"weight": None})])).weighted
    assert from_matrix([[1.0]]).weighted
    assert graphs.symmetric(from_matrix(np.full((3, 3), 1 / 3, np.float32)).graph)


@pytest.mark.parametrize(
    ("make", "given", "sentence"),
    [
        (from_networkx, None, "is a NoneType, must be a Graph or DiGraph"),
        (from_networkx, nx.MultiGraph([(0, 1)]), "is a MultiGraph, must be"),
        (from_networkx, nx.Graph(), "has 0 nodes and 0 links; must have"),
        (from_networkx, nx.Graph([(0, 0)]), "links device 0 to itself without a weight"),
        (from_networkx, nx.Graph([(0, 1, {"probability": 2})]), "has the probability 2; must be"),
        (from_matrix, None, "is a matrix of|has the shape"),
        (from_matrix, [[1, 0], [1]], "is no matrix of numbers"),
        (from_matrix, np.eye(2) * 1j, "is a matrix of complex128, must be one of real numbers"),
        (from_matrix, np.ones((2, 3)), r"has the shape \(2, 3\); a mixing matrix is square"),
        (from_matrix, np.full((2, 2), np.nan), r"W\[0, 0\] is nan: must be a number"),
        (from_matrix, np.eye(2) / 2, "in row 0 of W, .* sum to 0.5: must be 1"),
    ],
)
def test_what_is_none_is_refused(make, given, sentence):
    with pytest.raises(Fault, match=f"^topology: .*(?:{sentence})"):
        make(given)
