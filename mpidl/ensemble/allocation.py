"""The batch job that this process is part of: its nodes, and when they are taken away."""

import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from mpidl.config.faults import Fault
from mpidl.ensemble.sites import Site
from mpidl.ranks.walltime import end_of, job_in

JOBS = {"pbs": "PBS_JOBID", "slurm": "SLURM_JOB_ID"}
"""Variables that number the job of a process, by scheduler."""

MARGIN, SECONDS = "MPIDL_MARGIN", 300.0
"""Variable that says how many seconds before the end work is asked to stop; what it is if unset."""

PATIENCE = 60.0
"""Seconds in which a scheduler must answer."""


def number(site: Site) -> str:
    """The number of this process's job; empty outside one."""
    return os.environ.get(JOBS.get(site.scheduler, ""), "")


def inside(site: Site) -> bool:
    """Whether this process already has the nodes that runs go to."""
    return site.scheduler == "none" or bool(number(site))


def hosts(site: Site) -> list[str]:
    """The nodes of this process's job, in order; this one where there is no scheduler.

    Raises:
        Fault: If the scheduler does not say.
    """
    if site.scheduler == "none":
        return ["localhost"]
    if not number(site):
        raise Fault(f"{JOBS[site.scheduler]} is not set: this is no job of {site.scheduler}.")
    if site.scheduler == "slurm":
        told = ask("scontrol", "show", "hostnames", os.environ.get("SLURM_JOB_NODELIST", ""))
    else:
        try:
            told = Path(os.environ["PBS_NODEFILE"]).read_text(encoding="utf-8")
        except (KeyError, OSError):
            raise Fault("PBS_NODEFILE names no file that can be read.") from None
    return list(dict.fromkeys(told.split()))


def ends(site: Site) -> float | None:
    """When this process's nodes are taken away, in seconds since 1970; None if that is not told."""
    if not number(site):
        return None
    with suppress(Fault, KeyError, ValueError):
        if site.scheduler == "slurm":
            told = ask("squeue", "--noheader", "--format=%e", "--jobs", number(site)).strip()
            return datetime.fromisoformat(told).timestamp()
        return end_of(described(number(site)))
    return None


def reserve(seconds: float) -> float:
    """Seconds before the end of so many at which work is asked to stop, so that it ends in time.

    Of a short time it is a quarter at most, so that work gets somewhere.
    """
    told = os.environ.get(MARGIN, "")
    return min(float(told) if told.replace(".", "", 1).isdigit() else SECONDS, seconds / 4)


def stop(end: float | None) -> float | None:
    """When work must stop so that it ends before nodes are taken away at a moment."""
    return None if end is None else end - reserve(left(end))


def described(job: str) -> Mapping[str, Any]:
    """What PBS knows of a job.

    Raises:
        Fault: If it does not say.
    """
    text = ask("qstat", "-f", "-F", "json", job)
    try:
        return job_in(text)
    except ValueError:
        raise Fault(f"qstat does not describe job {job} in a way that can be read.") from None


def ask(*words: str) -> str:
    """What a command of the scheduler prints.

    Raises:
        Fault: If it fails, with what it says.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except subprocess.CalledProcessError as error:
        raise Fault(f"{' '.join(words)}: {error.stderr.strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Fault(f"{' '.join(words)}: {error}") from None
    return done.stdout


def clock(seconds: float) -> str:
    """Seconds as a batch system has them: ``HH:MM:SS``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def left(moment: float | None) -> float:
    """Seconds until a moment, which may never come."""
    return float("inf") if moment is None else moment - time.time()
