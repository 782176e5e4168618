"""Places of mixing weights in one array, of all members that a round may have."""

import itertools
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import networkx as nx
import numpy as np
import numpy.typing as npt

from mpidl.exchange.wiring import Wiring

Array = npt.NDArray[np.float64]
Members = Sequence[int]
MixingWeights = Mapping[int, tuple[Members, Array]]
"""For each own device the members of its neighborhood and their weights, ``(K,)``."""


class Slots:
    """Places of the weights of devices' possible members, in one array.

    Args:
        members: For each device the devices whose vectors it may read: itself, then its
            in-neighbors in ascending order.
    """

    def __init__(self, members: Mapping[int, list[int]]) -> None:
        self.members = members
        starts = np.cumsum([0, *map(len, members.values())]).tolist()
        self.size: int = starts[-1]
        self._slices = {
            i: slice(*ends) for i, ends in zip(members, itertools.pairwise(starts), strict=True)
        }

    def fill(self, given: MixingWeights, weights: Array) -> None:
        """Put the mixing weights of devices into the array of all weights, ``(size,)``."""
        for device, (members, own) in given.items():
            known, slots = self.members[device], weights[self._slices[device]]
            if list(members) == known:
                slots[:] = own
            else:
                slots[:] = 0
                slots[[0, *(bisect_left(known, m, 1) for m in members[1:])]] = own


def members_of(graph: nx.DiGraph, devices: Sequence[int]) -> dict[int, list[int]]:
    """For each device itself and its in-neighbors, in the order of its mixing weights."""
    return {i: [i, *sorted(graph.predecessors(i))] for i in devices}


def slots_of(wiring: Wiring, devices: Sequence[int]) -> Slots:
    """The places of the possible members of some devices.

    If all devices take the mean of all, they add in one order, and so get the same bits.
    """
    if wiring.uniform:
        everyone = list(range(len(wiring.hosts)))
        return Slots(dict.fromkeys(devices, everyone))
    return Slots(members_of(wiring.graph, devices))
