"""Splits of the samples of a data set over the devices.

How :func:`dirichlet` relates to the testbed (Sakarvadia et al. 2025, arXiv 2505.11760, whose split
is that of the Flight framework): shares and preferences have the same distribution. The testbed
then visits samples one by one, in dataset order, and gives each to a device with room, with
probability in proportion to preference alone. For equal shares the first sending here is the
same random process as the testbed's until a first device is full. For unequal ones the testbed's
last samples go wherever room is left, so that large devices stray from their preferences; here
room counts in every sending. The testbed also drops up to N samples in rounding, and fails where
all preferences are zero.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mpidl.components import graphs
from mpidl.components.graphs import Topology
from mpidl.components.placement.location import Centrality
from mpidl.components.placement.tables import apportion, cut, deal, fill, log_dirichlet
from mpidl.config.faults import Fault, shown
from mpidl.config.registry import Properties, Registry
from mpidl.config.seeds import stream

Array = npt.NDArray[Any]
Concentration = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PlacementProperties(Properties):
    """Properties that a placement declares.

    Attributes:
        classes: Whether it needs labels that are classes.
        by_owner: Whether it gets the owner of each sample in place of its label.
    """

    classes: bool = False
    by_owner: bool = False


def _checked(name: str, parts: Any, labels: Array, topology: Topology, *_: object) -> list[Array]:
    """What a placement returned.

    Raises:
        Fault: If it is not some samples for each device, by their places.
    """
    subject, devices = f"placement.name = {name!r}:", len(topology)
    if not isinstance(parts, list | tuple | np.ndarray) or len(parts) != devices:
        many = f"{len(parts)} parts" if hasattr(parts, "__len__") else shown(parts)
        raise Fault(f"{subject} gives {many}: must be a list of {devices} arrays, one a device.")
    found = [np.asarray(part) for part in parts]
    for device, part in enumerate(found):
        where = f"{subject} gives device {device}"
        if part.ndim != 1 or not len(part) or part.dtype.kind not in "iu":
            raise Fault(
                f"{where} an array {part.shape} of {part.dtype}: must be places of samples, (n,) "
                "whole numbers, at least one."
            )
        if not 0 <= part.min() <= part.max() < len(labels) or len(np.unique(part)) < len(part):
            raise Fault(
                f"{where} places from {part.min()} to {part.max()}: must be different numbers from "
                f"0 to {len(labels) - 1}."
            )
    return found


PLACEMENTS = Registry("placement", PlacementProperties, gives=3, check=_checked)
"""``builder(labels, topology, seed, /, ...)``: N disjoint, non-empty, ascending arrays of places.

