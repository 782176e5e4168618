"""Sharing of accelerators among the ranks of a node."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from mpidl.ranks.world import Comm

MASKS = ("CUDA_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""Variables that hide accelerators of a node from a process."""


def identity(device: "torch.device", index: int | None = None) -> str:
    """A text that identifies an accelerator of a node, whatever its number is for this rank.

    Args:
        device: The accelerator of this rank.
        index: The number of another one; None for that of the device.
    """
    if device.type == "cpu":
        return ""
    import torch

    index = device.index if index is None else index
    properties = getattr(torch, device.type).get_device_properties(index)
    # The tiles of an XPU may have one UUID; each CUDA GPU has its own.
    uuid = getattr(properties, "uuid", None) if device.type == "cuda" else None
    return str(uuid) if uuid else f"{[os.environ.get(mask, '') for mask in MASKS]} {index}"


def count(comm: "Comm", device: "torch.device") -> int:
    """Collective. The number of ranks that compute on this rank's accelerator; 1 on processors.

    Args:
        comm: The ranks of this node.
        device: The hardware of this rank.
    """
    identities = comm.allgather(identity(device))
    return 1 if device.type == "cpu" else identities.count(identities[comm.rank])


def distant(comm: "Comm", device: "torch.device") -> set[int]:
    """Collective. The ranks of this node that compute on another accelerator than this rank."""
    identities = comm.allgather(identity(device))
    return {rank for rank, other in enumerate(identities) if other != identities[comm.rank]}


def expected_sharers(ranks: int, kind: str) -> int:
    """The most ranks of a node that will share one accelerator, as far as one process can see.

    If a mask shows this process one accelerator, each rank may have its own: 1.
    """
    if kind == "cpu":
        return 1
    import torch

    visible = getattr(torch, kind).device_count()
    masked = visible == 1 and any(mask in os.environ for mask in MASKS)
    return 1 if masked else -(-ranks // visible)
