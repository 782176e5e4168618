"""All that follows from a run file alone: graph, weights, hosts, data; the same on every rank."""

from mpidl.plan.gossip_plan import SPECTRUM, Mixing, MixingWeights
from mpidl.plan.making import make, make_mixing
from mpidl.plan.plan import Plan
from mpidl.plan.reading import FREE, KINDS, codes, differences, lay_over, read

__all__ = [
    "FREE",
    "KINDS",
    "SPECTRUM",
    "Mixing",
    "MixingWeights",
    "Plan",
    "codes",
    "differences",
    "lay_over",
    "make",
    "make_mixing",
    "read",
]
