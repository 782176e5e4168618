"""The command line and the environment that start one run, in each launcher's words.

A rank is bound to the cores of its place. Where the places are all cores of a node that a run has
for itself, the launcher and the operating system place its ranks. The list of cores is that of a
run's first node, and is used on each of its nodes.
"""

import signal
from collections.abc import Mapping, Sequence

from mpidl.ensemble import sites
from mpidl.ensemble.sites import Shape, Site
from mpidl.ranks import host

IN_A_JOB = ("SLURM_JOB_ID", "SLURM_JOBID")
"""By these srun finds the nodes that it may use."""

BESIDE_OTHERS = {"HYDRA_LAUNCHER_EXTRA_ARGS": "--overlap"}
"""Where Hydra reaches nodes by srun, which else waits until nothing else uses them."""


REQUESTS = (signal.SIGUSR1, signal.SIGTERM)
"""Signals by which a run is asked to stop: by whoever started it, by a batch system."""


def deaf(code: int) -> bool:
    """Whether a run that was asked to stop ended so, as it did not listen yet; it can start again.

    The signal itself ended its ranks: a process of one's own then has the negative number as its
    exit code, Hydra's mpiexec the number, others 128 more, as shells have it.
    """
    return any(code in (-number, number, 128 + number) for number in REQUESTS)


def command(site: Site, shape: Shape, hosts: Sequence[str], number: int = 0) -> list[str]:
    """The words that start the ranks of a run; those of the program follow.

    Args:
        site: Where.
        shape: How the run lies on nodes.
        hosts: Its nodes, as the launcher knows them.
        number: Its slot, on a node that several runs share.
    """
    composed = {"hydra": _hydra, "pals": _pals, "openmpi": _openmpi, "srun": _srun}
    words = composed[site.launcher](site, shape, hosts, _cores(site, shape, number))
    if site.launcher == "openmpi":
        # Nothing but its own variables does it take to other nodes.
        told = [*site.environment, *_mask(site, shape, number)]
        words += [word for name in told for word in ("-x", name)]
    return words + site.options


def environment(
    site: Site, shape: Shape, number: int, outside: Mapping[str, str]
) -> dict[str, str]:
    """The variables of a run: those outside, the site's, and what its slot may see.

    Args:
        site: Where.
        shape: How the run lies on nodes.
        number: Its slot, on a node that several runs share.
        outside: The variables of the process that starts it, which may be a rank itself.
    """
    found = host.unlaunched(outside)
    if site.scheduler == "slurm" and site.launcher in ("hydra", "srun"):
        found |= {name: outside[name] for name in IN_A_JOB if name in outside}
        found |= BESIDE_OTHERS if site.launcher == "hydra" else {}
    return found | site.environment | _mask(site, shape, number)


def _mask(site: Site, shape: Shape, number: int) -> dict[str, str]:
    """The accelerators of a run that takes some of its node's places."""
    if not site.node.mask or shape.places == len(sites.places(site)):
        return {}
    seen = [place.accelerator for place in sites.slot(site, shape, number) if place.accelerator]
    return {site.node.mask: ",".join(seen)}


def _cores(site: Site, shape: Shape, number: int) -> list[str]:
    """The cores of each rank of a node; none where nothing has to be kept apart."""
    if shape.whole and not isinstance(site.node.cpus, list):
        return []
    return [at.place.cpus for at in sites.bindings(site, shape, number) if at.node == 0]


def _numbers(cpus: str) -> list[int]:
    """The numbers in a list of cores such as ``0-2,8``."""
    ends = [part.partition("-") for part in cpus.split(",")]
    return [core for low, _, high in ends for core in range(int(low), int(high or low) + 1)]


def _here(hosts: Sequence[str]) -> bool:
    """Whether a run's only node is this one."""
    short = [name.partition(".")[0] for name in hosts]
    return short in (["localhost"], [host.name().partition(".")[0]])


def _hydra(site: Site, shape: Shape, hosts: Sequence[str], cores: list[str]) -> list[str]:
    words = ["mpiexec", "-n", str(shape.ranks), "-ppn", str(shape.per_node)]
    words += ["-hosts", ",".join(hosts)]
    if _here(hosts):
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
    words = ["taskset", "-c", ",".join(dict.fromkeys(cores))] if cores and _here(hosts) else []
    words += ["mpiexec", "-n", str(shape.ranks), "--oversubscribe", "--bind-to", "none"]
    words += ["--host", ",".join(f"{name}:{shape.per_node}" for name in hosts)]
    return words


def _srun(site: Site, shape: Shape, hosts: Sequence[str], cores: list[str]) -> list[str]:
    words = ["srun", "--overlap", "--nodes", str(shape.nodes), "--ntasks", str(shape.ranks)]
    if shape.ranks == shape.nodes * shape.per_node:
        words += ["--nodelist", ",".join(hosts), "--ntasks-per-node", str(shape.per_node)]
        words += ["--distribution", "block"]
    else:
        # Only so can the last node have fewer ranks than others: each rank's node is named.
        named = [name for name in hosts for _ in range(shape.per_node)][: shape.ranks]
        words += ["--nodelist", ",".join(named), "--distribution", "arbitrary"]
    if site.node.ranks_per_place > 1:
        words += ["--overcommit"]
    if cores:
        masks = [f"{sum(1 << core for core in _numbers(text)):#x}" for text in cores]
        words += [f"--cpu-bind=mask_cpu:{','.join(masks)}"]
    return words
