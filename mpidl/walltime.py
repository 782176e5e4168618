"""How long work may take: as people write it, and what the environment says.

What workers of an ensemble import, which must not start MPI.
"""

import math
import os
import time

from mpidl.faults import Fault

MOMENTS = ("MPIDL_ENDS", "SLURM_JOB_END_TIME")
"""Variables that say when a job ends, in seconds since 1970."""

HOUR = 3600.0


def left(walltime: float | None) -> float:
    """Seconds until the end that the command line or the environment tells, whichever is first."""
    told = [] if walltime is None else [walltime]
    for name in MOMENTS:
        if (text := os.environ.get(name, "")).isdigit():
            told.append(int(text) - time.time())
    return min(told, default=math.inf)


def seconds(text: str) -> float:
    """Seconds of ``HH:MM:SS``, or of a number of hours.

    Raises:
        Fault: If it is neither, or not positive.
    """
    try:
        found = of_clock(text) if ":" in text else float(text) * HOUR
    except ValueError:
        found = 0.0
    if not 0 < found < math.inf:
        raise Fault(f"--walltime {text!r}: must be HH:MM:SS, or a number of hours.")
    return found


def of_clock(text: str) -> float:
    """The seconds in ``HH:MM:SS``.

    Raises:
        ValueError: If it is not of this form.
    """
    hours, minutes, rest = map(int, text.split(":"))
    return float(3600 * hours + 60 * minutes + rest)
