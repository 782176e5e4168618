"""What a process has more of after thousands of runs in it: a Markdown table.

    python tests/bench/calls.py --calls 3000
    mpiexec -n 2 python tests/bench/calls.py --calls 3000 --door train

Each call of the command, or of ``mpidl.train``, is a whole run, as small as there are. The first
calls load what all need, so the first look is after ``--from`` of them. Numbers are of rank 0.
"""

import argparse
import contextlib
import gc
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from mpidl.ranks import mpi_library  # noqa: E402

mpi_library.load()
from mpi4py import MPI  # noqa: E402

from mpidl import train  # noqa: E402
from mpidl.run import main as command  # noqa: E402
from tests.mpi.test_library import SMALL, handles  # noqa: E402
from tests.mpi.test_train import SETTINGS as TRAINED  # noqa: E402


def look() -> dict[str, float]:
    """What this process has now."""
    gc.collect()
    kinds = ("communicators", "windows", "data types", "infos")
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    maps = Path("/proc/self/maps").read_text()
    return {
        "memory, MB": round(int(told["VmRSS"].split()[0]) * 1.024e-3, 1),
        "threads": int(told["Threads"]),
        "threads of Python": threading.active_count(),
        "open files": len(os.listdir("/proc/self/fd")),
        "mapped segments in /dev/shm": maps.count("/dev/shm/"),
        "mapped areas": maps.count("\n"),
        "Python objects": len(gc.get_objects()),
        # The higher bits of MPICH's handles are the kind.
        **{f"handles of {k}": last % (1 << 26) for k, last in zip(kinds, handles(), strict=False)},
    }


def main() -> None:
    """Call, look, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--from", type=int, default=100, dest="first")
    parser.add_argument("--door", choices=("command", "train"), default="command")
    options = parser.parse_args()
    if not 2 <= options.first <= options.calls // 2:
        parser.error("--from must be at least 2 and at most half of --calls.")
    leads = MPI.COMM_WORLD.rank == 0
    with tempfile.TemporaryDirectory() as own, open(os.devnull, "w") as nowhere:
        out = MPI.COMM_WORLD.bcast(own)
        seen, stamps = {}, {}
        for call in range(1, options.calls + 1):
            with contextlib.redirect_stdout(nowhere):
                if options.door == "train":
                    done = train(out=out, overwrite=True, **TRAINED).outcome == "completed"
                else:
                    done = command([*SMALL, "--out", out, "--overwrite"]) == 0
            if not done:
                raise SystemExit(f"call {call} was not completed")
            stamps[call] = time.perf_counter()
            if call in (options.first, options.calls // 2, options.calls):
                seen[call] = look()
        MPI.COMM_WORLD.Barrier()
    if leads:
        print(f"| | {' | '.join(f'after call {call:,}' for call in seen)} |")
        print("| --- |" + " --- |" * len(seen))
        for what in look():
            print(f"| {what} | {' | '.join(f'{one[what]:,}' for one in seen.values())} |")
        some = min(200, options.first)
        for begin in (options.first - some + 1, options.calls - some):
            took = (stamps[begin + some - 1] - stamps[begin]) / (some - 1)
            print(f"a call from {begin}: {1e3 * took:.1f} ms")


if __name__ == "__main__":
    main()
