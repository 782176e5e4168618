"""Runs that tell warnings alone."""

from mpidl.run import execution


def test_a_run_that_goes_as_it_should_says_nothing(comm, planned, shared_path, capfd):
    path = shared_path / "run.h5"
    # With few steps a device may answer one class to all, which is a warning.
    made = planned("training.steps=20")
    assert execution.run(comm, made, path, brief=True) == 0
    assert execution.run(comm, made, path, resume="", brief=True) == 0
    assert capfd.readouterr().out == ""


def test_a_run_that_diverges_says_so(comm, planned, shared_path, capfd):
    made = planned("training.lr=1e30", f"topology.devices={comm.size}")
    assert execution.run(comm, made, shared_path / "run.h5", brief=True) == 3
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == (2 if comm.rank == 0 else 0)
    assert all("not finite" in line or line.startswith("stopped, as ") for line in lines)
