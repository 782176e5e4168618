"""Data of a run: loaded once on every node, with the test sets and each device's shard."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components import datasets, models, ood, placement
from mpidl.components.datasets.files import require
from mpidl.components.tasks import TASKS
from mpidl.config import seeds, shipped
from mpidl.config.faults import Fault
from mpidl.config.registry import Kinds
from mpidl.config.runfile import RunFile
from mpidl.plan import Plan
from mpidl.ranks import host, world
from mpidl.ranks.node import Shared
from mpidl.ranks.world import Comm

Array = npt.NDArray[Any]
Pair = tuple[Array, Array]


@dataclass(frozen=True)
class Traits:
    """Traits of a data set, beside its arrays.

    Attributes:
        shape: Shapes of a model's inputs and outputs.
        ood: Facts that a kind of OOD data needs.
        task: The name of the run's task.
        classes: C names; none if targets are numbers.
        sequence: Whether samples are token sequences whose next token is predicted.
        padding: The token that is never a target, -1 for none.
        content: Content of the whole data set, of which a run may use a part.
    """

    shape: models.Shape
    ood: ood.Shape
    task: str
    classes: tuple[str, ...]
    sequence: bool
    padding: int
    content: datasets.Content


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
                loaded = load(plan.file, given)
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


def _pair(arrays: Mapping[str, Array], kind: str) -> Pair:
    return arrays[f"{kind}_inputs"], arrays[f"{kind}_labels"]


def load(file: RunFile, given: object = None) -> tuple[Traits, dict[str, Array], dict[str, Array]]:
    """Load a data set and split its test set; return traits, training arrays and test arrays.

    Raises:
        Fault: If files are missing or damaged, or model or kind of OOD data do not take them.
    """
    seed = file.training.seed
    if given is None:
        data = datasets.DATASETS.build(file.data, _folder(file), seed)
    else:
        data = datasets.DATASETS.checked(file.data.name, given)
    content = datasets.content(data, file.data.name, _folder(file))
    data = datasets.subset(data, file.data.train_samples, file.data.test_samples, seed)
    train = {"inputs": data.train_inputs, "labels": data.train_labels}
    if placement.PLACEMENTS.properties(file.placement.name).by_owner:
        train["owners"] = _owners(file, data)
    classes = len(data.classes)
    _has_classes(file, data)
    traits = Traits(
        shape=models.Shape(data.shape, data.outputs, data.vocabulary),
        ood=ood.Shape(data.shape, classes, data.vocabulary, data.span),
        task=TASKS.resolve(file.task.name, file.data.name, data.task),
        classes=data.classes,
        sequence=data.targets == "tokens",
        padding=data.padding,
        content=content,
    )
    models.MODELS.fit(file.model, traits.shape)
    shift = ood.OODS.build(file.ood, traits.ood)
    draw = seeds.stream(seed, "ood_test")
    halves = ood.split_test(shift, data.test_inputs, data.test_labels, file.ood.test_share, draw)
    keys = ("iid_inputs", "iid_labels", "ood_inputs", "ood_labels")
    return traits, train, dict(zip(keys, halves, strict=True))


def _owners(file: RunFile, data: datasets.Dataset) -> Array:
    """Whom each training sample belongs to, ``(n,)``.

    Raises:
        Fault: If the data set does not say.
    """
    if data.owners is None:
        more = " data.device_column names the column that does." * hasattr(
            file.data, "device_column"
        )
        raise Fault(
            f"placement.name = {file.placement.name!r}: data.name = {file.data.name!r} does not "
            f"say which device a sample belongs to.{more}"
        )
    return data.owners


def _has_classes(file: RunFile, data: datasets.Dataset) -> None:
    """Check that a data set has the classes that a run file asks for.

    Raises:
        Fault: If it has none, with a sentence for each setting that needs them.
    """
    kinds: Kinds = {"placement": placement.PLACEMENTS, "ood": ood.OODS}
    faults = []
    for section, registry in kinds.items():
        name = getattr(file, section).name
        if not data.classes and registry.properties(name).classes:
            free = ", ".join(repr(one) for one in registry.having(classes=False))
            faults.append(
                f"{section}.name = {name!r}: needs classes, and data.name = {file.data.name!r} has "
                f"numbers as targets; without classes: {free}."
            )
    if faults:
        raise Fault(*faults)


def foresee(file: RunFile) -> None:
    """Check what :func:`load` checks, as far as that is quick: files are not read.

    Raises:
        Fault: As :func:`load`.
    """
    told = datasets.DATASETS.properties(file.data.name)
    if told.sources:
        require(file.data.name, _folder(file), file.data)
    elif told.look is not None:
        told.look(_folder(file), file.data)
    else:
        load(file)


def _folder(file: RunFile) -> Path | None:
    return data_folder(file.data.dir)


def data_folder(place: str | None) -> Path | None:
    """The folder that ``data.dir`` names; None if it names none."""
    return None if place is None else shipped.find(Path(os.path.expanduser(place)))


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
