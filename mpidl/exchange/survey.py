"""Survey of hardware, ranks and graph, made once, which decides which backends work."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mpidl.config.faults import Fault, first_line
from mpidl.exchange.backend import BACKENDS
from mpidl.exchange.trips import trips
from mpidl.exchange.wiring import Wiring
from mpidl.ranks import host, sharing
from mpidl.ranks.accelerators import torch_version
from mpidl.ranks.node import room

if TYPE_CHECKING:
    import torch

SEVERAL = "NCCL_MULTI_RANK_GPU_ENABLE"
"""With this set to 1, NCCL takes several ranks on a GPU since version 2.30."""

MEGA = 1_000_000


@dataclass(frozen=True)
class Facts:
    """Facts that decide how vectors travel; the same on every rank.

    Attributes:
        kinds: Kinds of memory that hold vectors: some of ``cpu``, ``cuda`` and ``xpu``.
        nodes: Number of nodes.
        crowded: Whether several ranks share an accelerator.
        several: Whether NCCL takes several ranks on a GPU, as it was asked to.
        reach: Whether every rank can read the memory of all accelerators of its node.
        unmapped: The failure when ranks tried to map each other's accelerator memory; empty if it
            worked, or was not tried.
        groups: The backends of torch.distributed that every rank has.
        broken: For backends that are installed and do not load, where and why.
        mended: Whether messages of xccl arrive in this torch, that is, in 2.9 or later.
        travel: Whether any rank reads a vector of another one.
        uniform: Whether every device takes the mean of all in every round.
        delayed: Whether neighbors' vectors are those of the last round.
        changing: Whether links differ from round to round.
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
    broken: Mapping[str, str] = field(default_factory=dict)
    mended: bool = True
    travel: bool = True
    uniform: bool = False
    delayed: bool = False
    changing: bool = False
    needed: int = 0
    room: int = 0


def obstacle(name: str, facts: Facts) -> str | None:
    """The reason why a backend does not work here, as the rest of a sentence; None if it works."""
    properties = BACKENDS.properties(name)
    carries = properties.carries
    if carries and not (len(facts.kinds) == 1 and facts.kinds <= {*carries}):
        able, kinds = " or ".join(carries), " and ".join(sorted(facts.kinds))
        return f"carries vectors in {able} memory, and here they are in {kinds} memory"
    if name in facts.broken:
        return f"is installed and does not load on {facts.broken[name]}"
    if properties.available and name not in facts.groups:
        return properties.absent
    return properties.obstacle(facts)


def require(name: str, facts: Facts) -> None:
    """Check that a backend works here.

    Raises:
        Fault: If it does not; every rank raises the same.
    """
    reason = obstacle(name, facts)
    if reason is not None:
        able = (n for n in BACKENDS if BACKENDS.properties(n).carries and not obstacle(n, facts))
        listed = ", ".join(repr(n) for n in ("auto", *able))
        raise Fault(f"exchange.backend = {name!r}: {reason}; {listed} and 'mpi' work.")


def foresee(name: str, kind: str) -> None:
    """Check that a backend works here, as far as one process can tell.

    Args:
        name: The backend.
        kind: The memory in which vectors will lie.

    Raises:
        Fault: If it does not.
    """
    found, broken = _common([groups(kind, name)])
    facts = Facts(frozenset({kind}), groups=found, broken=broken)
    properties = BACKENDS.properties(name)
    if properties.carries and not (properties.met and kind in properties.carries):
        require(name, facts)


def survey(wiring: Wiring, asked: str = "") -> Facts:
    """Collective. The facts that decide how vectors travel.

    Args:
        wiring: The wiring of the exchange.
        asked: The backend that a user names; empty for ``auto``.
    """
    from mpi4py import MPI

    device, node, comm = wiring.device, wiring.node, wiring.comm
    own = int(node.ranks[comm.rank]), sharing.identity(device)
    of_ranks = comm.allgather(
        (device.type, own, groups(device.type, asked), sends_arrive(), several(), _room(wiring))
    )
    kinds, places, groups_of_ranks, mended, shared, rooms = zip(*of_ranks, strict=True)
    needed, room = max(rooms, key=lambda pair: pair[0] - pair[1])
    found, broken = _common(groups_of_ranks)
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
        groups=found,
        broken=broken,
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
    """Megabytes of this node's slab, and of the room for it; 0 and 0 if the node has one rank."""
    from mpidl.exchange.slab import demand

    if wiring.device.type != "cpu" or wiring.node.inner.size == 1:
        return 0, 0
    return -(-demand(wiring) // MEGA), room() // MEGA


def groups(kind: str, asked: str = "") -> dict[str, str]:
    """The backends of torch.distributed in this process.

    Args:
        kind: The memory that holds vectors.
        asked: The backend that a user names; empty for ``auto``.

    Returns:
        For each one that is installed an empty text, or where and why it does not load.
    """
    found = {}
    for name in BACKENDS:
        available = BACKENDS.properties(name).available
        try:
            if available is not None and available(kind, name == asked):
                found[name] = ""
        except Exception as error:  # a package beside torch may raise anything
            found[name] = f"{host.name()} ({type(error).__name__}: {first_line(error)})"
    return found


def _common(of_ranks: Iterable[Mapping[str, str]]) -> tuple[frozenset[str], dict[str, str]]:
    """The backends that load on every rank, and the first reason for each that fails on some."""
    of_ranks = list(of_ranks)
    broken = {name: why for found in of_ranks[::-1] for name, why in found.items() if why}
    return frozenset.intersection(*map(frozenset, of_ranks)) - broken.keys(), broken


def sends_arrive() -> bool:
    """Whether messages of this torch's xccl arrive; before 2.9 they may hang (pytorch 156782)."""
    return torch_version() >= (2, 9)


def several() -> bool:
    """Whether NCCL is set to take several ranks on a GPU, and is new enough to do so."""
    if os.environ.get(SEVERAL) != "1":
        return False
    import torch

    if not torch.cuda.is_available():
        return False
    major, minor, *_ = torch.cuda.nccl.version()  # type: ignore[no-untyped-call]
    return (major, minor) >= (2, 30)


def _reaches(device: "torch.device", accelerators: list[str]) -> bool:
    """Whether a CUDA GPU can read the memory of other GPUs, all of which its process must see."""
    import torch

    visible = {sharing.identity(device, i): i for i in range(torch.cuda.device_count())}
    access = torch.cuda.can_device_access_peer
    return all(
        name in visible and (visible[name] == device.index or access(device.index, visible[name]))
        for name in accelerators
    )
