"""The runs of some cases on the fake GPU and on the CPU, one after another, on the ranks at hand.

mpiexec -n 2 python -m tests.fake_cuda tests.fake_cuda.compare CASES OUT

``CASES`` is a list in JSON. For each of them rank 0 writes a line of JSON into ``OUT`` as soon as
it has been run. What fails ends the job.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch.nn.attention import SDPBackend, sdpa_kernel

from mpidl.components.datasets import DATASETS, Dataset
from mpidl.devices import device
from mpidl.exchange.process_group import ProcessGroup
from mpidl.ranks import watchdog, world
from mpidl.ranks.world import Comm
from mpidl.run import execution
from tests.fake_cuda import shim
from tests.mpi.conftest import contents, small

PATIENCE = 60.0
"""Seconds after which ranks that wait for each other end the job."""

SCALE = 0.01
"""What numbers are at least taken to be as large as, such as distances of devices that agree."""

HOSTED = ("seconds_", "bytes_")
"""Series that depend on hosting, as docs/good_to_know.md says."""

ASIDE = ("rows", "checksums", "shard")
"""Of a checkpoint: rows have times, and checksums follow from rows."""


@DATASETS.add
def blots(folder: Path | None, seed: int, /, *, side: Annotated[int, Field(ge=16)] = 16) -> Dataset:
    """Colour images, by default of the smallest size that most models take: noise in 4 classes."""
    labels = np.arange(120) % 4
    noise = np.random.default_rng(0).normal(size=(120, 3, side, side))
    images = (noise + labels[:, None, None, None]).astype(np.float32)
    return Dataset("blots", images[:80], labels[:80], images[80:], labels[80:], tuple("abcd"))


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Let the CPU add in the order of the fake GPU.

    Of itself it takes images with channels last, and attention in blocks.
    """
    interleaved = device._interleaved
    device._interleaved = lambda images: images
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        device._interleaved = interleaved


def done(comm: Comm, settings: list[str], path: Path) -> None:
    """Collective. A run as the command does it, which keeps its last state."""
    code = execution.run(comm, small((*settings, "checkpoint.final=true"), comm.size), path)
    assert code == 0, code


def found(path: Path) -> dict[str, Any]:
    """What a run has found, and the state that it ended in, but for times."""
    (state,) = path.with_suffix(".checkpoints").glob("*.hdf5")
    series = {
        key: value
        for key, value in contents(path).items()
        if key.startswith("series/") and not key.removeprefix("series/").startswith(HOSTED)
    }
    return series | {key: value for key, value in contents(state).items() if key not in ASIDE}


def apart(one: dict[str, Any], other: dict[str, Any]) -> dict[str, float]:
    """By data set, how far its numbers are from others, by the largest; not where bits agree."""
    assert one.keys() == other.keys(), one.keys() ^ other.keys()
    return {
        key: _apart(np.asarray(one[key]), np.asarray(other[key]))
        for key in one
        if np.asarray(one[key]).tobytes() != np.asarray(other[key]).tobytes()
    }


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    if one.dtype.kind not in "fiu":
        return 0.0 if (one == other).all() else np.inf
    one, other = one.astype(float), other.astype(float)
    if (np.isfinite(one) != np.isfinite(other)).any():
        return np.inf
    one, other = np.nan_to_num(one), np.nan_to_num(other)
    return float(np.abs(one - other).max() / max(np.abs(other).max(), SCALE))


def tried(comm: Comm, case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Collective. A case on both, and what is between them."""
    import h5py

    gpus, given, begun = case["way"]["gpus"], case["settings"], time.monotonic()
    ProcessGroup.CHUNK = case["chunk"]
    there, here = folder / case["name"] / "there.h5", folder / case["name"] / "here.h5"
    shim.machine = replace(shim.machine, count=1 if gpus == "own" else int(gpus), own=gpus == "own")
    before = shim.called.total()
    done(comm, [*given, *case["way"]["settings"], "training.accelerator=cuda"], there)
    waits = shim.called.total() - before
    with as_on_a_gpu():
        done(comm, given, here)
    if comm.rank > 0:
        return {}
    with h5py.File(there, "r") as file:
        told: dict[str, Any] = {key: str(file.attrs[key]) for key in ("backend", "kernel")}
    told["seconds"] = time.monotonic() - begun
    return {**told, "waits": waits, "apart": apart(found(there), found(here))}


def main() -> None:
    """Collective. All cases; only what comes back is told."""
    path, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    with world.world() as comm:
        if watchdog.on_duty is not None:
            watchdog.on_duty.patience = PATIENCE
        for case in json.loads(path.read_text()):
            result = tried(comm, case, out.parent)
            if comm.rank == 0:
                with out.open("a") as file:
                    file.write(json.dumps({"name": case["name"], **result}) + "\n")


if __name__ == "__main__":
    main()
