"""Batch jobs: the job of this process with its nodes and its end, and requests for nodes."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mpidl.config.faults import Fault
from mpidl.ensemble.sites import Site
from mpidl.ranks.walltime import end_of, job_in

JOBS = {"pbs": "PBS_JOBID", "slurm": "SLURM_JOB_ID"}
"""Variables that number the job of a process, by scheduler."""

MARGIN, SECONDS = "MPIDL_MARGIN", 300.0
"""Variable with the seconds before the end at which work is asked to stop, and its default."""

ENDED = ("Unknown Job", "Job has finished")
"""Messages of PBS about a job that has ended."""

PATIENCE = 60.0
"""Seconds in which a scheduler must answer."""


@dataclass(frozen=True)
class NodeRequest:
    """Nodes that a driver uses: those of its allocation, or of batch jobs that it submits.

    Attributes:
        nodes: Nodes of each job, or of the allocation.
        jobs: Most jobs at a time.
        walltime: Time of each job, in seconds.
        hosts: The names of the nodes of the allocation; empty where jobs are submitted.
    """

    nodes: int
    jobs: int
    walltime: float
    hosts: Sequence[str] = ()


def number(site: Site) -> str:
    """The number of this process's job; empty outside one."""
    return os.environ.get(JOBS.get(site.scheduler, ""), "")


def inside(site: Site) -> bool:
    """Whether this process already has the nodes that runs go to."""
    return site.scheduler == "none" or bool(number(site))


def hosts(site: Site) -> list[str]:
    """The names of the nodes of this process's job, in order; this node without a scheduler.

    Raises:
        Fault: If the scheduler does not name them.
    """
    if site.scheduler == "none":
        return ["localhost"]
    if not number(site):
        raise Fault(f"{JOBS[site.scheduler]} is not set: this is not a job of {site.scheduler}.")
    if site.scheduler == "slurm":
        text = ask("scontrol", "show", "hostnames", os.environ.get("SLURM_JOB_NODELIST", ""))
    else:
        try:
            text = Path(os.environ["PBS_NODEFILE"]).read_text(encoding="utf-8")
        except (KeyError, OSError):
            raise Fault("PBS_NODEFILE names no file that can be read.") from None
    return list(dict.fromkeys(text.split()))


def ends(site: Site) -> float | None:
    """The moment when this process's nodes are taken away, in seconds since 1970.

    None if the scheduler does not tell it.
    """
    if not number(site):
        return None
    with suppress(Fault, KeyError, ValueError):
        if site.scheduler == "slurm":
            text = ask("squeue", "--noheader", "--format=%e", "--jobs", number(site)).strip()
            return datetime.fromisoformat(text).timestamp()
        return end_of(described(number(site)))
    return None


def reserve(seconds: float) -> float:
    """Seconds before the end of a job at which work is asked to stop, so that it ends in time.

    It is at most a quarter of the job's seconds, so that a short job has time to work.
    """
    text = os.environ.get(MARGIN, "")
    return min(float(text) if text.replace(".", "", 1).isdigit() else SECONDS, seconds / 4)


def stop(end: float | None) -> float | None:
    """The moment at which work must stop so that it ends before its nodes are taken away."""
    return None if end is None else end - reserve(left(end))


def described(job: str) -> Mapping[str, Any]:
    """The attributes of a job, as PBS describes it.

    Raises:
        Fault: If PBS does not describe it.
    """
    text = ask("qstat", "-f", "-F", "json", job)
    try:
        return job_in(text)
    except ValueError:
        raise Fault(f"qstat does not describe job {job} in a way that can be read.") from None


def gone(fault: Fault) -> bool:
    """Whether PBS says that a job has ended."""
    return any(words in str(fault) for words in ENDED)


def ask(*words: str) -> str:
    """The text that a command of the scheduler prints.

    Raises:
        Fault: If the command fails, with its error message.
    """
    try:
        process = subprocess.run(
            words, capture_output=True, text=True, timeout=PATIENCE, check=True
        )
    except subprocess.CalledProcessError as error:
        raise Fault(f"{' '.join(words)}: {error.stderr.strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Fault(f"{' '.join(words)}: {error}") from None
    return process.stdout


def clock(seconds: float) -> str:
    """Seconds in the notation of batch systems: ``HH:MM:SS``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def left(moment: float | None) -> float:
    """Seconds until a moment; infinite for None."""
    return float("inf") if moment is None else moment - time.time()
