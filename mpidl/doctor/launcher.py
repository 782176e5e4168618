"""Launcher: the mpiexec that starts ranks, and whether it belongs to mpi4py's MPI."""

import os
import re
import shutil
import subprocess
import sys

from mpidl.config.faults import Fault
from mpidl.doctor import probe
from mpidl.doctor.finding import Finding
from mpidl.ranks import host

KINDS = {
    "Intel(R) MPI": ("Intel MPI", "hydra"),
    "HYDRA": ("Hydra", "hydra"),
    "Open MPI": ("Open MPI", "openmpi"),
    "OpenRTE": ("Open MPI", "openmpi"),
    "PRRTE": ("Open MPI", "openmpi"),
    "PALS": ("PALS", "pals"),
    "srun": ("srun", "srun"),
}
"""By a word in what a launcher says of its version, its name, and what site files call it."""

HINTS = {
    "as root": "set OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1, or be another "
    "user.",
    "slots": "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe allows more ranks than cores.",
}
"""By a word of what a launcher says, the remedy."""

RANKS = "ranks"
"""What a rank that is started for a trial examines."""

SEEN = "ranks that see each other:"
"""Beginning of the line by which each of them tells how many there are."""


def path() -> str | None:
    """The mpiexec that would start ranks, or else srun; None without either."""
    return host.mpiexec() or shutil.which("srun")


def described(launcher: str) -> tuple[str, str]:
    """The name and version of a launcher, and its kind in site files; empty if unknown."""
    try:
        told = subprocess.run(
            [launcher, "--version"],
            env=host.unlaunched(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=probe.PATIENCE,
        )
    except (OSError, subprocess.SubprocessError):
        return "", ""
    text = told.stdout + told.stderr
    name, kind = next((KINDS[word] for word in KINDS if word in text), ("", ""))
    number = re.search(r"\d+\.\d[\w.]*", text)
    return f"{name} {number[0]}" if name and number else name, kind


def launcher(works: bool) -> Finding:
    """The launcher, which is tried with two ranks.

    Args:
        works: Whether MPI does.
    """
    program = path()
    if program is None:
        remedy = "pip install mpich brings one, or load the module of the MPI of mpi4py."
        return Finding("mpiexec", "none", (f"There is no mpiexec on the path: {remedy}",))
    name, _ = described(program)
    found = f"{program} ({name})" if name else program
    if not works:
        return Finding("mpiexec", f"{found}, not tried without MPI")
    ended = probe.run([program, "-n", "2", *probe.words(RANKS)])
    seen = re.findall(rf"{SEEN} (\d+)", ended.stdout)
    if seen == ["2", "2"]:
        return Finding("mpiexec", f"{found}, starts ranks")
    if seen:
        sentence = (
            f"{program} belongs to another MPI than mpi4py, so each rank is alone: use the "
            "mpiexec of mpi4py's MPI, or install mpi4py for this one."
        )
        return Finding("mpiexec", found, (sentence,))
    sentence = f"{program} starts no ranks ({probe.reason(ended)})"
    hint = next((HINTS[word] for word in HINTS if word in sentence), "")
    if outside_a_job() and not hint:
        note = f"{sentence}; outside a job that may be right: ask in one, mpiexec mpidl doctor."
        return Finding("mpiexec", found, notes=(note,))
    remedy = hint or "load the module of mpi4py's MPI, and try mpiexec with another program."
    return Finding("mpiexec", found, (f"{sentence}: {remedy}",))


def ranks() -> None:
    """Collective. Print how many ranks there are; 1 where they do not find each other."""
    from mpidl.ranks import mpi_library, world

    try:
        mpi_library.load()
        size = world.private().size
    except Fault:
        size = 1
    # In one piece, as the ranks share their output.
    sys.stdout.write(f"{SEEN} {size}\n")


def outside_a_job() -> bool:
    """Whether there is a batch system, and this process is in none of its jobs."""
    inside = any(name in os.environ for name in ("PBS_JOBID", "SLURM_JOB_ID"))
    return bool(shutil.which("qsub") or shutil.which("sbatch")) and not inside
