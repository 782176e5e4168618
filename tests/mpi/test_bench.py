"""The bench on the ranks of the test: every part, its table, its JSON and its faults."""

import json

import numpy as np
import pytest
import torch

from mpidl.bench import __main__ as bench
from mpidl.bench import begin, clock, exchange, kernel, loop, plain, saving
from mpidl.exchange import kernels
from mpidl.ranks.node import Node

pytestmark = pytest.mark.dealt


def test_every_way_is_timed_for_every_size(comm):
    found = exchange.measure(comm, [0.001, 0.05], repetitions=2)
    told = "\n".join(exchange.lines(found))
    names = set(plain.WAYS) | {"mpidl shared", "mpidl mpi"}
    for size in (0.001, 0.05):
        rows = {row["way"]: row for row in found if row["megabytes"] == size}
        assert names <= set(rows)
        for name, row in rows.items():
            assert row["count"] == exchange.PASSES * 2
            assert 0 < row["least"] <= row["lower"] <= row["median"] <= row["upper"]
            limit = rows["copy limit"]["median"]
            assert row["of_copy_limit"] == pytest.approx(row["median"] / limit)
            assert name in told


@pytest.mark.parametrize("name", [*plain.WAYS, "shared", "mpi"])
def test_every_way_does_the_same_sums(comm, name):
    """Except the copy, which only copies: the vector of rank r starts as r + 1."""
    graph = exchange.topology(comm.size)
    node = Node(comm)
    way = (plain.WAYS.get(name) or plain.backend(name))(node, graph, 7, clock.CPU)
    way.turn()
    members = [comm.rank, *graph.predecessors(comm.rank)]
    mean = np.mean([member + 1 for member in members])
    want = comm.rank + 1 if name == "copy limit" else mean
    np.testing.assert_allclose(way.vector(), np.full(7, want), rtol=1e-6)
    way.close()
    node.close()


def test_every_kernel_is_timed(comm):
    found = kernel.measure(comm, [0.01], repetitions=1)
    names = {row["kernel"] for row in found}
    assert {"copy", "torch by blocks", "BLAS by blocks", "numpy row by row"} <= names
    assert ("native bfloat16" in names) == (kernels.NAME == "native")
    assert all(row["median"] > 0 for row in found)
    assert len(kernel.lines(found)) == len(found) + 2


def test_every_way_to_save_is_timed(comm, shared_path):
    found = saving.measure(comm, [0.01], 2, shared_path)
    assert (len(found), found[0]["way"], found[0]["of_plain"]) == (3, saving.PLAIN, 1)
    assert all(row["count"] == 2 and row["median"] > 0 for row in found)
    assert len(saving.lines(found)) == 4
    comm.Barrier()
    assert not list(shared_path.iterdir())


@pytest.mark.parametrize("there", [False, True])
def test_every_kernel_gives_the_same_mixture(comm, monkeypatch, there):
    """The ways of accelerators too, which work on any memory."""
    if there:
        monkeypatch.setattr(kernel, "_on_host", kernel._on_accelerator)
    if comm.rank == 0:
        graph = exchange.topology(kernel.VECTORS)
        found = kernel.candidates(0.01)
        assert ("matrix product" in found) == there
        for name, one in found.items():
            one.mix()
            x, out = one.x, one.out
            if name == "copy":
                continue
            for i in range(kernel.VECTORS):
                members = [i, *graph.predecessors(i)]
                want = x[members].double().mean(0)
                tolerance = 0.02 if "16" in name else 1e-6
                np.testing.assert_allclose(out[i].double(), want, rtol=tolerance, atol=tolerance)
    comm.Barrier()


def test_a_round_is_timed_on_all_ranks_and_in_one(comm):
    found = loop.measure(comm, repetitions=3)
    assert found["round"]["count"] == found["one_process"]["count"] == 4
    assert found["ranks"] == comm.size
    ideal = found["work"] / found["cores"]
    assert ideal > 0
    assert found["overhead"] == pytest.approx(found["round"]["median"] - ideal)
    assert len(loop.lines(found)) == 4


