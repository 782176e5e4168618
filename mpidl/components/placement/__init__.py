"""Which samples live on which device, where OOD data sits, and which devices share a rank."""

from mpidl.components.placement.location import chosen, hosts, sources
from mpidl.components.placement.splits import PLACEMENTS, dirichlet, iid, label_counts, shards

__all__ = ["PLACEMENTS", "chosen", "dirichlet", "hosts", "iid", "label_counts", "shards", "sources"]
