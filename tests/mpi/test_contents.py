"""What a run says of the content of its graph and its data, and what it refuses."""

from dataclasses import replace

import h5py
import networkx as nx
import pytest

import mpidl
from mpidl.components import graphs
from mpidl.components.datasets import DATASETS, fingerprint
from mpidl.config.faults import Fault
from mpidl.devices import data, loading
from mpidl.plan import sentences
from mpidl.ranks import world
from mpidl.run import resuming
from mpidl.storage import schema

pytestmark = pytest.mark.dealt


@pytest.fixture
def other(monkeypatch):
    """The digits of the program are none that anybody published."""
    told = DATASETS.properties("digits").model_copy(update={"published": frozenset({"0" * 64})})
    monkeypatch.setitem(DATASETS._declared, DATASETS["digits"], told)


def test_results_tell_graph_and_data(comm, parts):
    with parts("topology.link_probability=0.5") as made:
        if comm.rank == 0:
            with h5py.File(made.path, "r") as file:
                told = dict(file.attrs)
            edges = sorted(made.plan.graph.edges)
            assert told[schema.GRAPH_DIGEST] == graphs.digest_of(made.plan.devices, edges)
            assert {told[schema.DATA_DIGEST]} == DATASETS.properties("digits").published
            assert told[schema.DATA_PUBLISHED] == "yes"


def test_results_tell_the_names_of_nodes(comm, parts, shared_path):
    names = [f"città {device}" for device in range(comm.size + 2)]
    graph = nx.relabel_nodes(nx.path_graph(len(names)), dict(enumerate(names)))
    if comm.rank == 0:
        nx.write_gexf(graph, shared_path / "named.gexf")
    comm.barrier()
    with parts(f"topology.file={shared_path / 'named.gexf'}") as made:
        said = " ".join(sentences.named(made.plan, [0, 1]).split())
        if comm.rank == 0:
            found = mpidl.open(made.path)
    assert said == "devices 0 (città 0), 1 (città 1)"
    if comm.rank == 0:
        assert found["name"].to_numpy().tolist() == names
        assert found["name"].dims == ("device",)
        assert mpidl.open(made.path)["edges"].sizes["edge"] == 2 * (len(names) - 1)


def test_nothing_is_resumed_on_a_graph_whose_file_has_changed(comm, planned, program, shared_path):
    graph = shared_path / "graph.edges"

    def written(shape):
        links = nx.to_edgelist(shape(comm.size + 2))
        if comm.rank == 0:
            graph.write_text("".join(f"{i} {j}\n" for i, j, _ in links))
        comm.Barrier()
        return planned(f"topology.file={graph}")

    chain, path = written(nx.path_graph), shared_path / "run.h5"
    program(f"topology.file={graph}")
    # The star has as many devices and links.
    star = written(lambda devices: nx.star_graph(devices - 1))
    assert resuming.finished(comm, chain, path, "")
    with pytest.raises(Fault, match=r"run\.h5 holds a completed run on another graph: topology"):
        resuming.finished(comm, star, path, "")


def test_subsets_do_not_change_the_digest(comm, planned):
    both = [data.provide(comm, planned(f"data.train_samples={n}")) for n in (60, 80)]
    digests = {run_data.traits.content.digest for run_data in both}
    for run_data in both:
        run_data.close()
    assert digests == DATASETS.properties("digits").published


def test_data_are_hashed_once_on_a_node(comm, planned, monkeypatch):
    calls = []
    real = fingerprint.digest_of
    monkeypatch.setattr(fingerprint, "digest_of", lambda data: (calls.append(1), real(data))[1])
    data.provide(comm, planned()).close()
    node = world.node(comm)
    assert len(calls) == (node.rank == 0)
    node.Free()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_check_says_that_data_are_not_the_published_ones(comm, planned, checked, other, as_json):
    found = checked(planned(), as_json)
    if comm.rank == 0 and as_json:
        assert found["data"]["published"] == "no"
    elif comm.rank == 0:
        assert "the data are not the published 'digits' (SHA-256 " in found


def test_a_run_says_that_data_are_not_the_published_ones(comm, program, other, capsys):
    program()
    said = " ".join(capsys.readouterr().out.split())
    assert ("the data are not the published 'digits' (SHA-256 " in said) == (comm.rank == 0)


def test_published_data_are_not_spoken_of(comm, planned, checked):
    found = checked(planned(), False)
    assert comm.rank != 0 or "published" not in found


def test_data_that_differ_between_nodes_are_refused(comm, planned, monkeypatch):
    load = loading.load

    def changed(*given):
        traits, *arrays = load(*given)
        content = fingerprint.Content(f"{comm.rank}")
        return (replace(traits, content=content), *arrays)

    monkeypatch.setattr(loading, "load", changed)
    monkeypatch.setattr(world, "node", lambda comm: comm.Split(comm.rank))
    made = planned()
    if comm.size == 1:
        return data.provide(comm, made).close()
    with pytest.raises(Fault, match=r"holds other data of 'digits' on .* than on"):
        data.provide(comm, made)
    return None
