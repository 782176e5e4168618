"""E1: the kernel's bits and the exchange's numbers, by the tests that need a GPU."""

import re
import shutil
import subprocess
import sys

import jobs
from findings import kind, left, note, trying

TESTS = "tests/mpi/test_accelerator.py"

LIMITS = {1: 22, 4: 12}
"""Seconds for so many ranks; the first compiles for all."""

ODD = """
import numpy as np, torch
from mpidl.exchange import kernels
vectors = torch.randn(5, 1001, device={kind!r})
outs = [torch.empty_like(v) for v in vectors[:2]]
kernels.Mixture([[vectors[2], vectors[3]], [vectors[4]]], outs)(np.array([0.3, 0.7, 1.0]))
print(kernels.used(vectors.device), float(outs[0].sum()))
"""


def main() -> None:
    """The tests with one rank, and with four on the one GPU; then a look at every address."""
    hardware = kind()
    for ranks in LIMITS:
        with trying(f"ranks{ranks}"):
            test(ranks)
    with trying("memcheck"):
        memcheck(hardware)


def test(ranks: int) -> None:
    """Run the tests; a skip because of Triton is a failure."""
    words = ["-m", "pytest", TESTS, "-rs", "-q", "--all", "-W", "default", "-p", "no:cacheprovider"]
    job = jobs.run(ranks, (), call=[sys.executable, *words], limit=LIMITS[ranks])
    lines = job.said.splitlines()
    counts = re.findall(r"\d+ (?:passed|failed|skipped|errors?)", job.said)
    note(f"ranks{ranks}", f"exit {job.code}: {', '.join(counts) or job.last}")
    skips = {line.split(": ", 1)[-1] for line in lines if line.startswith("SKIPPED")}
    note(f"skips{ranks}", "; ".join(sorted(skip[:120] for skip in skips)) or "none")
    note(f"triton_skips{ranks}", sum("mixed by" in skip for skip in skips))


def memcheck(hardware: str) -> None:
    """Mix vectors of an odd size while every access is checked."""
    checker = shutil.which("compute-sanitizer")
    run = [sys.executable, "-c", ODD.format(kind=hardware)]
    if checker is None or hardware == "cpu":
        print(subprocess.run(run, capture_output=True, text=True, timeout=max(2.0, left())).stdout)
        note("memcheck", "compute-sanitizer is not there" if checker is None else "no GPU")
        return
    words = [checker, "--tool", "memcheck", "--error-exitcode", "9", *run]
    done = subprocess.run(words, capture_output=True, text=True, timeout=max(2.0, left() - 1))
    print(done.stdout, done.stderr)
    last = [line for line in done.stdout.splitlines() if "ERROR SUMMARY" in line or "Error" in line]
    note("memcheck", f"exit {done.returncode}: {last[-1].strip() if last else 'no summary'}")


if __name__ == "__main__":
    main()
