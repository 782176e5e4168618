"""Host and launcher, as this process is told of them, and what MPI and HDF5 read of it."""

import ctypes
import os
import platform
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

LAUNCHED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Variables in which launchers say how many ranks they started."""

RANKED = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")
"""The same launchers' variables for the number of this rank."""

LOCAL_RANKS = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE")
"""Those for the number of ranks on this node."""

OF_A_LAUNCH = (
    "PMI",
    "HYDI_",
    "MPI_LOCAL",
    *("PALS_AP", "PALS_DEPTH", "PALS_FD", "PALS_LOCAL_", "PALS_NODEID", "PALS_RANKID"),
    *("PALS_SPOOL_DIR", "PALS_STARTUP"),
    *("OMPI_APP_", "OMPI_ARGV", "OMPI_COMM", "OMPI_F", "OMPI_NUM_APP_CTX", "OMPI_UNIVERSE_SIZE"),
    *("OMPI_MCA_ess", "OMPI_MCA_initial_wdir", "OMPI_MCA_num_procs", "OMPI_MCA_orte"),
    *("OMPI_MCA_pmix", "OMPI_TOOL_NAME", "OMPI_WORLD", "PRTE_"),
    "MV2_COMM_WORLD",
    "SLURM_",
)
"""How the variables begin that a launcher sets in what it starts; its users set others."""

SLURM_IS = ("SLURM_CONF", "SLURM_MPI_TYPE")
"""What says where Slurm is and how it is used, inside a job and outside."""

NAP = 12.5e-6
"""Seconds per rank of a core that a waiting rank sleeps at a time; measured for 4 to 32."""

PR_SET_TIMERSLACK = 29


def told(names: Sequence[str]) -> int | None:
    """The number in the first of these variables that holds one."""
    return next((int(os.environ[n]) for n in names if os.environ.get(n, "").isdigit()), None)


def leads() -> bool:
    """Whether this process is the first rank, as far as its launcher says; MPI is not asked."""
    return not told(RANKED)


def affinity() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cores() -> int:
    """How many cores this process may use."""
    return len(affinity())


def launched() -> int:
    """How many ranks the launcher started; 1 without a launcher."""
    return told(LAUNCHED) or 1


SEGMENTS = ("mpich_shm_", "mpich_shar_")
"""How MPICH begins the names of shared memory that it removes only when a job ends well."""


def loaded(name: str, process: int | str = "self") -> list[str]:
    """Files in the memory of a process whose names begin so, where Linux tells."""
    try:
        lines = Path(f"/proc/{process}/maps").read_text().splitlines()
    except OSError:
        return []
    paths = dict.fromkeys(line.split(maxsplit=5)[-1] for line in lines if "/" in line)
    return [path for path in paths if Path(path).name.startswith(name)]


def forget_names() -> None:
    """Remove the names of the memory that MPI shares between this process and others."""
    _unlink([path for name in SEGMENTS for path in loaded(name)])


def forget_names_of(process: int) -> None:
    """Remove the names of the memory that a process shares, or is about to, as it will be killed.

    UCX keeps its names only until the memory is there.
    """
    found = [path for name in (*SEGMENTS, "ucx_shm_") for path in loaded(name, process)]
    with suppress(OSError):
        for handle in os.listdir(f"/proc/{process}/fd"):
            path = os.readlink(f"/proc/{process}/fd/{handle}")
            if Path(path).name.startswith((*SEGMENTS, "ucx_shm_")):
                found.append(path)
    _unlink(found)


def _unlink(paths: Sequence[str]) -> None:
    for path in paths:
        with suppress(OSError):
            os.unlink(path)


def unlaunched(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what told this process that a launcher or Slurm started it.

    What it starts would otherwise take itself for one of the same ranks, or ask Slurm for help.
    """
    return {
        name: value
        for name, value in environment.items()
        if name in SLURM_IS or not name.startswith(OF_A_LAUNCH)
    }


def name() -> str:
    """The name of this host."""
    return platform.node()


def namespace() -> int:
    """What tells processes with the same numbers apart: those of other containers."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def state(process: int) -> str:
    """The state of a process as Linux has it, such as ``T`` where a signal stopped it."""
    told = _told(process)
    return told[0] if told else ""


def born(process: int) -> int:
    """When a process began, in ticks of Linux' clock; 0 if nobody tells."""
    told = _told(process)
    return int(told[19]) if told else 0


def lives(process: int) -> bool:
    """Whether a process runs; one that has ended may stay as a zombie until it is asked for."""
    if Path("/proc/self").exists():
        return state(process) not in ("", "Z", "X")
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _told(process: int) -> list[str]:
    """What Linux says of a process behind its name."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _nap(seconds: float) -> None:
    """Let the short sleeps of this process be so long, where that is more than Linux's 50 us.

    MPICH's waiting ranks look around after each; at 32 ranks a core, they do little else.
    """
    if sys.platform == "linux" and seconds > 50e-6:
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, int(seconds * 1e9), 0, 0, 0)


def crowd(affinities: Iterable[Collection[int]]) -> float:
    """How many ranks there are to a core, where they are most.

    Ranks that are bound to cores of their own are no crowd, however many they are; of those that
    may use the same cores, or some of them, all must find room there.

    Args:
        affinities: The cores that each rank of a node may use.
    """
    ranks = [frozenset(own) for own in affinities]
    places = {*ranks, frozenset().union(*ranks)}
    return max(sum(own <= place for own in ranks) / len(place) for place in places)


def beside(ranks: int) -> list[set[int]]:
    """The cores of so many ranks of this node, before MPI knows them; none where nobody tells.

    They are what this one's parent started, or, where each has a shell around it, its parent.
    """
    process = os.getppid()
    for _ in range(2):
        found = []
        for child in _children(process):
            with suppress(OSError):
                found.append(os.sched_getaffinity(child))
        if len(found) >= ranks:
            return found
        process = int((_told(process) or ["", "0"])[1])
    return []


def _children(process: int) -> list[int]:
    """What a process has started."""
    found = list[int]()
    with suppress(OSError):
        for path in Path(f"/proc/{process}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


def advise() -> None:
    """Set what MPI and HDF5 read from the environment when they start."""
    # Where ranks outnumber cores, a waiting rank must give its core away.
    ranks = told(LOCAL_RANKS) or 1
    known = beside(ranks) if ranks > cores() else []
    packed = crowd(known) if known else ranks / cores()
    if packed > 1:
        os.environ.setdefault("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")
        _nap(NAP * packed)
    # MPI-IO takes no lock, readers do; without this a reader could stop the writer.
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
    # Of another library's mpiexec mpi4py warns on every rank; world() says it once.
    os.environ.setdefault("MPI4PY_CHECK_MPIEXEC", "0")
