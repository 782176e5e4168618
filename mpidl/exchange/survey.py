"""A survey of hardware, ranks and graph, once: which backends work, and which is taken."""

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpidl.config.faults import Fault
from mpidl.exchange.backend import BACKENDS, Wiring
from mpidl.exchange.trips import trips
from mpidl.ranks import sharing
from mpidl.ranks.node import room

if TYPE_CHECKING:
    import torch

SEVERAL = "NCCL_MULTI_RANK_GPU_ENABLE"
"""With this set to 1, NCCL takes several ranks on a GPU since version 2.30."""

MEGA = 1_000_000


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
    told = BACKENDS.properties(name)
    if told.carries and facts.kinds != {told.carries}:
        there = " and ".join(sorted(facts.kinds))
        return f"carries vectors in {told.carries} memory, and here they are in {there} memory"
    if told.available and name not in facts.groups:
        return "is not in the torch of every rank"
    return told.obstacle(facts)


def require(name: str, facts: Facts) -> None:
    """See that a backend works here.

    Raises:
        Fault: If it does not; every rank raises the same.
    """
    reason = obstacle(name, facts)
    if reason is not None:
        able = (n for n in BACKENDS if BACKENDS.properties(n).carries and not obstacle(n, facts))
        told = ", ".join(repr(n) for n in ("auto", *able))
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
    told = BACKENDS.properties(name)
    if told.carries and not (told.met and told.carries == kind):
        require(name, facts)


def survey(wiring: Wiring) -> Facts:
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
    for name in BACKENDS if facts.travel else ():
        trial = BACKENDS.properties(name).trial
        if trial is not None and obstacle(name, facts) is None:
            facts = trial(wiring, facts)
    return facts


def _room(wiring: Wiring) -> tuple[int, int]:
    """Megabytes of this node's slab, and of what is free for it; nothing where one rank has all."""
    from mpidl.exchange.slab import demand

    if wiring.device.type != "cpu" or wiring.node.inner.size == 1:
        return 0, 0
    return -(-demand(wiring) // MEGA), room() // MEGA


def groups(kind: str) -> list[str]:
    """The backends of torch.distributed in this process, for vectors in this kind of memory."""
    told = ((name, BACKENDS.properties(name).available) for name in BACKENDS)
    return [name for name, available in told if available is not None and available(kind)]


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


def _reaches(device: "torch.device", accelerators: list[str]) -> bool:
    """Whether a CUDA GPU can read the memory of these, all of which its process has to see."""
    import torch

    seen = {sharing.identity(device, i): i for i in range(torch.cuda.device_count())}
    access = torch.cuda.can_device_access_peer
    return all(
        name in seen and (seen[name] == device.index or access(device.index, seen[name]))
        for name in accelerators
    )
