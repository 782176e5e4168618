"""Models of a finished run are read, scored and written, by one process and without its graph."""

import hashlib
import subprocess
import sys

from mpi4py import MPI

import networkx as nx
import numpy as np
import pytest
import torch
from safetensors import safe_open

import mpidl
from mpidl.config.faults import Fault
from mpidl.run import export

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="a job of one rank")

OWN = """
from torch import nn

def normed(shape, /, width: int = 5):
    inner = nn.Linear(64, width), nn.BatchNorm1d(width), nn.Linear(width, shape.outputs)
    return nn.Sequential(nn.Flatten(), *inner)
"""
SETTINGS = {
    "topology": nx.cycle_graph(3),
    "data": {"name": "digits", "train_samples": 60, "test_samples": 40},
    "ood": "none",
    "checkpoint": {"final": True},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three devices with a model of its own."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "saved_own.py").write_text(OWN)
    return mpidl.train(
        **SETTINGS,
        model=f"{folder / 'saved_own.py'}:normed",
        training={"rounds": 2, "steps": 2, "accelerator": "cpu"},
        out=folder,
        quiet=True,
        communicator=MPI.COMM_SELF,
    )


def test_a_loaded_model_is_the_trained_one(trained):
    for number, model in trained.models.items():
        state = mpidl.load_model(trained.path, number).state_dict()
        assert {k: v.tolist() for k, v in model.state_dict().items()} == {
            k: v.tolist() for k, v in state.items()
        }
    assert int(state["2.num_batches_tracked"]) == 4


def test_the_mean_is_that_of_parameters_and_statistics(trained):
    mean = mpidl.load_model(trained.path, "mean").state_dict()
    for name in ("1.weight", "2.running_var"):
        want = np.mean([m.state_dict()[name].numpy() for m in trained.models.values()], axis=0)
        assert np.allclose(mean[name], want, rtol=1e-6)


def test_scores_on_the_runs_own_data_are_those_that_it_recorded(trained):
    found = mpidl.evaluate(trained.path, SETTINGS["data"])
    last = trained.data.isel(round=-1)
    assert np.allclose(found["accuracy"], last["iid_accuracy_mixed"])
    assert np.allclose(found["loss"], last["iid_loss_mixed"])
    assert found["class_accuracy"].sizes == {"device": 3, "class": 10}
    some = mpidl.evaluate(trained.path, SETTINGS["data"], devices=[2, "mean"])
    assert some["accuracy"].sel(device="2") == found["accuracy"].sel(device=2)


def test_scores_on_other_data(trained):
    x = np.zeros((6, 1, 8, 8), np.float32)
    found = mpidl.evaluate(trained.path, (x, np.arange(6)))
    answers = trained.models[1].eval()(torch.from_numpy(x)).argmax(1)
    assert found["accuracy"][1] == pytest.approx((answers == torch.arange(6)).float().mean())
    with pytest.raises(Fault, match=r"samples of the shape \(3,\), and the models of .* take"):
        mpidl.evaluate(trained.path, (np.zeros((4, 3)), np.arange(4)))
    with pytest.raises(Fault, match=r"needs 12 outputs, and the models of .* have 10"):
        mpidl.evaluate(trained.path, (x, np.arange(6) + 6))


def test_safetensors_have_the_names_of_the_model(trained, tmp_path, capsys):
    assert export.main([str(trained.path), "--to", str(tmp_path)]) == 0
    assert "the state after round 2 of 2" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"device_{n}.safetensors" for n in "012"]
    state = trained.models[2].state_dict()
    with safe_open(tmp_path / "device_2.safetensors", "pt") as file:
        assert {*file.keys()} == {*state}
        assert all(torch.equal(file.get_tensor(name), state[name]) for name in state)
        assert file.metadata()["round"] == "2"
    assert export.main([str(trained.path), "--device", "mean", "--to", str(tmp_path)]) == 0
    assert (tmp_path / "mean.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (["--device", "3"], "--device '3': must be from 0 to 2, 'all' or 'mean'."),
        (["--device", "-1"], "--device '-1': must be from 0 to 2, 'all' or 'mean'."),
    ],
)
def test_a_wrong_device_is_refused(trained, tmp_path, capsys, words, want):
    assert export.main([str(trained.path), "--to", str(tmp_path / "out"), *words]) == 2
    assert capsys.readouterr().err == f"mpidl: {want}\n"
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(Fault, match=r"there is no such file or folder"):
        mpidl.load_model(tmp_path / "none.h5", 0)
    (tmp_path / "some.h5").touch()
    with pytest.raises(Fault, match=r"has no checkpoint; checkpoint.final = true keeps"):
        mpidl.load_model(tmp_path / "some.h5", 0)
    (tmp_path / "1.hdf5").touch()
    with pytest.raises(Fault, match=r"1.hdf5 is not a checkpoint"):
        mpidl.load_model(tmp_path / "1.hdf5", 0)


LOADING = """
import sys, mpidl
try:
    mpidl.load_model(sys.argv[1], 0)
except mpidl.Fault as fault:
    print(fault)
    mpidl.load_model(sys.argv[1], 0, use="saved_own.py")
    print("loaded")
"""


def test_own_code_is_asked_for_by_its_digest_and_never_loaded(trained):
    command = [sys.executable, "-c", LOADING, trained.path]
    # From the folder of the file, where its name alone would find it.
    folder = trained.path.parent
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    refusal, loaded = ended.stdout.splitlines()
    digest = hashlib.sha256(OWN.encode()).hexdigest()
    assert "its model is 'saved_own.py:normed', code of its user's own with the" in refusal
    assert f"SHA-256 {digest}, which no checkpoint loads" in refusal
    assert loaded == "loaded"


def test_an_earlier_state_is_told(tmp_path):
    run = mpidl.train(
        **{**SETTINGS, "model": "logistic", "checkpoint": {"every": 1, "keep": 2, "final": True}},
        training={"rounds": 2, "steps": 1, "accelerator": "cpu"},
        out=tmp_path,
        quiet=True,
        communicator=MPI.COMM_SELF,
    )
    first = sorted(run.path.with_name("default.checkpoints").iterdir())[0]
    assert first.name == "00000001.hdf5"
    with pytest.warns(UserWarning, match=r"has the state after round 1 of 2"):
        mpidl.load_model(first, 0)
