"""Walltime: limits as people write them, and the end of a job from the environment or PBS.

Workers of an ensemble import this module, so it must not start MPI.
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
"""Variables with the end of a job, in seconds since 1970."""

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
"""Units of a time on the command line, in seconds."""

PATIENCE = 10.0
"""Seconds in which PBS must answer a run that asks for the end of its job."""


def left(walltime: float | None, ask: bool = False) -> float:
    """Seconds until the end by the command line or the environment, whichever comes first.

    Args:
        walltime: Seconds from the command line, or None.
        ask: Whether to ask PBS if neither has a limit.
    """
    limits = [] if walltime is None else [walltime]
    for name in MOMENTS:
        if (text := os.environ.get(name, "")).isdigit():
            limits.append(int(text) - time.time())
    if ask and not limits:
        return of_pbs()
    return min(limits, default=math.inf)


def of_pbs() -> float:
    """Seconds until PBS ends the job of this process; infinite if it does not answer in time."""
    with suppress(KeyError, ValueError, OSError, subprocess.SubprocessError):
        process = subprocess.run(
            ["qstat", "-f", "-F", "json", os.environ["PBS_JOBID"]],
            env=host.unlaunched(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return end_of(job_in(process.stdout)) - time.time()
    return math.inf


def job_in(text: str) -> Mapping[str, Any]:
    """The attributes of the one job in a text of PBS.

    Raises:
        ValueError: If the text cannot be read so.
    """
    try:
        job: Mapping[str, Any] = next(iter(json.loads(text)["Jobs"].values()))
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(repr(error)) from None
    return job


def end_of(job: Mapping[str, Any]) -> float:
    """The end of a job from its attributes in PBS, in seconds since 1970.

    Raises:
        KeyError: If it has not started, or has no walltime.
        ValueError: If these cannot be read.
    """
    start = datetime.strptime(job["stime"], "%a %b %d %H:%M:%S %Y").timestamp()
    return start + of_clock(job["Resource_List"]["walltime"])


def seconds(text: str) -> float:
    """Seconds of ``HH:MM:SS``, or of a number with its unit.

    A number without a unit is seconds to PBS and minutes to Slurm, so it is refused.

    Raises:
        Fault: If the text has neither form, or is not positive.
    """
    try:
        total = of_clock(text) if ":" in text else float(text[:-1]) * UNITS[text[-1:].lower()]
    except (ValueError, KeyError):
        total = 0.0
    if not 0 < total < math.inf:
        raise Fault(
            f"--walltime {text!r}: must be HH:MM:SS, or a number with its unit, such as 90m, 1.5h "
            "or 5400s."
        )
    return total


def of_clock(text: str) -> float:
    """The seconds in ``HH:MM:SS``.

    Raises:
        ValueError: If the text does not have this form.
    """
    hours, minutes, rest = map(int, text.split(":"))
    return float(3600 * hours + 60 * minutes + rest)
