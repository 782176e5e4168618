"""Topologies that change, drawn anew each round, or by devices that move."""

from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mpidl.components.graphs.families import TOPOLOGIES, Count, Radius
from mpidl.components.graphs.limits import affordable, below, even, within
from mpidl.components.graphs.sequences import Array, Ends, Links, Sequence, both
from mpidl.config import seeds

Speed = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Codes = npt.NDArray[np.int64]

LEG = 64
"""Steps of all devices that are drawn together."""


@TOPOLOGIES.add(remedy="take more training.rounds")
def random_matching(devices: int, seed: int, /) -> Sequence:
    """Changes: in each round all devices meet in pairs drawn at random; of an odd N one is alone.

    Source: Boyd et al., 2006, where one pair meets at a time.
    """

    def draw(round: int) -> Links:
        order = seeds.stream(seed, "matching", round).permutation(devices)
        return Links(both(order[: devices - devices % 2].reshape(-1, 2)))

    return Sequence(devices, draw)


@TOPOLOGIES.add(remedy="take a larger topology.degree or more training.rounds")
def regular_each_round(devices: int, seed: int, /, degree: Count = 3) -> Sequence:
    """Changes: each round another random graph in which every device has the same degree.

    A dense one is the complement of a sparse one. Source: Bollobas, 1980, whose pairs that are no
    links are drawn again.

    Raises:
        Fault: If ``degree`` is not below the number of devices, or both are odd.
    """
    below("degree", degree, devices)
    even(degree, devices)
    affordable("regular_each_round", devices, devices * degree)

    def draw(round: int) -> Links:
        return Links(_regular(devices, degree, seeds.stream(seed, "regular", round), False))

    return Sequence(devices, draw)


@TOPOLOGIES.add(remedy="take a larger topology.degree or more training.rounds")
def epidemic(
    devices: int,
    seed: int,
    /,
    degree: Count | None = None,
    draw: Literal["oracle", "local"] = "oracle",
) -> Sequence:
    """Changes: each device sends to s = ``degree`` others, drawn anew each round; directed.

    With ``draw="local"`` each device draws for itself, so one may hear many and another none; with
    ``"oracle"`` each hears s too. By default s is ``ceil(log2(N))``. Source: epidemic learning, De
    Vos et al., 2023, arXiv 2310.01972.

    Raises:
        Fault: If ``degree`` is not below the number of devices.
    """
    count = (devices - 1).bit_length() if degree is None else degree
    below("degree", count, devices)
    affordable("epidemic", devices, devices * count)

    def drawn(round: int) -> Links:
        generator = seeds.stream(seed, "epidemic", round)
        if draw == "oracle":
            return Links(_regular(devices, count, generator, True))
        others = _subsets(generator, devices, devices - 1, count)
        device = np.arange(devices)[:, None]
        # The others of a device are all numbers but its own.
        others += others >= device
        return Links(np.column_stack([np.repeat(device, count), others.ravel()]))

    return Sequence(devices, drawn)


@TOPOLOGIES.add(remedy="take a larger topology.radius or more training.rounds")
def mobility(
    devices: int, seed: int, /, radius: Radius | None = None, speed: Speed = 0.05
) -> Sequence:
    """Changes: devices walk about the unit square, linked when no farther apart than a radius.

    They begin at random places; in each round each goes up to ``speed`` in a direction of its own,
    both drawn anew, and is reflected by the walls. The radius is by default that of
    ``random_geometric``. Source: Camp, Boleng and Davies, 2002 (random walk mobility).
    """
    radius = within("mobility", devices, radius)

    def draw(round: int) -> Links:
        from scipy.spatial import KDTree

        pairs = KDTree(_places(devices, seed, speed, round)).query_pairs(
            radius, output_type="ndarray"
        )
        return Links(both(pairs.astype(np.int64)))

    return Sequence(devices, draw)


def _places(devices: int, seed: int, speed: float, round: int) -> Array:
    """The positions of all devices in a round, ``(N, 2)``."""
    leg, step = divmod(round, LEG)
    way = _begin(devices, seed, speed, leg) + _leg(devices, seed, speed, leg)[:step].sum(axis=0)
    # A reflected walk is an unbounded one on a square that is folded.
    places: Array = 1 - np.abs(1 - way % 2)
    return places


@lru_cache(maxsize=64)
def _begin(devices: int, seed: int, speed: float, leg: int) -> Array:
    """The positions at which a leg begins, without walls, ``(N, 2)``."""
    place = seeds.stream(seed, "places").random((devices, 2))
    for before in range(leg):
        place = place + _leg(devices, seed, speed, before).sum(axis=0)
    return place


@lru_cache(maxsize=2)
def _leg(devices: int, seed: int, speed: float, leg: int) -> Array:
    """The steps of a leg, ``(LEG, N, 2)``."""
    length, direction = seeds.stream(seed, "steps", leg).random((2, LEG, devices))
    angle = 2 * np.pi * direction
    steps: Array = (speed * length * np.array([np.cos(angle), np.sin(angle)])).transpose(1, 2, 0)
    return steps


def _subsets(generator: np.random.Generator, rows: int, size: int, count: int) -> Codes:
    """So many different numbers below ``size`` for each row, uniformly, ``(rows, count)``.

    Source: Floyd's algorithm (Bentley and Floyd, 1987).
    """
    chosen = np.full((rows, count), -1, np.int64)
    for turn, last in enumerate(range(size - count, size)):
        drawn = generator.integers(0, last + 1, rows)
        taken = (chosen == drawn[:, None]).any(axis=1)
        chosen[:, turn] = np.where(taken, last, drawn)
    return chosen


def _regular(devices: int, degree: int, generator: np.random.Generator, directed: bool) -> Ends:
    """Links of a random graph in which each device hears, and is heard by, so many, ``(E, 2)``."""
    sparse = min(degree, devices - 1 - degree)
    found = np.column_stack(np.divmod(_paired(devices, sparse, generator, directed), devices))
    found = found if directed else both(found)
    if sparse == degree:
        return found
    rest = ~np.eye(devices, dtype=bool)
    rest[tuple(found.T)] = False
    return np.argwhere(rest)


def _paired(devices: int, degree: int, generator: np.random.Generator, directed: bool) -> Codes:
    """Links as numbers ``i N + j``, each listed once, with i < j, where links go both ways.

    The ends of links are paired at random. Pairs that are no new link are taken apart, and some
    links with them, at random too, to be paired again.
    """
    ends = np.repeat(np.arange(devices), degree)
    sources, targets = (ends, ends) if directed else np.split(ends, 2)
    kept = apart = again = np.empty(0, np.int64)
    left = len(sources) + 1
    while left:
        if directed:
            targets = generator.permutation(targets)
        else:
            sources, targets = np.split(generator.permutation(np.append(sources, targets)), 2)
            sources, targets = np.minimum(sources, targets), np.maximum(sources, targets)
        codes = sources * devices + targets
        fresh = np.zeros(len(codes), bool)
        fresh[np.unique(codes, return_index=True)[1]] = True
        fresh &= (sources != targets) & ~np.isin(codes, kept)
        # What makes it worse, as in dense graphs it may, is not taken.
        if (~fresh).sum() <= left:
            again, apart, left = codes[fresh], codes[~fresh], int((~fresh).sum())
        kept = generator.permutation(np.append(kept, again))
        again, kept = np.split(kept, [(left + 1) // 2])
        sources, targets = np.divmod(np.append(apart, again), devices)
    return kept
