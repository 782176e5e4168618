"""E8: a run on the GPU that is warned, ends with 75 and goes on, beside one that was not."""

import signal
import subprocess
import time

import jobs
import numpy as np
from findings import kind, left, note, trying

SETTINGS = (*jobs.SMALL, "topology.devices=4", "training.rounds=40", "training.optimizer=adam")


def main() -> None:
    """The uninterrupted run first, which says how long a run takes."""
    settings = (*SETTINGS, "training.lr=0.001", f"training.accelerator={kind()}")
    with trying("whole"):
        whole = jobs.run(2, settings, limit=14)
        note("whole", whole.ended)
        out = jobs.folder()
        note("stopped", stopped(settings, out))
        again = jobs.run(2, settings, "--resume", out=out, limit=12)
        note("resumed", again.ended)
        note("curves", jobs.apart(again.path, whole.path))
        note("series", differing(again, whole))


def stopped(settings: tuple[str, ...], out) -> str:
    """Warn a job when it has done three rounds; how it ended."""
    job = subprocess.Popen(
        jobs.command(2, settings, out),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    rounds, asked = 0, 0.0
    for line in job.stdout:
        print(line, end="")
        rounds += line.startswith("round ")
        if rounds == 3 and not asked:
            asked = time.monotonic()
            job.send_signal(signal.SIGUSR1)
    code = job.wait(timeout=max(2.0, left() - 1))
    return f"exit {code} after {rounds} rounds, {time.monotonic() - asked:.1f} s after it was asked"


def differing(one: jobs.Job, other: jobs.Job) -> str:
    """The names of all series but times that are not the same bits."""
    a, b = jobs.series(one.path), jobs.series(other.path)
    names = [name for name in a if not name.startswith("seconds_")]
    wrong = [name for name in names if not np.array_equal(a[name], b[name], equal_nan=True)]
    return ", ".join(wrong) or f"all {len(names)} the same bits"


if __name__ == "__main__":
    main()
