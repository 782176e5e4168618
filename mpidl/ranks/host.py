"""Host and launcher of this process, and the environment variables of MPI and HDF5."""

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

LAUNCHED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Variables with the number of ranks that a launcher started."""

RANKED = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID")
"""Variables with the number of this rank, for the same launchers."""

LOCAL_RANKS = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_STEP_TASKS_PER_NODE")
"""Variables with the number of ranks on this node."""

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
"""Beginnings of the names of variables that a launcher sets for its ranks, and users do not."""

SLURM_IS = ("SLURM_CONF", "SLURM_MPI_TYPE")
"""Variables that configure Slurm, inside and outside a job."""

NAP = 12.5e-6
"""Seconds that a waiting rank sleeps at a time, per rank of its core; measured for 4 to 32."""

PR_SET_TIMERSLACK = 29


def first_number(names: Sequence[str]) -> int | None:
    """The number in the first of some variables that holds one; None without one."""
    return next((int(os.environ[n]) for n in names if os.environ.get(n, "").isdigit()), None)


def leads() -> bool:
    """Whether this process is rank 0, according to its launcher's variables, without MPI."""
    return not first_number(RANKED)


def affinity() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cores() -> int:
    """Number of cores that this process may use."""
    return len(affinity())


def launched() -> int:
    """Number of ranks that the launcher started; 1 without a launcher."""
    return first_number(LAUNCHED) or 1


SEGMENTS = ("mpich_shm_", "mpich_shar_")
"""Beginnings of names of MPICH's shared memory, which stays if a job does not end normally."""


def loaded(name: str, process: int | str = "self") -> list[str]:
    """Files in a process's memory whose names begin with a text; empty if Linux does not tell."""
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
    """Remove the names of the memory that a process shares, or will share, before it is killed.

    UCX keeps its names only until the memory is mapped.
    """
    paths = [path for name in (*SEGMENTS, "ucx_shm_") for path in loaded(name, process)]
    with suppress(OSError):
        for handle in os.listdir(f"/proc/{process}/fd"):
            path = os.readlink(f"/proc/{process}/fd/{handle}")
            if Path(path).name.startswith((*SEGMENTS, "ucx_shm_")):
                paths.append(path)
    _unlink(paths)


def _unlink(paths: Sequence[str]) -> None:
    for path in paths:
        with suppress(OSError):
            os.unlink(path)


def unlaunched(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the variables of a launcher or of Slurm.

    With them, a process that is started here would take itself for a rank of the same job.
    """
    return {
        name: value
        for name, value in environment.items()
        if name in SLURM_IS or not name.startswith(OF_A_LAUNCH)
    }


def mpiexec() -> str | None:
    """The mpiexec beside this Python, or the first on the path; None if there is none."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def name() -> str:
    """The name of this host."""
    return platform.node()


def namespace() -> int:
    """The PID namespace of this process, which differs for each container; 0 if unknown."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def state(process: int) -> str:
    """The state of a process on Linux, such as ``T`` if a signal stopped it; empty if unknown."""
    fields = _stat(process)
    return fields[0] if fields else ""


def born(process: int) -> int:
    """The start of a process, in clock ticks of Linux; 0 if unknown."""
    fields = _stat(process)
    return int(fields[19]) if fields else 0


def lives(process: int) -> bool:
    """Whether a process runs; a zombie, which has ended and waits for its parent, does not."""
    if Path("/proc/self").exists():
        return state(process) not in ("", "Z", "X")
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _stat(process: int) -> list[str]:
    """The fields behind the name in ``/proc/PID/stat``; empty if the process is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _nap(seconds: float) -> None:
    """Set the length of this process's short sleeps, if it is more than Linux's 50 us.

    MPICH's waiting ranks look for messages after each sleep; 32 ranks on a core do little else.
    """
    if sys.platform == "linux" and seconds > 50e-6:
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, int(seconds * 1e9), 0, 0, 0)


def crowd(affinities: Iterable[Collection[int]]) -> float:
    """The most ranks per core, among the cores of a node.

    Ranks that are bound to cores of their own count 1 per core; ranks that may use the same cores
    share them.

    Args:
        affinities: The cores that each rank of a node may use.
    """
    ranks = [frozenset(own) for own in affinities]
    places = {*ranks, frozenset().union(*ranks)}
    return max(sum(own <= place for own in ranks) / len(place) for place in places)


def sibling_cores(ranks: int) -> list[set[int]]:
    """The cores of each rank of this node, before MPI has started; empty if they are not found.

    The ranks are the children of this rank's parent, or of the parent's parent if each rank has a
    shell around it.
    """
    process = os.getppid()
    for _ in range(2):
        affinities = []
        for child in _children(process):
            with suppress(OSError):
                affinities.append(os.sched_getaffinity(child))
        if len(affinities) >= ranks:
            return affinities
        process = int((_stat(process) or ["", "0"])[1])
    return []


def _children(process: int) -> list[int]:
    """The children of a process."""
    children = list[int]()
    with suppress(OSError):
        for path in Path(f"/proc/{process}/task").glob("*/children"):
            children += map(int, path.read_text().split())
    return children


def advise() -> None:
    """Set the environment variables that MPI and HDF5 read when they start."""
    # If there are more ranks than cores, a waiting rank must yield its core.
    ranks = first_number(LOCAL_RANKS) or 1
    affinities = sibling_cores(ranks) if ranks > cores() else []
    packed = crowd(affinities) if affinities else ranks / cores()
    if packed > 1:
        os.environ.setdefault("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")
        _nap(NAP * packed)
    # MPI-IO takes no lock, but readers do; without this a reader could stop the writer.
    os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")
    # Open MPI's UCX component cannot share memory, for which alone mpidl has windows, and says so.
    os.environ.setdefault("OMPI_MCA_osc", "^ucx")
    # mpi4py warns on every rank of another library's mpiexec; world() says it once.
    os.environ.setdefault("MPI4PY_CHECK_MPIEXEC", "0")
