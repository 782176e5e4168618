"""Data of a run: loaded once on every node, with the test sets and each device's shard."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components import ood, placement
from mpidl.config import seeds
from mpidl.config.faults import Fault
from mpidl.config.runfile import RunFile
from mpidl.devices import loading
from mpidl.devices.loading import Traits
from mpidl.plan import Plan
from mpidl.ranks import host, world
from mpidl.ranks.node import Shared
from mpidl.ranks.world import Comm

Array = npt.NDArray[Any]
Pair = tuple[Array, Array]


@dataclass(frozen=True)
class RunData:
    """The data of a run on one rank.

    Attributes:
        traits: Traits of the data set.
        tests: Inputs and labels of the test sets ``iid`` and ``ood``, in shared memory of the node.
        shards: For each own device its inputs ``(n, *shape)`` and labels ``(n,)``, or numbers that
            are targets, ``(n,)`` or ``(n, outputs)``.
        label_counts: Training samples by device and label before any becomes OOD, ``(N, C)``;
            without classes in one column, ``(N, 1)``.
        placed: All training samples; if those of devices add up to more, devices share some.
        ood_samples: Out-of-distribution training samples by device, ``(N,)``.
    """

    traits: Traits
    tests: dict[str, Pair]
    shards: dict[int, Pair]
    label_counts: Array
    placed: int
    ood_samples: Array
    shared: Shared

    @property
    def samples(self) -> tuple[int, ...]:
        """Training samples of each device, ``(N,)``."""
        return tuple(self.label_counts.sum(axis=1).tolist())

    def close(self) -> None:
        """Collective. Free the shared memory; the test sets must no longer be used."""
        self.tests.clear()
        self.shared.free()


def provide(comm: Comm, plan: Plan, given: object = None) -> RunData:
    """Collective. The data of a run: loaded on one rank of each node, shared, with own shards.

    Args:
        comm: All ranks.
        plan: The plan of the run.
        given: A data set that a program gives in place of a name.

    Raises:
        Fault: If the data set is missing, damaged or too small, differs between nodes, or if kind
            of OOD data, placement and data set do not fit together.
    """
    node = world.node(comm)
    with world.returned(node.Free):
        loaded = None
        with world.agreed(comm):
            if node.rank == 0:
                loaded = loading.load(plan.file, given)
        traits: Traits = node.bcast(loaded[0] if loaded else None)
        _same_everywhere(comm, plan.file, traits.content.digest)
        with world.agreed(comm):
            train, tests = (Shared(node, part) for part in (loaded or (None, None, None))[1:])
        loaded = None
        with world.returned(train.free), world.agreed(comm):
            own, counts, placed = cut(plan, traits, train.arrays, comm.rank)
    turned = np.zeros(plan.devices, np.int64)
    turned[list(own)] = [int(mask.sum()) for _, _, mask in own.values()]
    total = np.zeros_like(turned)
    comm.Allreduce(turned, total)
    return RunData(
        traits=traits,
        tests={kind: _pair(tests.arrays, kind) for kind in ("iid", "ood")},
        shards={device: (inputs, labels) for device, (inputs, labels, _) in own.items()},
        label_counts=counts,
        placed=placed,
        ood_samples=total,
        shared=tests,
    )


def _same_everywhere(comm: Comm, file: RunFile, digest: str) -> None:
    """Collective. Check that all nodes read the same data.

    Raises:
        Fault: If they do not; every rank raises the same.
    """
    digests = comm.allgather((digest, host.name()))
    first, place = digests[0]
    other = next((name for digest_there, name in digests if digest_there != first), None)
    if other is not None:
        key = "dir" if file.data.dir is not None or not hasattr(file.data, "file") else "file"
        raise Fault(
            f"data.{key} = {getattr(file.data, key)!r}: holds other data of {file.data.name!r} on "
            f"{other} than on {place}; all nodes must read the same."
        )


def cut(
    plan: Plan, traits: Traits, train: Mapping[str, Array], rank: int
) -> tuple[dict[int, tuple[Array, Array, Array]], Array, int]:
    """Inputs, labels and OOD mask of a rank's devices, label counts ``(N, C)``, number of samples.

    Raises:
        Fault: If the placement cannot be made, such as for too few samples.
    """
    file, seed = plan.file, plan.file.training.seed
    inputs, labels = train["inputs"], train["labels"]
    shift = ood.OODS.build(file.ood, traits.ood)
    reserved = shift.reserved(labels)
    open_to_all, kept_back = np.flatnonzero(~reserved), np.flatnonzero(reserved)
    by = train.get("owners", labels)[open_to_all]
    parts = placement.PLACEMENTS.build(file.placement, by, plan.topology, seed)
    parts = [open_to_all[part] for part in parts]
    counts = np.array([[len(part)] for part in parts])
    if traits.classes:
        counts = placement.label_counts(parts, labels, len(traits.classes))
    own, turns = {}, {device: turn for turn, device in enumerate(plan.sources)}
    for device in plan.hosted(rank):
        part = parts[device]
        mask = np.zeros(len(part), bool)
        shard = inputs[part], labels[part], mask
        if device in turns:
            draw = seeds.stream(seed, "ood", device)
            pool = kept_back[turns[device] :: len(turns)]
            reserve = inputs[pool], labels[pool]
            shard = ood.turn(shift, *shard[:2], file.ood.proportion, draw, reserve)
        own[device] = _last(*shard) if file.training.order == "fixed" else shard
    return own, counts, len(open_to_all)


def _last(inputs: Array, labels: Array, mask: Array) -> tuple[Array, Array, Array]:
    """Out-of-distribution samples behind all others, as the published testbed appends them."""
    order = np.argsort(mask, kind="stable")
    return inputs[order], labels[order], mask[order]


def _pair(arrays: Mapping[str, Array], kind: str) -> Pair:
    return arrays[f"{kind}_inputs"], arrays[f"{kind}_labels"]
