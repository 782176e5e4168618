"""Canonical runs against stored curves, on as many ranks as there are, up to the devices.

Made by tests/golden/make.py on one rank. Another processor rounds its sums in another order and
training carries that on: between torch's AVX2 and its plain code, by trial, to 5e-6 of a loss. So
losses may differ by 1e-4 of themselves. Accuracies are counts over 36 or 324 samples; 1e-4 of one
means the very same count.
"""

import importlib.util
import json
from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[1] / "golden"
RTOL = 1e-4


def curves(*given):
    """What tests/golden/make.py does, which is no module of a package."""
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    return make.curves(*given)


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_curves_are_those_stored(comm, shared_path, name):
    stored = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    devices = len(stored["series"]["train_loss"][0])
    part = comm.Split(0 if comm.rank < devices else MPI.UNDEFINED)
    if part == MPI.COMM_NULL:
        return
    found = curves(stored["settings"], part, shared_path)
    part.Free()
    assert sorted(found) == sorted(stored["series"])
    for key, want in stored["series"].items():
        np.testing.assert_allclose(found[key], want, rtol=RTOL, atol=1e-9, err_msg=key)


def test_stored_curves_learn(comm):
    """A reference that stands still would test nothing."""
    stored = json.loads((GOLDEN / "digits.json").read_text(encoding="utf-8"))["series"]
    assert np.diff(stored["train_loss"], axis=0).max() < -0.1
    assert np.min(stored["iid_accuracy_mixed"][-1]) > 0.5
    assert np.min(stored["consensus_distance"]) > 1e-3
