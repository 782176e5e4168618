"""What whole runs of thousands of devices take on two ranks: one line of a Markdown table for each.

    python tests/bench/many.py

Set-up is from the opening line to that of ranks, a round the longest of three. Peak memory is that
of the largest process; that of a device is what 9,000 devices more take of it, on the rank that
hosts half of them.
"""

import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import soak

GRAPH = ["topology.name=barabasi_albert", "topology.m=2", "training.rounds=3"]
CASES = {
    "1,000 devices": [*GRAPH, "topology.devices=1000"],
    "4,000 devices": [*GRAPH, "topology.devices=4000"],
    "10,000 devices": [*GRAPH, "topology.devices=10000"],
    "1,000 devices, batched": [*GRAPH, "topology.devices=1000", "training.batched=yes"],
    "10,000 devices, batched": [*GRAPH, "topology.devices=10000", "training.batched=yes"],
    "complete graph of 1,024": [
        *("topology.name=complete", "topology.devices=1024", "training.rounds=3")
    ],
}


def measure(settings: list[str]) -> tuple[float, float, float, float]:
    """Seconds of a run, of its set-up and of its longest round, and peak MB."""
    words = [word for setting in settings for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as out:
        command = ["mpiexec", "-n", "2", sys.executable, "-m", "mpidl.run", *words, "--out", out]
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        stamps, peak = [], 0.0
        for line in process.stdout:
            if line.startswith(("mpidl", "round ")) or " on 2 ranks" in line:
                stamps.append(time.perf_counter())
                peak = max(peak, *map(resident, soak.children(process.pid)))
        process.wait()
        ended = time.perf_counter()
    if process.returncode or len(stamps) != 5:
        raise SystemExit(f"exit code {process.returncode}, {len(stamps)} lines: {command}")
    took = [after - before for before, after in pairwise(stamps)]
    return ended - begun, took[0], max(took[1:]), peak


def resident(process: int) -> float:
    """The most MB that a process has had in memory."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    told = (line.split() for line in status.splitlines() if line.startswith("VmHWM"))
    return max((int(words[1]) for words in told), default=0) / 1e3 * 1.024


if __name__ == "__main__":
    print("| run | seconds | set-up | a round | peak MB |\n| --- | --- | --- | --- | --- |")
    peaks = {}
    for name, settings in CASES.items():
        whole, setup, longest, peaks[name] = measure(settings)
        numbers = f"{whole:.1f} | {setup:.1f} | {longest:.1f} | {peaks[name]:.0f}"
        print(f"| {name} | {numbers} |", flush=True)
    for more in ("", ", batched"):
        grown = peaks[f"10,000 devices{more}"] - peaks[f"1,000 devices{more}"]
        print(f"a device{more}: {1e3 * grown / 4500:.0f} kB")
