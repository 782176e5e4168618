"""E5: mixing alone, 16 vectors of 45 MB by BA(16, 2), and what the kernel's first call takes."""

import os
import subprocess
import sys
import tempfile

import torch
from findings import kind, left, note, real, trying

from mpidl.bench import kernel
from mpidl.ranks import world

SIZES = {"aligned": 45.0, "odd": 45.000004}
"""Megabytes of 11,250,000 numbers, a multiple of 16, and of one more."""

FIRST = """
import time, numpy as np, torch
from mpidl.exchange import kernels
vectors = torch.randn(4, 4096, device={kind!r})
torch.ones(1, device={kind!r}).sum().item()
began = time.perf_counter()
kernels.Mixture([[vectors[0], vectors[1]]], [vectors[2]])(np.array([0.5, 0.5]))
vectors.sum().item()
print(kernels.used(vectors.device), "%.2f s" % (time.perf_counter() - began))
"""


def main() -> None:
    """Mixing of both sizes, then a process with a cold cache and one with that cache."""
    hardware = torch.device(kind())
    with world.world() as comm:
        for name, megabytes in SIZES.items():
            with trying(name):
                mix(comm, name, megabytes if real() else megabytes / 20, hardware)
    with trying("first"):
        first(hardware.type)


def mix(comm: world.Comm, name: str, megabytes: float, hardware: torch.device) -> None:
    """Milliseconds of each way, and how often that of a copy."""
    if left() < 12:
        note(name, "no time was left")
        return
    repetitions = 2 if hardware.type == "cpu" else 20
    for row in kernel.measure(comm, [megabytes], repetitions, hardware):
        way = row["kernel"].replace(" ", "_")
        note(f"{name}.{way}", f"{1e3 * row['median']:.3f} ms, {row['of_copy']:.2f} x copy")


def first(hardware: str) -> None:
    """Seconds of the first mixing in a process."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "TRITON_CACHE_DIR": cache}
        for state in ("cold", "warm"):
            words = [sys.executable, "-c", FIRST.format(kind=hardware)]
            done = subprocess.run(
                words, env=environment, capture_output=True, text=True, timeout=max(2.0, left() - 1)
            )
            print(done.stderr)
            note(f"first.{state}", done.stdout.strip() or done.stderr.strip()[-160:])


if __name__ == "__main__":
    main()
