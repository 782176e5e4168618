"""Launcher of ranks: whose it is, whether the MPI library can join its ranks, how it stops them."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from mpidl.config.faults import Fault
from mpidl.ranks import host

MARKS = {
    "OMPI_COMM_WORLD_SIZE": "Open MPI's mpiexec",
    "I_MPI_HYDRA_TOPOLIB": "Intel MPI's mpiexec",
    "HYDI_CONTROL_FD": "MPICH's mpiexec",
    "MV2_COMM_WORLD_SIZE": "MVAPICH's mpiexec",
    # srun --mpi=cray_shasta sets the next one too.
    "SLURM_PROCID": "Slurm's srun",
    "PALS_RANKID": "PALS's mpiexec",
}
"""Variables that launchers set, and what these are called; of two, the first one is meant."""

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

PMIX = "PMIX_NAMESPACE"
"""Variable of launchers that speak PMIx with their ranks, as Open MPI's does."""

INNER = "PMI_SIZE"
"""Variable of MPICH's launcher and its like; with :data:`PMIX` MPICH takes it for a second one."""

FIRST_TO_ASK = 4, 2
"""The first version of MPICH that ends with a stack of errors where it does not speak PMIx."""

FIRST_WITHOUT_PMI = 5, 0
"""The first version of Open MPI that speaks nothing but PMIx."""

LOSES_CODES = 4, 0
"""The version of MPICH whose mpiexec may end with 0 after a signal, whatever the ranks say."""

DEADLY = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""Signals at which Open MPI's mpiexec kills its ranks within a second; it passes on SIGUSR1."""

PATIENCE = 10.0
"""Seconds in which a launcher must tell its version."""

Version = Sequence[int]


def name() -> str:
    """What the launcher of this process is called, by the variables that it set."""
    return next((called for mark, called in MARKS.items() if mark in os.environ), "the launcher")


def warning(vendor: str, version: Version) -> str:
    """What to beware of with the launcher of this process, in a sentence; empty if nothing.

    Args:
        vendor: The name of the MPI library.
        version: Its version.
    """
    if "HYDI_CONTROL_FD" in os.environ and vendor == "MPICH" and tuple(version[:2]) == LOSES_CODES:
        return (
            "The mpiexec of MPICH 4.0 may end with exit code 0 in place of 75 after a request to "
            "stop; start again with --resume, which leaves a completed run as it is"
        )
    if "OMPI_COMM_WORLD_SIZE" not in os.environ:
        return ""
    return (
        "Open MPI's mpiexec kills its ranks within a second of SIGTERM, SIGHUP or Ctrl-C, and the "
        "rounds since the last checkpoint are lost; SIGUSR1 to mpiexec stops with a checkpoint"
    )


@contextmanager
def sheltered(needed: bool) -> Iterator[None]:
    """Start Open MPI's mpiexec within this context, and it does not hear what it would die of.

    A batch system or a terminal signals every process of a job: the ranks hear it, and stop with a
    checkpoint. Who started mpiexec asks it by SIGUSR1.

    Args:
        needed: Whether it is Open MPI's; others pass signals on, and need to hear them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, DEADLY if needed else ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def described(mpiexec: str) -> tuple[str, str]:
    """The name and version of a launcher, and its kind in site files; empty if unknown."""
    told = ""
    with suppress(OSError, subprocess.SubprocessError):
        ended = subprocess.run(
            [mpiexec, "--version"],
            env=host.unlaunched(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        told = ended.stdout + ended.stderr
    called, kind = next((KINDS[word] for word in KINDS if word in told), ("", ""))
    number = re.search(r"\d+\.\d[\w.]*", told)
    return f"{called} {number[0]}" if called and number else called, kind


def request(mpiexec: str) -> signal.Signals:
    """The signal by which an mpiexec lets its ranks stop as after Ctrl-C."""
    return signal.SIGUSR1 if described(mpiexec)[1] == "openmpi" else signal.SIGINT


def check_joins(vendor: str, version: Version, text: str) -> None:
    """Refuse an MPI library which will not join this launcher's ranks, before it starts.

    Only where that is certain: another one is found by :func:`check_joined`.

    Args:
        vendor: The name of the library, such as ``MPICH``.
        version: Its version.
        text: What it says of itself, with the words by which it was configured.

    Raises:
        Fault: If it speaks another language than the launcher.
    """
    ranks, pmix = host.launched(), PMIX in os.environ
    if vendor == "MPICH" and pmix and "MPIR_CVAR_PMI_VERSION" not in os.environ:
        configured = re.search(r"^MPICH configure:(.*)", text, re.MULTILINE)
        deaf = configured is not None and "pmix" not in configured[1]
        if deaf and tuple(version) >= FIRST_TO_ASK:
            raise Fault(
                _nested(vendor) if INNER in os.environ else _sentence(vendor, version, ranks)
            )
    if vendor == "Open MPI" and not pmix and ranks > 1 and tuple(version) >= FIRST_WITHOUT_PMI:
        raise Fault(_sentence(vendor, version, ranks))


def check_joined(vendor: str, version: Version, ranks: int) -> None:
    """Refuse an MPI library which has not joined the ranks of this launcher.

    Args:
        vendor: The name of the library.
        version: Its version.
        ranks: The number of ranks that it sees.

    Raises:
        Fault: If the launcher started another number of ranks.
    """
    own = "OMPI_COMM_WORLD_SIZE" if vendor == "Open MPI" else "PMI_SIZE"
    # Inside a rank of one launcher, the ranks of another one see the variables of both.
    joined = ranks in (host.first_number([own]), host.first_number(host.LAUNCHED))
    if host.first_number(host.LAUNCHED) is not None and not joined:
        raise Fault(_sentence(vendor, version, host.launched(), ranks))


def _nested(vendor: str) -> str:
    return (
        f"{PMIX} is set beside {INNER}: mpiexec was started inside a rank of another launcher, and "
        f"{vendor} cannot tell whose rank this is; unset {PMIX} before mpiexec."
    )


def _sentence(vendor: str, version: Version, launched: int, seen: int = 1) -> str:
    library, whose = f"{vendor} {'.'.join(map(str, version))}", name()
    remedy = f"use the mpiexec of {vendor}"
    if whose == "Slurm's srun":
        remedy += f", or 'srun --mpi=TYPE' with a type of 'srun --mpi=list' that {vendor} speaks"
    else:
        remedy += ", or a Python whose mpi4py runs on the MPI of this one"
    return (
        f"{whose[0].upper()}{whose[1:]} started {launched} rank{'s' if launched > 1 else ''}, but "
        f"mpi4py runs on {library}, which cannot join them and sees {seen}: {remedy}."
    )