Labels are ``(n,)``. Every sample is placed on one device. Fewer samples than devices is a
:class:`Fault`, but for :func:`iid`, where devices then share them.
"""


@PLACEMENTS.add
def iid(labels: Array, topology: Topology, seed: int, /) -> list[Array]:
    """Equal shares, up to one sample, of the shuffled data.

    Fewer samples than devices are dealt in turn, one to a device, so that the numbers of devices
    per sample differ by at most one.
    """
    if 0 < len(labels) < len(topology):
        order = stream(seed, "placement").permutation(len(labels))
        return list(np.resize(order, (len(topology), 1)))
    devices = _devices(labels, topology)
    owner = np.empty(len(labels), dtype=np.int64)
    owner[stream(seed, "placement").permutation(len(labels))] = np.arange(len(labels)) % devices
    return cut(owner, devices)


@PLACEMENTS.add(classes=True)
def dirichlet(
    labels: Array,
    topology: Topology,
    seed: int,
    /,
    label_alpha: Concentration = 1000.0,
    sample_alpha: Concentration = 1000.0,
    order: Literal["random", Centrality] = "random",
    offset: int = 0,
) -> list[Array]:
    """Shares of samples and of labels drawn from Dirichlet distributions: small alpha, much skew.

    A device's share of all samples comes from one Dirichlet draw over devices (``sample_alpha``),
    its label preferences from a draw of its own over classes (``label_alpha``). Shares become
    whole numbers of samples, at least one, by largest remainder. Then all samples are sent at once,
    each to one of the devices that have room, with probability in proportion to the preference for
    its label times that room; an overfull device hands back a random surplus, which is sent again,
    until all are placed. Every repetition but the last fills a device, so there are at most N.
    Preferences are kept as logarithms: where all underflow, the least unlikely device still wins.

    ``order`` other than random hands the same shares, by ascending size, to the devices by
    ascending centrality (the ranking of ``graphs.ranking`` reversed), each ``offset`` places
    further on, around the end: 0 puts the largest share on the device ranked first, 1 on the
    device ranked last.
    """
    devices = _devices(labels, topology)
    rng = stream(seed, "placement")
    kinds, counts = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    shares = np.exp(log_dirichlet(rng, sample_alpha, (devices,)))
    preferences = log_dirichlet(rng, label_alpha, (devices, len(counts)))
    table = fill(rng, apportion(shares, len(labels)), counts, preferences)
    if order != "random":
        ascending = graphs.ranking(topology.measured, order)[::-1]
        sizes = np.argsort(table.sum(axis=1), kind="stable")
        table[np.roll(ascending, -(offset % devices))] = table[sizes]
    return deal(rng, table, kinds)


@PLACEMENTS.add(classes=True)
def shards(
    labels: Array,
    topology: Topology,
    seed: int,
    /,
    classes_per_device: Annotated[int, Field(ge=1)] = 2,
) -> list[Array]:
    """Samples sorted by label and cut into shards; each device gets as many as it may have classes.

    The split of McMahan et al. 2017 (arXiv 1602.05629, section 3), with no shard across two
    labels, so that a device has at most ``classes_per_device`` labels. A class is cut into a
    number of equal shards in proportion to its size, at least one.

    Raises:
        Fault: If there are fewer shards than classes, or more than samples.
    """
    devices = _devices(labels, topology)
    kinds, counts = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    total = devices * classes_per_device
    setting = f"placement.classes_per_device = {classes_per_device} on {devices} devices"
    if total < len(counts):
        least = -(-len(counts) // devices)
        raise Fault(f"{setting} leaves some of {len(counts)} classes out; use {least} or more.")
    if total > len(labels):
        most = len(labels) // devices
        raise Fault(f"{setting} cuts {len(labels)} samples into {total}; use {most} or less.")
    rng = stream(seed, "placement")
    pieces = apportion(counts / len(labels), total)
    kind = np.repeat(np.arange(len(counts)), pieces)
    place = np.arange(total) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    table = np.zeros((devices, len(counts)), dtype=np.int64)
    owner = rng.permutation(np.repeat(np.arange(devices), classes_per_device))
    np.add.at(table, (owner, kind), (counts // pieces)[kind] + (place < (counts % pieces)[kind]))
    return deal(rng, table, kinds)


@PLACEMENTS.add(by_owner=True)
def given(owners: Array, topology: Topology, seed: int, /) -> list[Array]:
    """Samples on the devices to which they belong, as the data set says.

    Where all owners are numbers below N, they are the devices. Otherwise owners, in ascending
    order, are dealt to the devices in turn: the first to device 0, that after N - 1 to it again.

    Raises:
        Fault: If a device gets no sample.
    """
    devices = len(topology)
    known, turns = np.unique(owners, return_inverse=True)
    device = owners if len(known) and known[-1] < devices else turns % devices
    shards = cut(device, devices)
    if empty := [number for number, shard in enumerate(shards) if not len(shard)]:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        raise Fault(
            f"placement.name = {given.__name__!r}: device {empty[0]}{more} would have no training "
            f"samples, as the data belong to {len(known)} devices or users, numbers "
            f"{known[0]} to {known[-1]}; the graph has {devices} devices, and each needs one."
            if len(known)
            else f"placement.name = {given.__name__!r}: there are no training samples."
        )
    return shards


def label_counts(shards: Sequence[Array], labels: Array, classes: int) -> Array:
    """Numbers of samples of each class on each device: ``(N, C)`` int64."""
    return np.array([np.bincount(labels[shard], minlength=classes) for shard in shards])


def _devices(labels: Array, topology: Topology) -> int:
    if len(labels) < len(topology):
        raise Fault(
            f"{len(labels)} training samples cannot be placed on {len(topology)} devices: every "
            "device needs at least one, and only with placement.name = 'iid' do devices share them."
        )
    return len(topology)
