"""Location of OOD data in the graph, and of devices on ranks."""

import re
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from mpidl.components import graphs
from mpidl.components.graphs import Topology
from mpidl.config.faults import Fault
from mpidl.config.seeds import stream

Array = npt.NDArray[Any]
Centrality = Literal["degree", "betweenness", "closeness", "eigenvector"]

CHOICE = re.compile(r"([a-z]+):([0-9]{1,9})(%?)")
FORM = (
    "must be a device number or 'NAME:NUMBER', such as 'degree:1' (first by that centrality: "
    f"{', '.join(get_args(Centrality))}), 'published:1' (as stored with the graph), 'random:2' "
    "(that many at random) or 'random:20%' (that share of all)"
)


def sources(wanted: int | str | list[int | str], topology: Topology, seed: int) -> list[int]:
    """The devices that hold OOD data, ascending, each once; see :func:`chosen`.

    Raises:
        Fault: If no device is named, or one that the graph does not have.
    """
    if wanted == []:
        raise Fault(f"ood.sources = []: must name at least one device; each {FORM}.")
    return chosen("ood.sources", wanted, topology, seed, "sources")


def chosen(
    setting: str, wanted: int | str | list[int | str], topology: Topology, seed: int, purpose: str
) -> list[int]:
    """The devices that a setting names, ascending, each once.

    Args:
        setting: The name of the setting, for messages.
        wanted: A number, ``"degree:1"`` or another centrality (first by that), ``"published:1"``
            (as stored with the graph), ``"random:2"`` or ``"random:20%"`` (that many at random, at
            least one), or a list of these.
        topology: The topology of the devices.
        seed: The seed of random choices.
        purpose: The purpose of the random draw.

    Raises:
        Fault: If a device is named that the graph does not have.
    """
    named = wanted if isinstance(wanted, list) else [wanted]
    try:
        return sorted({device for one in named for device in _choice(one, topology, seed, purpose)})
    except ValueError as reason:
        raise Fault(f"{setting} = {reason}") from None


def _choice(wanted: int | str, topology: Topology, seed: int, purpose: str) -> list[int]:
    last = len(topology) - 1
    if isinstance(wanted, int):
        if not 0 <= wanted <= last:
            raise ValueError(f"{wanted}: must be a device of the graph, 0 to {last}.")
        return [wanted]
    form = CHOICE.fullmatch(wanted)
    if not form or form[1] not in ("random", "published", *get_args(Centrality)):
        raise ValueError(f"{wanted!r}: {FORM}.")
    name, number, percent = form[1], int(form[2]), form[3]
    if percent and (name != "random" or not 1 <= number <= 100):
        raise ValueError(f"{wanted!r}: {FORM}.")
    if name == "random":
        candidates: list[int] = stream(seed, purpose).permutation(len(topology)).tolist()
        number = max(1, round(len(topology) * number / 100)) if percent else number
    elif name == "published":
        candidates = list(topology.published)
        if not candidates:
            raise ValueError(f"{wanted!r}: the graph stores no published OOD devices.")
    else:
        candidates = graphs.ranking(topology.measured, name)
    if not 1 <= number <= len(candidates):
        raise ValueError(f"{wanted!r}: the number must be 1 to {len(candidates)}.")
    return candidates[:number] if name == "random" else candidates[number - 1 : number]


def hosts(wanted: Literal["blocks", "round_robin"] | list[int], devices: int, ranks: int) -> Array:
    """The rank that hosts each device: ``(N,)`` int64, every rank at least once.

    ``"blocks"`` are contiguous; their sizes, and those of ``"round_robin"``, differ by at most
    one device. A list has the rank of each device.

    Raises:
        Fault: If there are more ranks than devices, or the list does not fit them.
    """
    if ranks > devices:
        raise Fault(
            f"{ranks} ranks are too many: each needs a device, and the graph has {devices}."
        )
    if wanted == "blocks":
        return np.arange(devices) * ranks // devices
    if wanted == "round_robin":
        return np.arange(devices) % ranks
    if len(wanted) != devices:
        raise Fault(
            f"placement.hosts lists {len(wanted)} ranks; must list {devices}, one for each device."
        )
    for device, rank in enumerate(wanted):
        if not 0 <= rank < ranks:
            raise Fault(
                f"placement.hosts puts device {device} on rank {rank}; must be 0 to {ranks - 1}."
            )
    if idle := sorted(set(range(ranks)) - set(wanted)):
        raise Fault(
            f"placement.hosts leaves rank {idle[0]} without a device; every rank needs one."
        )
    return np.array(wanted, dtype=np.int64)
