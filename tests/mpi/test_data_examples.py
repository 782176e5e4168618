"""The examples with data of one's own, run in small as they stand."""

import os
import runpy
from pathlib import Path

import numpy as np
import pytest

from mpidl import plan
from mpidl.run import execution

pytestmark = pytest.mark.dealt

EXAMPLES = Path(__file__).parents[2] / "examples"

SMALL = (
    "training.rounds=1",
    "training.epochs=1",
    "training.accelerator=cpu",
    "data.train_samples=160",
    "data.test_samples=60",
)


@pytest.mark.parametrize(
    "name", ["csv_model", pytest.param("folder_resnet", marks=pytest.mark.slow)]
)
def test_an_example_makes_its_data_and_trains(comm, shared_path, monkeypatch, read, name):
    if name == "folder_resnet":
        pytest.importorskip("PIL.Image", reason="pillow is not installed")
    monkeypatch.chdir(shared_path)
    if comm.rank == 0:
        runpy.run_path(os.fspath(EXAMPLES / f"{name}.py"), run_name="__main__")
    comm.Barrier()
    settings = (*SMALL, f"topology.devices={max(6, comm.size)}", "model.width=4")
    file = plan.read(EXAMPLES / f"{name}.toml", settings, comm.size)
    assert execution.run(comm, plan.make(file, comm.size), shared_path / "run.h5") == 0
    comm.Barrier()
    found = read(shared_path / "run.h5")
    assert np.isfinite(found["series/iid_accuracy_mixed"]).all()
    assert found["placement/labels"].sum() == 160
    comm.Barrier()
