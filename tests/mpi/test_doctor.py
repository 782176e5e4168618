"""The doctor on all ranks."""

import json

from mpi4py import MPI

import pytest
import torch

from mpidl.doctor.__main__ import main, on_ranks

WORLD = MPI.COMM_WORLD


def test_rank_0_tells_of_the_node_and_all_end_alike(capfd):
    code = on_ranks(as_json=True)
    assert WORLD.allgather(code) == [code] * WORLD.size
    out = capfd.readouterr().out
    if WORLD.rank > 0:
        assert out == ""
        return
    [findings] = json.loads(out)["nodes"].values()
    found = {one["part"]: one for one in findings}
    assert found["torch"]["found"].startswith(torch.__version__)
    assert found["accelerators"]["wrong"] == []
    assert found["ranks"]["found"].startswith(f"{WORLD.size} here on ")
    assert any(one["wrong"] for one in findings) == bool(code)


@pytest.mark.parametrize("word", ["--help", "--version", "--jsno"])
def test_one_rank_alone_tells_of_its_options(capfd, word):
    code, told = main([word]), capfd.readouterr()
    assert code == (2 if word == "--jsno" and WORLD.rank == 0 else 0)
    texts = WORLD.allgather(told.out + told.err)
    assert texts[0].count("mpidl") > 0
    assert not any(texts[1:])
