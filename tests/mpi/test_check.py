"""What a check says of graphs and data that are large, or small, for each other."""

import json

import numpy as np
import pytest

from mpidl import check

SHARED = "only 3 training samples for {devices} devices: they are dealt round and round, one to"


@pytest.mark.parametrize("as_json", [False, True])
def test_shared_samples_are_told(comm, planned, capsys, as_json):
    devices = comm.size + 4
    made = planned(f"topology.devices={devices}", "data.train_samples=3")
    assert check.check(comm, made, as_json) == 0
    said = capsys.readouterr().out
    if comm.rank != 0:
        assert said == ""
    elif as_json:
        found = json.loads(said)
        assert found["training_samples"] == 3
        assert found["samples"] == [1] * devices
    else:
        assert SHARED.format(devices=devices) in said


def test_a_run_with_shared_samples_ends_and_says_so(comm, program, capsys):
    devices = comm.size + 4
    found = program(f"topology.devices={devices}", "data.train_samples=3")
    assert found["completed"] == 1
    assert found["placement/samples"].tolist() == [1] * devices
    assert np.isfinite(found["series/iid_accuracy_mixed"]).all()
    said = " ".join(capsys.readouterr().out.split())
    assert (SHARED.format(devices=devices) in said) == (comm.rank == 0)


def test_nothing_is_said_where_there_are_enough(comm, planned, capsys):
    assert check.check(comm, planned("data.train_samples=50"), as_json=False) == 0
    assert "dealt round" not in capsys.readouterr().out
