"""A survey of hardware, ranks and graph, once: which backends work, and which is taken."""

import importlib.util
import os
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.config.faults import Fault
from mpidl.exchange.trips import trips
from mpidl.ranks import sharing
from mpidl.ranks.node import SHARED, room

if TYPE_CHECKING:
    import torch

    from mpidl.exchange import Wiring

HOME = {"shared": "cpu", "gloo": "cpu", "nccl": "cuda", "ipc": "cuda", "xccl": "xpu", "ccl": "xpu"}
"""By backend, the memory whose vectors it carries. Those that are not here carry any."""

SEVERAL = "NCCL_MULTI_RANK_GPU_ENABLE"
"""With this set to 1, NCCL takes several ranks on a GPU since version 2.30."""

Hosts = npt.NDArray[np.int64]

MEGA = 1_000_000

GROUPS = ("gloo", "nccl", "xccl", "ccl")
"""The backends of torch.distributed."""


@dataclass(frozen=True)
class Facts:
    """What decides how vectors travel; the same on every rank.

    Attributes:
        kinds: Where vectors lie: some of ``cpu``, ``cuda`` and ``xpu``.
        nodes: How many nodes the ranks are on.
        crowded: Whether several ranks share an accelerator.
        several: Whether NCCL takes several ranks on a GPU, as it was asked to.
        reach: Whether every rank can read the memory of all accelerators of its node.
        unmapped: What failed when ranks tried to map each other's accelerator memory; empty where
            nothing did, or there was no reason to try.
        groups: The backends of torch.distributed that every rank has.
        mended: Whether this torch is one whose sends by xccl arrive, that is 2.9 or later.
        travel: Whether any rank reads a vector of another one.
        uniform: Whether every device takes the mean of all in every round.
        delayed: Whether neighbors' vectors are those of the last round.
        changing: Whether links are others in each round.
        needed: Megabytes of the largest slab that the ranks of a node would share.
        room: Megabytes that are free for it.
    """

    kinds: frozenset[str]
    nodes: int = 1
    crowded: bool = False
    several: bool = False
    reach: bool = False
    unmapped: str = ""
    groups: frozenset[str] = frozenset()
    mended: bool = True
    travel: bool = True
    uniform: bool = False
    delayed: bool = False
    changing: bool = False
    needed: int = 0
    room: int = 0


def obstacle(name: str, facts: Facts) -> str | None:
    """Why a backend does not work here, as the rest of a sentence; None where it does."""
    home = HOME.get(name)
    if home is not None and facts.kinds != {home}:
        there = " and ".join(sorted(facts.kinds))
        return f"carries vectors in {home} memory, and here they are in {there} memory"
    if name == "shared" and facts.needed > facts.room:
        return (
            f"needs {facts.needed:,} MB of memory that ranks share, and {SHARED} of a node has "
            f"{facts.room:,} MB"
        )
    if name in GROUPS and name not in facts.groups:
        return "is not in the torch of every rank"
    if name == "nccl" and facts.crowded and not facts.several:
        # NCCL ends such a start with "Duplicate GPU detected".
        return f"takes one rank per GPU, and here ranks share one (since 2.30 {SEVERAL}=1 lets it)"
    if name == "ipc" and facts.nodes > 1:
        return f"reads GPUs of one node, and the ranks are on {facts.nodes}"
    if name == "ipc" and not facts.reach:
        return "reads other GPUs' memory, which the GPUs here, or those that ranks see, cannot"
    if name == "ipc" and facts.unmapped:
        return f"maps the memory of other ranks, which fails here: {facts.unmapped}"
    if name == "allreduce" and not facts.uniform:
        return "gives every device the mean of all, which the run does not want"
    return None


def require(name: str, facts: Facts) -> None:
    """See that a backend works here.

    Raises:
        Fault: If it does not; every rank raises the same.
    """
    reason = obstacle(name, facts)
    if reason is not None:
        working = [n for n in ("shared", *GROUPS, "ipc") if obstacle(n, facts) is None]
        told = ", ".join(repr(n) for n in ("auto", *working))
        raise Fault(f"exchange.backend = {name!r}: {reason}; {told} and 'mpi' work.")


def foresee(name: str, kind: str) -> None:
    """See that a backend works here, as far as one process can tell.

    Args:
        name: The backend.
        kind: The memory in which vectors will lie.

    Raises:
        Fault: If it does not.
    """
    facts = Facts(frozenset({kind}), groups=frozenset(groups(kind)))
    # Whether GPUs read each other's memory is asked when all ranks are there.
    if name in HOME and not (name == "ipc" and kind == "cuda"):
        require(name, facts)


