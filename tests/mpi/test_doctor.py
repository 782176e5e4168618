"""The doctor on all ranks."""

import json

from mpi4py import MPI

import torch

from mpidl.doctor.__main__ import on_ranks

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
