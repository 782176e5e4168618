"""Command line and environment that start one run, in each launcher's words.

A rank is bound to the cores of its place. Where a run has all cores of its nodes for itself and the
site lists none, the launcher and the operating system place its ranks. The list of cores is that of
the run's first node, and is used on each of its nodes.
"""

import math
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from mpidl.ensemble import shapes
from mpidl.ensemble.shapes import Shape
from mpidl.ensemble.sites import Site
from mpidl.ranks import host

IN_A_JOB = ("SLURM_JOB_ID", "SLURM_JOBID")
"""Variables by which srun finds the nodes that it may use."""

BESIDE_OTHERS = {"HYDRA_LAUNCHER_EXTRA_ARGS": "--overlap"}
"""Variables for Hydra where it starts by srun, which else waits until no one uses the nodes."""

REQUESTS = (signal.SIGUSR1, signal.SIGTERM)
"""Signals that ask a run to stop: from the process that started it, and from a batch system."""

AGAIN = 30.0
"""Seconds after which a run that goes on is asked once more: Hydra's mpiexec loses a signal that
comes before it has started its proxies."""


def ask(run: subprocess.Popen[bytes], last: float = -math.inf) -> float:
    """Ask a run to stop, unless the last request is newer than ``AGAIN``.

    Args:
        run: The launcher's process.
        last: The moment of the last request, by ``time.monotonic``.

    Returns:
        The moment of the last request now.
    """
    now = time.monotonic()
    if now - last < AGAIN:
        return last
    run.send_signal(REQUESTS[0])
    return now


def stopped(code: int, completed: bool) -> bool:
    """Whether a run that was asked to stop can start again.

    Args:
        code: The exit code of its launcher. MPICH 4.0's mpiexec may end with 0 after a signal,
            whatever the ranks say.
        completed: Whether the run is completed.
    """
    return killed_by_request(code) or (code == 0 and not completed)


def killed_by_request(code: int) -> bool:
    """Whether the signal that asked a run to stop killed it, as the run did not handle it yet.

    Such a run can start again. The exit code is the negative number of the signal for a child of
    this process; for Hydra's mpiexec the number, joined bit by bit with that of the SIGKILL by
    which it ends other ranks; and 128 more for others, as in shells.
    """
    killed = signal.SIGKILL
    return any(code in (-n, n, n | killed, 128 + n) for n in REQUESTS)


def command(site: Site, shape: Shape, hosts: Sequence[str], number: int = 0) -> list[str]:
    """The words that start the ranks of a run; those of the program follow.

    Args:
        site: The site.
        shape: The nodes and places of the run.
        hosts: Names of its nodes, as the launcher knows them.
        number: Its slot, on a node that several runs share.
    """
    composed = {"hydra": _hydra, "pals": _pals, "openmpi": _openmpi, "srun": _srun}
    words = composed[site.launcher](site, shape, hosts, _cores(site, shape, number))
    if site.launcher == "openmpi":
        # Open MPI passes only the variables that it is given to other nodes.
        names = [*site.environment, *_mask(site, shape, number)]
        words += [word for name in names for word in ("-x", name)]
    return words + site.options


def environment(
    site: Site, shape: Shape, number: int, outside: Mapping[str, str]
) -> dict[str, str]:
    """The variables of a run: those outside, the site's, and the accelerators of its slot.

    Args:
        site: The site.
        shape: The nodes and places of the run.
        number: Its slot, on a node that several runs share.
        outside: The variables of the process that starts it, which may be a rank itself.
    """
    variables = host.unlaunched(outside)
    if site.scheduler == "slurm" and site.launcher in ("hydra", "srun"):
        variables |= {name: outside[name] for name in IN_A_JOB if name in outside}
        variables |= BESIDE_OTHERS if site.launcher == "hydra" else {}
    return variables | site.environment | _mask(site, shape, number)


def _mask(site: Site, shape: Shape, number: int) -> dict[str, str]:
    """The variable that limits a run to its accelerators, if it takes only some of the places."""
    if not site.node.mask or shape.places == len(shapes.places(site)):
        return {}
    seen = [place.accelerator for place in shapes.slot(site, shape, number) if place.accelerator]
    return {site.node.mask: ",".join(seen)}


def _cores(site: Site, shape: Shape, number: int) -> list[str]:
    """The cores of each rank of a node; empty where ranks need no binding."""
    if shape.exclusive and not isinstance(site.node.cpus, list):
        return []
    return [at.place.cpus for at in shapes.bindings(site, shape, number) if at.node == 0]


def _numbers(cpus: str) -> list[int]:
    """The numbers in a list of cores such as ``0-2,8``."""
    ends = [part.partition("-") for part in cpus.split(",")]
    return [core for low, _, high in ends for core in range(int(low), int(high or low) + 1)]


def here(hosts: Sequence[str]) -> bool:
    """Whether a run's only node is this one."""
    short = [name.partition(".")[0] for name in hosts]
    return short in (["localhost"], [host.name().partition(".")[0]])


def _hydra(site: Site, shape: Shape, hosts: Sequence[str], cores: list[str]) -> list[str]:
    words = ["mpiexec", "-n", str(shape.ranks), "-ppn", str(shape.per_node)]
    words += ["-hosts", ",".join(hosts)]
    if here(hosts):
        words += ["-launcher", "fork"]
    elif site.scheduler == "slurm":
        words += ["-launcher", "slurm"]
    if cores:
        kept = ["+".join(map(str, _numbers(text))) for text in cores]
        words += ["-bind-to", f"user:{','.join(kept)}"]
    return words


def _pals(site: Site, shape: Shape, hosts: Sequence[str], cores: list[str]) -> list[str]:
    words = ["mpiexec", "-n", str(shape.ranks), "--ppn", str(shape.per_node)]
    words += ["--hosts", ",".join(hosts)]
    if cores:
        words += ["--cpu-bind", f"list:{':'.join(cores)}"]
    return words


def _openmpi(site: Site, shape: Shape, hosts: Sequence[str], cores: list[str]) -> list[str]:
    """Open MPI binds nothing here; what it starts on this node inherits the cores of mpiexec."""
    words = ["taskset", "-c", ",".join(dict.fromkeys(cores))] if cores and here(hosts) else []
    words += ["mpiexec", "-n", str(shape.ranks), "--oversubscribe", "--bind-to", "none"]
    words += ["--host", ",".join(f"{name}:{shape.per_node}" for name in hosts)]
    return words


def _srun(site: Site, shape: Shape, hosts: Sequence[str], cores: list[str]) -> list[str]:
    words = ["srun", "--overlap", "--nodes", str(shape.nodes), "--ntasks", str(shape.ranks)]
    if shape.ranks == shape.nodes * shape.per_node:
        words += ["--nodelist", ",".join(hosts), "--ntasks-per-node", str(shape.per_node)]
        words += ["--distribution", "block"]
    else:
        # Naming each rank's node lets the last node have fewer ranks than the others.
        named = [name for name in hosts for _ in range(shape.per_node)][: shape.ranks]
        words += ["--nodelist", ",".join(named), "--distribution", "arbitrary"]
    if site.node.ranks_per_place > 1:
        words += ["--overcommit"]
    if cores:
        masks = [f"{sum(1 << core for core in _numbers(text)):#x}" for text in cores]
        words += [f"--cpu-bind=mask_cpu:{','.join(masks)}"]
    return words
