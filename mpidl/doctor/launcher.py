"""Launcher: the mpiexec that starts ranks, and whether it belongs to mpi4py's MPI."""

import os
import re
import shutil
import sys

from mpidl.config.faults import Fault
from mpidl.doctor import probe
from mpidl.doctor.finding import Finding
from mpidl.ranks import host
from mpidl.ranks.launcher import described

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
