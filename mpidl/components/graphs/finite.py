"""Topologies that change and agree exactly after a finite number of rounds."""

from collections import defaultdict
from collections.abc import Sequence as Listed
from functools import lru_cache
from itertools import combinations, pairwise

import numpy as np

from mpidl.components.graphs.families import TOPOLOGIES, Count
from mpidl.components.graphs.limits import affordable
from mpidl.components.graphs.sequences import Links, Sequence, both

Meeting = tuple[int, int, float]
"""Two devices that hear each other, and how much each counts there."""

Rounds = list[list[Meeting]]


@TOPOLOGIES.add(remedy="take more training.rounds")
def one_peer_exponential(devices: int, seed: int, /) -> Sequence:
    """Changes: each device hears one, that 1, 2, 4, ... before it around a circle, in turn.

    Where N is a power of two, equal weights (``unweighted``) give all devices the exact mean after
    ``log2(N)`` rounds. Source: Ying et al., 2021, arXiv 2110.13363.
    """
    period = max(1, (devices - 1).bit_length())
    device = np.arange(devices)

    def draw(turn: int) -> Links:
        links = np.column_stack([device, (device + 2**turn) % devices])
        return Links(links[links[:, 0] != links[:, 1]])

    return Sequence(devices, draw, period)


@TOPOLOGIES.add(remedy="take more training.rounds")
def base_k(devices: int, seed: int, /, degree: Count = 1) -> Sequence:
    """Changes: Base-(k+1) graphs, in each of which a device hears at most k = ``degree`` others.

    With the weights that they come with (``strategy.name = "given"``) all devices have the exact
    mean after at most ``2 log_{k+1}(N) + 2`` rounds, for every N. Source: Takezawa et al., 2023,
    arXiv 2305.11420.

    Raises:
        Fault: If they would have too many links.
    """
    affordable("base_k", devices, devices * min(degree, devices - 1))
    rounds = exact(list(range(devices)), min(degree, max(1, devices - 1))) or [[]]
    affordable("base_k", devices, 2 * sum(map(len, rounds)))

    def draw(turn: int) -> Links:
        meetings = rounds[turn]
        ends = np.array([pair for *pair, _ in meetings], np.int64).reshape(-1, 2)
        return Links(both(ends), np.array([weight for *_, weight in meetings] * 2))

    return Sequence(devices, draw, len(rounds))


def exact(members: Listed[int], k: int) -> Rounds:
    """The shortest of the known rounds after which some devices have the mean of all of them.

    Devices are cut into p groups of q, p the largest divisor of their number without a prime
    factor above k + 1; groups agree inside, then across (:func:`_levels`). Or they are not cut.
    """
    count = len(members)
    groups = max(
        p for p in range(1, count + 1) if count % p == 0 and _factors(p, k + 1) is not None
    )
    whole = _unequal(members, k)
    size = count // groups
    cut: Rounds = _side_by_side(
        [_unequal(members[at : at + size], k) for at in range(0, count, size)]
    ) + _side_by_side([_levels(members[at::size], k) for at in range(size)])
    return min(whole, cut, key=len)


def _levels(members: Listed[int], k: int) -> Rounds:
    """Blocks of up to k + 1 devices take their mean, then blocks of such blocks, and so on."""
    rounds, step = [], 1
    for size in _factors(len(members), k + 1) or ():
        starts = [i for i in range(len(members)) if i // step % size == 0]
        blocks = [members[i : i + step * size : step] for i in starts]
        rounds.append([(i, j, 1 / size) for block in blocks for i, j in combinations(block, 2)])
        step *= size
    return rounds


@lru_cache(maxsize=4096)
def _factors(number: int, most: int) -> tuple[int, ...] | None:
    """The fewest factors from 2 to ``most`` whose product a number is; None without such."""
    if number == 1:
        return ()
    found = [
        (factor, *rest)
        for factor in range(min(number, most), 1, -1)
        if number % factor == 0 and (rest := _factors(number // factor, most)) is not None
    ]
    return min(found, key=len, default=None)


def _unequal(members: Listed[int], k: int) -> Rounds:
    """Groups of falling size agree inside, then with all smaller ones together, then inside again.

    The number of devices in base k + 1 says the groups: digit a at place p is one of a blocks of
    ``(k + 1)^p`` devices. Of S devices in a group and all smaller ones, each of the smaller ones
    meets one device in every block, and both count ``(k + 1)^p / S`` there: after that the mean of
    each block, and that of the smaller groups together, is the mean of all.
    """
    if _factors(len(members), k + 1) is not None:
        return _levels(members, k)
    groups = _digits(len(members), k + 1)
    begins = np.cumsum([0, *(blocks * size for blocks, size in groups)]).tolist()
    inside = [_levels(members[a:b], k) for a, b in pairwise(begins)]
    first = max(map(len, inside))
    rounds: defaultdict[int, list[Meeting]] = defaultdict(list)
    _put(rounds, 0, _side_by_side(inside))
    for number, (blocks, size) in enumerate(groups[:-1]):
        begin, end = begins[number], begins[number + 1]
        smaller, weight = members[end:], size / (len(members) - begin)
        cut = [members[at : at + size] for at in range(begin, begin + blocks * size, size)]
        meet = [(i, j, weight) for block in cut for i, j in zip(block, smaller, strict=False)]
        _put(rounds, first + number, [meet])
        _put(rounds, first + number + 1, _side_by_side([_levels(block, k) for block in cut]))
    return [rounds[turn] for turn in range(max(rounds) + 1)]


def _digits(number: int, base: int) -> list[tuple[int, int]]:
    """The digits of a number that are not 0, each with the power of the base, descending."""
    found, power = [], 1
    while number:
        number, digit = divmod(number, base)
        found += [(digit, power)] if digit else []
        power *= base
    return found[::-1]


def _put(rounds: defaultdict[int, list[Meeting]], first: int, more: Rounds) -> None:
    for turn, meetings in enumerate(more, start=first):
        rounds[turn] += meetings


def _side_by_side(parts: Listed[Rounds]) -> Rounds:
    """Rounds of different devices, at the same time."""
    rounds: defaultdict[int, list[Meeting]] = defaultdict(list)
    for part in parts:
        _put(rounds, 0, part)
    return [rounds[turn] for turn in range(len(rounds))]
