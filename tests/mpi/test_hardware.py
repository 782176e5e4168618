"""What a results file says of that which computed it."""

from types import SimpleNamespace

import h5py
import pytest
import torch

from mpidl.exchange import kernels
from mpidl.run import hardware

CPU = torch.device("cpu")


def test_a_results_file_says_what_computed_it(comm, program, shared_path):
    program(f"topology.devices={2 * comm.size}", "training.batched=yes", "training.rounds=1")
    with h5py.File(shared_path / "run.h5") as file:
        found = dict(file.attrs)
    wanted = {"accelerator": "cpu", "batched": "yes", "precision": "float32"}
    assert wanted | {"kernel": kernels.NAME} == {key: found[key] for key in (*wanted, "kernel")}


def test_ranks_that_differ_are_told_together(comm):
    """The first rank alone hosts several devices, on what it shares with two others."""
    alone = comm.rank == 0
    found = hardware.of_all(comm, CPU, 3 if alone else 1, alone)
    assert found.accelerator == "cpu, 3 ranks on one"
    assert found.batched == ("yes" if comm.size == 1 else f"on 1 of {comm.size} ranks")
    assert found.sharing == 3
    assert hardware.of_all(comm, CPU, 1, False) == hardware.Hardware("cpu", kernels.NAME, "no", 1)


def test_a_kernel_that_has_not_mixed_yet_is_tried(comm, monkeypatch):
    monkeypatch.setattr(kernels, "_tried", {})
    monkeypatch.setattr(kernels, "_accelerated", lambda _: kernels._tried.update(meta=(None, "it")))
    monkeypatch.setattr(hardware, "describe", lambda device: device.type)
    assert hardware.of_all(comm, torch.device("meta"), 1, False).kernel == "it"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19", "535.129.03"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Rel", "580.65.06"),
        ("GCC version:  gcc version 12.3.0", None),
        (None, None),
    ],
)
def test_a_gpu_is_told_by_name_driver_and_library(comm, monkeypatch, tmp_path, line, told):
    if comm.size > 1:
        pytest.skip("says the same on any number of ranks")
    properties = SimpleNamespace(name="NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    monkeypatch.setattr(hardware, "DRIVER", tmp_path / "version")
    if line:
        (tmp_path / "version").write_text(line)
    driver = f", driver {told}" if told else ""
    assert hardware.describe(torch.device("cuda", 0)) == f"cuda: NVIDIA H200{driver}, CUDA 13.0"
