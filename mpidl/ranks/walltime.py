"""Time limits: as people write them, and as the environment or PBS says.

What workers of an ensemble import, which must not start MPI.
"""

import json
import math
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from mpidl.config.faults import Fault
from mpidl.ranks import host

MOMENTS = ("MPIDL_ENDS", "SLURM_JOB_END_TIME")
"""Variables that say when a job ends, in seconds since 1970."""

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
"""In which a number may be given, in seconds."""

PATIENCE = 10.0
"""Seconds in which PBS must answer a run that asks for its end."""


def left(walltime: float | None, ask: bool = False) -> float:
    """Seconds until the end that the command line or the environment tells, whichever is first.

    Args:
        walltime: Those of the command line, if it has them.
        ask: Ask PBS where neither says anything.
    """
    told = [] if walltime is None else [walltime]
    for name in MOMENTS:
        if (text := os.environ.get(name, "")).isdigit():
            told.append(int(text) - time.time())
    if ask and not told:
        return of_pbs()
    return min(told, default=math.inf)


def of_pbs() -> float:
    """Seconds until PBS ends the job of this process; infinite where it does not say in time."""
    with suppress(KeyError, ValueError, OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["qstat", "-f", "-F", "json", os.environ["PBS_JOBID"]],
            env=host.unlaunched(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return end_of(job_in(done.stdout)) - time.time()
    return math.inf


def job_in(text: str) -> Mapping[str, Any]:
    """The only job that PBS describes in a text.

    Raises:
        ValueError: If it cannot be read so.
    """
    try:
        found: Mapping[str, Any] = next(iter(json.loads(text)["Jobs"].values()))
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(repr(error)) from None
    return found


def end_of(job: Mapping[str, Any]) -> float:
    """When a job ends that PBS describes so, in seconds since 1970.

    Raises:
        KeyError: If it has not started, or has no walltime.
        ValueError: If these cannot be read.
    """
    start = datetime.strptime(job["stime"], "%a %b %d %H:%M:%S %Y").timestamp()
    return start + of_clock(job["Resource_List"]["walltime"])


def seconds(text: str) -> float:
    """Seconds of ``HH:MM:SS``, or of a number with its unit.

    A number alone is seconds to PBS and minutes to Slurm, so it is refused.

    Raises:
        Fault: If it is neither, or not positive.
    """
    try:
        found = of_clock(text) if ":" in text else float(text[:-1]) * UNITS[text[-1:].lower()]
    except (ValueError, KeyError):
        found = 0.0
    if not 0 < found < math.inf:
        raise Fault(
            f"--walltime {text!r}: must be HH:MM:SS, or a number with its unit, such as 90m, 1.5h "
            "or 5400s."
        )
    return found


def of_clock(text: str) -> float:
    """The seconds in ``HH:MM:SS``.

    Raises:
        ValueError: If it is not of this form.
    """
    hours, minutes, rest = map(int, text.split(":"))
    return float(3600 * hours + 60 * minutes + rest)