def choose(facts: Facts) -> tuple[str, str]:
    """The backend that ``auto`` takes, and why."""
    if facts.delayed:
        return "mpi", "vectors travel while devices train"
    if facts.kinds == {"cpu"}:
        short = obstacle("shared", facts)
        if short is None and facts.changing:
            return "shared", "the graph changes, and vectors in host memory are read where they lie"
        if short is None:
            return "shared", "vectors are in host memory"
        return ("allreduce" if facts.uniform else "mpi"), f"shared {short}"
    if facts.uniform:
        return "allreduce", "every device takes the mean of all"
    if len(facts.kinds) > 1:
        return "mpi", f"vectors are in {' and '.join(sorted(facts.kinds))} memory"
    if not facts.travel:
        return "mpi", "no rank reads a vector of another"
    if obstacle("ipc", facts) is None:
        return "ipc", "GPUs share a node" if not facts.crowded else "ranks share a GPU"
    # Where it was tried, a reader should know why the fastest way is not taken.
    but = f"; ipc {obstacle('ipc', facts)}" if facts.unmapped else ""
    if facts.crowded:
        return "mpi", f"ranks share an accelerator{but}"
    if facts.kinds == {"xpu"} and facts.nodes > 1:
        # Messages of torch over oneCCL between nodes were broken on Aurora until early 2026.
        return "mpi", "it is the one proven on XPUs of several nodes"
    if "xccl" in facts.groups and facts.kinds == {"xpu"} and not facts.mended:
        return "mpi", "messages of xccl may never arrive in a torch before 2.9"
    group = {"cuda": ["nccl"], "xpu": ["xccl", "ccl"]}[min(facts.kinds)]
    for name in group:
        if obstacle(name, facts) is None:
            return name, f"each rank has an accelerator of its own{but}"
    return "mpi", f"{group[0]} {obstacle(group[0], facts)}{but}"


def dense(graph: nx.DiGraph, hosts: Hosts, ranks: int) -> bool:
    """Whether ranks want more than half of what they get if every vector goes to every rank.

    With one device per rank: whether the mean in-degree is above half of the other ranks.
    """
    wanted = trips(graph, hosts)
    height = int(np.bincount(hosts, minlength=ranks).max())
    return 2 * len(wanted) > height * ranks * (ranks - 1)


def gathers(name: str, graph: nx.DiGraph, hosts: Hosts, ranks: int) -> bool:
    """Whether a backend sends every vector to every rank."""
    return name == "ccl" or (name in GROUPS and dense(graph, hosts, ranks))


def survey(wiring: "Wiring") -> Facts:
    """Collective. Find out what decides how vectors travel."""
    from mpi4py import MPI

    device, node, comm = wiring.device, wiring.node, wiring.comm
    own = int(node.ranks[comm.rank]), sharing.identity(device)
    told = comm.allgather(
        (device.type, own, groups(device.type), sends_arrive(), several(), _room(wiring))
    )
    kinds, places, found, mended, shared, rooms = zip(*told, strict=True)
    needed, room = max(rooms, key=lambda pair: pair[0] - pair[1])
    reach = False
    if "cuda" in kinds:
        here = [identity for number, identity in places if number == own[0]]
        reach = bool(comm.allreduce(device.type == "cuda" and _reaches(device, here), MPI.LAND))
    hosts = wiring.hosts
    facts = Facts(
        kinds=frozenset(kinds),
        nodes=node.count,
        crowded=device.type != "cpu" and max(Counter(places).values()) > 1,
        several=all(shared),
        reach=reach,
        groups=frozenset.intersection(*map(frozenset, found)),
        mended=all(mended),
        travel=len(trips(wiring.graph, hosts)) > 0,
        uniform=wiring.uniform,
        delayed=wiring.delayed,
        changing=wiring.changing,
        needed=needed,
        room=room,
    )
    if facts.travel and obstacle("ipc", facts) is None:
        from mpidl.exchange.windows import hindrance

        return replace(facts, unmapped=hindrance(wiring))
    return facts


def _room(wiring: "Wiring") -> tuple[int, int]:
    """Megabytes of this node's slab, and of what is free for it; nothing where one rank has all."""
    from mpidl.exchange.slab import demand

    if wiring.device.type != "cpu" or wiring.node.inner.size == 1:
        return 0, 0
    return -(-demand(wiring) // MEGA), room() // MEGA


def groups(kind: str) -> list[str]:
    """The backends of torch.distributed in this process, for vectors in this kind of memory."""
    import torch.distributed as dist

    if not dist.is_available():
        return []
    found = [name for name in ("gloo", "nccl", "xccl") if dist.is_backend_available(name)]
    # Where torch has xccl, the old bindings are gone, or end in an error when imported.
    if kind == "xpu" and "xccl" not in found and _bindings():
        found.append("ccl")
    return found


def sends_arrive() -> bool:
    """Whether messages of this torch's xccl arrive; before 2.9 they may hang (pytorch 156782)."""
    import torch

    major, minor, *_ = str(torch.__version__).split(".")
    return (int(major), int(minor)) >= (2, 9)


def several() -> bool:
    """Whether NCCL was asked to take several ranks on a GPU, and is new enough to do so."""
    if os.environ.get(SEVERAL) != "1":
        return False
    import torch

    if not torch.cuda.is_available():
        return False
    major, minor, *_ = torch.cuda.nccl.version()  # type: ignore[no-untyped-call]
    return (major, minor) >= (2, 30)


def _bindings() -> bool:
    """Whether oneCCL's old bindings load; they put ``ccl`` into torch.distributed."""
    name = "oneccl_bindings_for_pytorch"
    if importlib.util.find_spec(name) is None:
        return False
    try:
        importlib.import_module(name)
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def _reaches(device: "torch.device", accelerators: list[str]) -> bool:
    """Whether a CUDA GPU can read the memory of these, all of which its process has to see."""
    import torch

    seen = {sharing.identity(device, i): i for i in range(torch.cuda.device_count())}
    access = torch.cuda.can_device_access_peer
    return all(
        name in seen and (seen[name] == device.index or access(device.index, seen[name]))
        for name in accelerators
    )
