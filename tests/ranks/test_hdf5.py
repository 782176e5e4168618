"""h5py beside mpi4py: one for another kind of MPI is refused, as its import would crash."""

import _ctypes
from pathlib import Path

from mpi4py import MPI

import pytest

from mpidl.config.faults import Fault
from mpidl.ranks import hdf5


def test_the_kind_of_mpi_is_read_from_a_library():
    assert hdf5.is_open_mpi(MPI.__file__) is (MPI.get_vendor()[0] == "Open MPI")
    assert hdf5.is_open_mpi(_ctypes.__file__) is None
    assert hdf5.is_open_mpi("no-such-library.so") is None


def test_an_h5py_for_another_kind_of_mpi_is_refused(monkeypatch):
    monkeypatch.setattr(hdf5, "_libraries", lambda: [Path("h5py/defs.so")])
    monkeypatch.setattr(hdf5, "is_open_mpi", lambda path: path != "h5py/defs.so")
    with pytest.raises(Fault, match="another kind of MPI than mpi4py runs on"):
        hdf5.load.__wrapped__()
    # One that needs no MPI fits all.
    monkeypatch.setattr(hdf5, "is_open_mpi", lambda path: {"h5py/defs.so": None}.get(path, True))
    assert hdf5.load.__wrapped__().__name__ == "h5py"
