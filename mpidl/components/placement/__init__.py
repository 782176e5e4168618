"""Placement of samples on devices, of OOD data in the graph, and of devices on ranks."""

from mpidl.components.placement.location import chosen, hosts, sources
from mpidl.components.placement.splits import (
    PLACEMENTS,
    dirichlet,
    given,
    iid,
    label_counts,
    shards,
)

__all__ = [
    "PLACEMENTS",
    "chosen",
    "dirichlet",
    "given",
    "hosts",
    "iid",
    "label_counts",
    "shards",
    "sources",
]