def test_the_start_tells_memory_cores_and_links(comm):
    import time

    found = begin.measure(comm, time.time(), megabytes=0.01)
    assert found["seconds"] > 0
    assert len(found["private_megabytes"]) == len(found["binding"]) == comm.size
    assert min(found["private_megabytes"]) > 0
    assert ("between two ranks of a node" in found["links"]) == (comm.size > 1)
    if comm.rank == 0:
        assert all(seconds > 0 for seconds in found["graphs"].values())
        assert "ranks on" in "\n".join(begin.lines(found))


def test_seconds_of_repetitions(comm):
    node = Node(comm)
    calls = []
    seconds = clock.rounds(node, lambda: calls.append(1), repetitions=5, warm=2)
    assert len(calls) == 7
    assert len(seconds) == 5
    assert len(set(comm.allgather(tuple(seconds)))) == 1
    node.close()
    times = clock.Times.of([4.0, 1.0, 2.0, 3.0, 5.0])
    assert times.plain() == {"median": 3.0, "least": 1.0, "lower": 2.0, "upper": 4.0, "count": 5}
    assert times.text() == "3000 [2000, 4000]"


def test_an_accelerator_is_done_whenever_a_clock_is_read(comm, monkeypatch):
    node, told = Node(comm), []
    monkeypatch.setattr(clock, "settle", lambda hardware: told.append(hardware))
    monkeypatch.setattr(clock.time, "monotonic", lambda: told.append("clock") or 0.0)
    one = torch.device("cuda", 3)
    clock.rounds(node, lambda: told.append("work"), repetitions=2, warm=0, hardware=one)
    assert told == 2 * [one, "clock", "work", one, "clock"]
    node.close()


def test_tables_name_the_memory_only_of_accelerators():
    times = clock.Times.of([0.001]).plain()
    of = {**times, "told": "1", "megabytes": 1.0, "kernel": "copy", "of_copy": 1.0}
    assert kernel.lines([of])[0].startswith("mix, 16 vectors by BA(16, 2)")
    assert kernel.lines([{**of, "memory": "cuda"}])[0].startswith("mix, 16 vectors in cuda memory")
    turn = {"round": times, "one_process": times, "work": 0.002, "overhead": 0.001, "cores": 2}
    here, there = (
        "\n".join(loop.lines({"ranks": 4, **turn, **a})) for a in ({}, {"accelerator": "xpu"})
    )
    assert "cores' time" in here
    assert "8 samples: ms" in here
    assert "the slowest rank's time" in there
    assert "8 samples on xpu: ms" in there


def test_the_command_prints_json_on_one_rank(comm, capsys):
    arguments = ["exchange", "start", "--megabytes", "0.001", "--repetitions", "1", "--json"]
    assert bench.main(arguments) == 0
    printed = capsys.readouterr().out
    if comm.rank == 0:
        found = json.loads(printed)
        assert set(found) == {"machine", "start", "exchange"}
        assert found["machine"]["ranks"] == comm.size
    else:
        assert printed == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["exchnage"],
            "Unknown part 'exchnage'; known: start, mix, exchange, round, checkpoint and all.",
        ),
        (["mix", "--megabytes", "-1"], "--megabytes -1: must be above 0 and at most 1,000,000."),
        (["mix", "--megabytes", "nan"], "--megabytes nan: must be above 0"),
        (["mix", "--repetitions", "0"], "--repetitions 0: must be from 1 to 1,000,000."),
        (
            ["mix", "--accelerator", "tpu"],
            "--accelerator 'tpu': must be one of auto, cpu, cuda, xpu.",
        ),
        (["--fast"], "see python -m mpidl.bench --help."),
    ],
)
def test_a_wrong_word_is_told_in_one_sentence(comm, capsys, arguments, sentence):
    with pytest.raises(SystemExit) as ended:
        bench.main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert (sentence in told) == (comm.rank == 0)
    assert len(told.splitlines()) == (comm.rank == 0)
