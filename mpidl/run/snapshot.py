"""Snapshot of a rank's devices between two rounds: it is taken, checked, and restored."""

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl.components import graphs
from mpidl.components.torch_optimizers import STATE
from mpidl.config.faults import Fault
from mpidl.devices.batch import Batch
from mpidl.devices.device import Device
from mpidl.devices.gossip import LocalGossip
from mpidl.plan import Plan, network
from mpidl.storage.checkpoint import LoadedCheckpoint
from mpidl.storage.run_series import RunSeries

Array = npt.NDArray[Any]

THINGS = {"graph": "graph", "iid": "IID test set", "ood": "OOD test set", "series": "set of series"}


class Snapshot:
    """The state that a round leaves to the next one on this rank, and the values of past rounds.

    Args:
        devices: The devices of this rank, by number, in ascending order.
        batch: The same devices, trained at once; None if they are trained one after another.
        gossip: Their exchange and mixing.
        shards: The inputs and labels of each device.

    Attributes:
        rounds: For each past round the values of these devices, ``(D, S)``.
    """

    def __init__(
        self,
        devices: Mapping[int, Device],
        batch: Batch | None,
        gossip: LocalGossip,
        shards: Mapping[int, tuple[Array, Array]],
    ) -> None:
        self._devices, self._batch, self._gossip = devices, batch, gossip
        self._shards = shards
        self._known: dict[int, Array] = {}
        self.rounds: list[Array] = []

    def _memory(self) -> dict[int, dict[str, Tensor]]:
        memories = {}
        left = self._gossip.memory()
        for number, device in self._devices.items():
            own = device.memory() if self._batch is None else self._batch.memory(number)
            memories[number] = own | {name: of_all[number] for name, of_all in left.items()}
        return memories

    def take(self) -> dict[int, dict[str, Array]]:
        """A copy of the state: by device, then by name."""
        rounds = np.stack(self.rounds, axis=1)
        # The next rounds change these in place; all others are copies already.
        live = {"vector", *self._gossip.memory()}
        state = {}
        for own, (number, memory) in zip(rounds, self._memory().items(), strict=True):
            copies = {
                name: tensor.detach().to("cpu", copy=name in live).numpy()
                for name, tensor in memory.items()
            }
            state[number] = {**copies, "rows": own, "shard": self._shard(number)}
        return state

    def check(self, found: LoadedCheckpoint, columns: int) -> None:
        """Check that a checkpoint fits this run.

        Args:
            found: The checkpoint.
            columns: S, the values that are kept of a device in a round.

        Raises:
            Fault: If it was taken from other data, or from another model or optimizer.
        """
        for number, memory in self._memory().items():
            state = found.state[number]
            if not np.array_equal(state["shard"], self._shard(number)):
                raise Fault(
                    f"{found.path}: its run had other data on device {number}; give the files of "
                    "that run."
                )
            shapes = {name: tuple(tensor.shape) for name, tensor in memory.items()}
            shapes["rows"] = found.head.round, columns
            stored = {name: state[name].shape for name in state if name != "shard"}
            if STATE in shapes and STATE in stored:
                # Its length follows from the steps that were taken.
                shapes[STATE] = stored[STATE]
            if shapes != stored:
                raise Fault(
                    f"{found.path}: holds the state of another model or optimizer; give the run "
                    "file and the version of mpidl of its run."
                )

    def restore(self, found: LoadedCheckpoint) -> None:
        """Collective. Restore the state of a checkpoint that :meth:`check` accepted."""
        memories = {
            number: {name: torch.from_numpy(array) for name, array in state.items()}
            for number, state in found.state.items()
        }
        for number, device in self._devices.items():
            if self._batch is None:
                device.remember(memories[number])
            else:
                self._batch.remember(number, memories[number])
        names = self._gossip.memory()
        self._gossip.remember({k: {n: m[k] for n, m in memories.items()} for k in names})
        rounds = [state["rows"] for state in found.state.values()]
        self.rounds = list(np.stack(rounds, axis=1))

    def _shard(self, number: int) -> Array:
        if number not in self._known:
            self._known[number] = np.array(_checksum(self._shards[number]), np.uint32)
        return self._known[number]


def origin(
    plan: Plan, tests: Mapping[str, tuple[Array, Array]], of_run: RunSeries
) -> dict[str, int]:
    """Checksums of what is not in the run file: the graph, the test sets, names of own series.

    Of a topology that changes what tells it from others: a run may go on for more rounds, and then
    has more links. Not where delays are drawn for all of these.
    """
    moving = plan.topology.sequence
    if moving is None or _late(plan):
        links = graphs.ends(plan.graph), graphs.chances(plan.graph)
        graph: Iterable[Array] = [np.column_stack(links)]
    else:
        graph = moving.distinct()
    return {
        "graph": _checksum(graph),
        **{name: _checksum(arrays) for name, arrays in tests.items()},
        **({"series": zlib.crc32(",".join(of_run.own).encode())} if of_run.own else {}),
    }


def _late(plan: Plan) -> bool:
    """Whether delays are drawn for links whose number grows with the rounds."""
    return plan.changing and network.longest(plan.file.network) > 0


def _checksum(arrays: Iterable[Array]) -> int:
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return checksum


def recognize(found: LoadedCheckpoint, plan: Plan, known: Mapping[str, int]) -> None:
    """Check that a checkpoint's run had the same graph and data.

    Args:
        found: The checkpoint.
        plan: The plan of this run.
        known: Its :func:`origin`.

    Raises:
        Fault: With a sentence for each input that differs.
    """
    story = found.head.story
    drew = f"mpidl {story.mpidl}" + f" at {story.commit[:12]}" * bool(story.commit)
    graph = f"give the file that it is read from, or the version that drew it, {drew}"
    if _late(plan):
        graph += ", and as it changes and its links are late, the same training.rounds"
    faults = [
        f"{found.path}: was made with another {THINGS[name]}; "
        f"{graph if name == 'graph' else 'give the one it was made with'}."
        for name, value in known.items()
        if story.origin.get(name) != value
    ]
    if faults:
        raise Fault(*faults)
