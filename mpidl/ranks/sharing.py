"""Sharing of accelerators: which ranks of a node compute on the same one."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from mpidl.ranks.world import Comm

MASKS = ("CUDA_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""Variables that hide accelerators of a node from a process."""


def identity(device: "torch.device", index: int | None = None) -> str:
    """What tells the accelerators of a node apart, whatever numbers ranks know them by.

    Args:
        device: That of this rank.
        index: The number of another one; None for that of the device.
    """
    if device.type == "cpu":
        return ""
    import torch

    index = device.index if index is None else index
    properties = getattr(torch, device.type).get_device_properties(index)
    # The tiles of an XPU may have one name; those of CUDA's GPUs are their own.
    uuid = getattr(properties, "uuid", None) if device.type == "cuda" else None
    return str(uuid) if uuid else f"{[os.environ.get(mask, '') for mask in MASKS]} {index}"


def count(comm: "Comm", device: "torch.device") -> int:
    """Collective. How many ranks compute on this rank's accelerator; 1 on processors.

    Args:
        comm: The ranks of this node.
        device: What this rank computes on.
    """
    there = comm.allgather(identity(device))
    return 1 if device.type == "cpu" else there.count(there[comm.rank])


def distant(comm: "Comm", device: "torch.device") -> set[int]:
    """Collective. Which ranks, all of them on one node, compute on another accelerator."""
    there = comm.allgather(identity(device))
    return {rank for rank, other in enumerate(there) if other != there[comm.rank]}


def foreseen(ranks: int, kind: str) -> int:
    """The most of a node's ranks that will take one accelerator, as far as one process can tell.

    Where a mask shows it only one, that may be another one for each rank: 1.
    """
    if kind == "cpu":
        return 1
    import torch

    there = getattr(torch, kind).device_count()
    masked = there == 1 and any(mask in os.environ for mask in MASKS)
    return 1 if masked else -(-ranks // there)
