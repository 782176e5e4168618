"""E9: a rank that is killed, and a rank whose GPU has no memory left: how the job ends."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import jobs
from findings import kind, left, note, trying, used

SETTINGS = ("topology.devices=4", "training.rounds=10000", "data.test_samples=200")

STARVED = """
import os, sys
if os.environ["PMI_RANK"] == "1":
    os.environ["FAKE_CUDA_MEMORY"] = "1e8"  # where tests.fake_cuda stands in for a GPU
import torch
if os.environ["PMI_RANK"] == "1" and torch.cuda.is_available() and torch.version.cuda:
    torch.cuda.set_per_process_memory_fraction(0.001)
from mpidl import run
sys.exit(run.main(sys.argv[1:]))
"""


def main() -> None:
    """Both deaths, and the memory of the GPU before and after."""
    on = f"training.accelerator={kind()}"
    memory = used()
    with trying("killed"):
        note("killed", killed((*SETTINGS, on)))
        note("killed.memory", f"{used() - memory} MB more than before")
    with trying("starved"):
        note(
            "starved",
            starved(
                (*SETTINGS, "training.rounds=2", "training.steps=1", "model.hidden=[400000]", on)
            ),
        )
        note("starved.memory", f"{used() - memory} MB more than before")


def killed(settings: tuple[str, ...]) -> str:
    """Kill one of four ranks when rounds go by."""
    job = subprocess.Popen(
        jobs.command(4, settings, jobs.folder()),
        # Each rank a process of its own, whose environment tells which it is.
        env={**os.environ, "MPIDL_FORK": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said, began = [], 0.0
    for line in job.stdout:
        said.append(line)
        if not began and line.startswith("round "):
            began = time.monotonic()
            os.kill(rank(2), signal.SIGKILL)
    code = job.wait(timeout=max(2.0, left() - 1))
    while alive() and left() > 1:
        time.sleep(0.05)
    taken = time.monotonic() - began
    print("".join(said))
    told = [line.strip() for line in said if "rank 2" in line or "PID" in line]
    return f"exit {code}, all gone after {taken:.1f} s: {told[-1] if told else said[-1].strip()}"


def rank(number: int) -> int:
    """The process of a rank of this step."""
    return next(p for p, told in alive().items() if f"PMI_RANK={number}".encode() in told)


def alive() -> dict[int, list[bytes]]:
    """The ranks of this step, with their environments."""
    mark = f"MPIDL_DAY_STEP={os.environ.get('MPIDL_DAY_STEP', '')}".encode()
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            told = path.read_bytes().split(b"\0")
            if mark in told and any(word.startswith(b"PMI_RANK=") for word in told):
                found[int(path.parent.name)] = told
    return found


def starved(settings: tuple[str, ...]) -> str:
    """Four ranks, of which one may take a thousandth of the GPU's memory."""
    sets = [word for setting in settings for word in ("--set", setting)]
    call = [sys.executable, "-c", STARVED, "--out", str(jobs.folder()), *sets]
    job = jobs.run(4, (), call=call, limit=15)
    lines = [line.strip() for line in job.said.splitlines() if "memory" in line.lower()]
    told = lines[-1][:300] if lines else job.last
    return f"exit {job.code} after {job.seconds:.1f} s: {told}"


if __name__ == "__main__":
    main()
