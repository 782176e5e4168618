"""Machine: cores, shared memory, batch system, and the site that describes it."""

import os
import shutil
import socket
from pathlib import Path

from mpidl.doctor import launcher
from mpidl.doctor.finding import Finding
from mpidl.ranks import host
from mpidl.ranks.launcher import described

SHARED = Path("/dev/shm")
"""The file system of shared memory."""

LITTLE = 256 << 20
"""Bytes of shared memory below which ranks of larger models find too little."""

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""File with the processor time that a container may use, of a period."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables that set the threads of libraries."""


def cores() -> Finding:
    """The cores of this process, and how many threads libraries would start."""
    mine, all_ = host.cores(), os.cpu_count() or 1
    set_ = [f"{name}={os.environ[name]}" for name in THREADS if name in os.environ]
    found = f"{mine} of {all_}; {', '.join(set_) or 'OMP_NUM_THREADS is not set'}"
    allowed = quota()
    notes = list[str]()
    if allowed is not None and allowed < mine:
        found += f"; the container has the time of {allowed:.3g}"
        notes.append(
            f"The container may use {allowed:.3g} of {mine} cores at a time: start at most "
            f"{max(1, int(allowed))} ranks in it, or give it more (docker run --cpus)."
        )
    return Finding("cores", found, notes=tuple(notes))


def quota() -> float | None:
    """The cores' worth of time that a container may use; None without a limit."""
    try:
        time, period = QUOTA.read_text().split()
        return int(time) / int(period)
    except (OSError, ValueError):
        return None


def crowded(ranks: int, cores: int, per_core: float) -> Finding:
    """The ranks of a node on its cores.

    Args:
        ranks: Ranks of the node.
        cores: Cores that any of them may use.
        per_core: The most ranks per core; see :func:`mpidl.ranks.host.crowd`.
    """
    notes = tuple[str, ...]()
    if per_core > 1 and ranks <= (os.cpu_count() or 1):
        notes = (
            f"{per_core:.3g} ranks share a core although the node has {os.cpu_count()}: mpiexec's "
            "binding may be the reason; --bind-to none (Open MPI, Hydra: -bind-to none) undoes it.",
        )
    elif per_core > 1:
        notes = (
            f"{per_core:.3g} ranks share a core, so they take turns: start fewer, each of which "
            "hosts more devices; results are the same.",
        )
    return Finding("ranks", f"{ranks} here on {cores} cores", notes=notes)


def shared_memory() -> Finding:
    """The memory that ranks of a node may share."""
    try:
        facts = os.statvfs(SHARED)
    except OSError:
        sentence = f"There is no {SHARED}, where MPI shares memory: mount a tmpfs there."
        return Finding("shared memory", "none", (sentence,))
    size, free = facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize
    found = f"{size / 1e9:.3g} GB in {SHARED}"
    if not os.access(SHARED, os.W_OK | os.X_OK):
        sentence = f"{SHARED}, where MPI shares memory, cannot be written: chmod 1777 {SHARED}."
        return Finding("shared memory", found, (sentence,))
    notes = list[str]()
    if size < LITTLE:
        notes.append(
            f"{SHARED} has {size / 1e6:.3g} MB, and larger models need more: docker run "
            "--shm-size=2g, or --ipc=host."
        )
    elif free < LITTLE:
        notes.append(
            f"{SHARED} has {free / 1e6:.3g} MB left: remove what killed programs left in it."
        )
    return Finding("shared memory", found, notes=tuple(notes))


def scheduler() -> Finding:
    """The batch system, and whether this is a job of it."""
    for name, variable, submits in (
        ("slurm", "SLURM_JOB_ID", "sbatch"),
        ("pbs", "PBS_JOBID", "qsub"),
    ):
        if number := os.environ.get(variable):
            return Finding("scheduler", f"{name}, in its job {number}")
        if shutil.which(submits):
            return Finding("scheduler", f"{name}, outside of its jobs")
    return Finding("scheduler", "none")


def site() -> Finding:
    """The site file that describes this machine, and what does not fit it."""
    from mpidl.ensemble import shapes, sites

    name = site_name()
    known = sites.read(name)
    places = len(shapes.places(known))
    told = f"launcher {known.launcher}, scheduler {known.scheduler}"
    found = f"{name}: {told}, {places} {'place' if places == 1 else 'places'} on a node"
    program = launcher.path()
    mine, kind = described(program) if program else ("", "")
    if not kind or kind == known.launcher:
        return Finding("site", found)
    sentence = (
        f"Studies start runs as launcher = {known.launcher!r} takes it, and {program} is {mine}: "
        f"in a copy of launch/sites/{name}.toml set {kind!r}, and give it by --site."
    )
    return Finding("site", found, notes=(sentence,))


def site_name() -> str:
    """The site whose name is a part of this host's, or else the one of its batch system."""
    from mpidl.config import shipped

    if given := os.environ.get("MPIDL_SITE"):
        return given
    parts = socket.getfqdn().split(".")
    known = [file.stem for file in sorted((shipped.folder() / "launch/sites").glob("*.toml"))]
    named = next((name for name in known if name in parts), None)
    slurm = "SLURM_JOB_ID" in os.environ or shutil.which("sbatch")
    return named or ("slurm" if slurm else "local")
