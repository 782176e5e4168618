"""Batch of a rank's devices, trained at once: one model with the weights of all devices."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl.components.tasks import IGNORED
from mpidl.config.runfile import EvaluationSettings, TrainingSettings
from mpidl.devices.device import Device, Samples, precision
from mpidl.devices.flat import as_rows
from mpidl.devices.optimizers import RowOptimizer, clipped_rows
from mpidl.devices.scores import Score
from mpidl.devices.stack import Stack
from mpidl.ranks import accelerators


class Batch:
    """The devices of one rank, trained and evaluated at once.

    Steps and samples are the same as one after another, with sums in another order. In float64
    parameters agree to a relative 1e-5, by test; in float32 to 1e-4 after a few steps, and less
    well if batch norm over few samples amplifies rounding. Devices with fewer steps in a round rest
    while the others take theirs. A model that draws random numbers is refused.

    Args:
        devices: The devices by number; their models are equal except their parameters.
        training: The local step.
        sharing: Number of ranks that compute on the same accelerator.
    """

    def __init__(
        self, devices: Mapping[int, Device], training: TrainingSettings, sharing: int = 1
    ) -> None:
        self._devices, self._training, self._sharing = dict(devices), training, sharing
        # Bytes of accelerator memory for evaluating one more sample, once they are known.
        self._taken = 0
        self._rows = {number: row for row, number in enumerate(devices)}
        first = next(iter(devices.values()))
        self._hardware, self._stack = first.hardware, Stack(first.model)
        self._objective = first.objective
        self._starts, self._pool = self._join()
        self._optimizer = RowOptimizer(training, self._split(self._matrix())[0])

    def _join(self) -> tuple[list[int], Samples]:
        """Put all shards into one memory; return the start of each, and all samples."""
        shards = [device.samples for device in self._devices.values()]
        inputs = torch.cat([shard.inputs for shard in shards])
        labels = torch.cat([shard.labels for shard in shards])
        starts = [0, *accumulate(len(shard) for shard in shards)]
        for device, (start, end) in zip(self._devices.values(), pairwise(starts), strict=True):
            device.samples = replace(
                device.samples, inputs=inputs[start:end], labels=labels[start:end]
            )
        return starts[:-1], replace(shards[0], inputs=inputs, labels=labels)

    def _matrix(self) -> Tensor:
        """The devices' vectors, ``(D, P)``: their own memory if it is in one piece, else a copy."""
        return as_rows([device.flat.vector for device in self._devices.values()])

    def _split(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        learned = self._stack.flat.learned
        return matrix[:, :learned], matrix[:, learned:]

    def train(self, round_: int, numbers: Sequence[int]) -> dict[int, float]:
        """Take this round's local steps of some devices, and return each one's mean loss."""
        t, rows = self._training, [self._rows[number] for number in numbers]
        if t.optimizer_state == "reset":
            self._optimizer.reset(rows)
        matrix = self._matrix()
        weights, rest = self._split(matrix)
        anchors = weights.clone() if t.proximal else None
        self._stack.model.train()
        table, sizes = self._schedule(round_, numbers)
        totals = torch.zeros(len(self._rows), device=self._hardware, dtype=torch.float64)
        amounts = torch.from_numpy(sizes).to(self._hardware)
        for step, (indices, counts, there) in enumerate(zip(table, sizes, amounts, strict=True)):
            for some in self._groups(counts):
                who, count = [rows[i] for i in some], counts[some]
                everyone = len(who) == len(weights)
                place = slice(None) if everyone else torch.tensor(who, device=self._hardware)
                part = slice(None) if everyone else torch.tensor(some, device=self._hardware)
                index, amount = indices[part, : count.max()], there[part]
                # By .data autograd ignores that statistics in the same memory change before the
                # backward pass.
                leaf = weights[place].data.requires_grad_()
                kept = rest[place]
                losses = self._losses(leaf, kept, index, amount, (count < count.max()).any())
                (gradient,) = torch.autograd.grad(losses.sum(), leaf)
                with torch.no_grad():
                    if anchors is not None:
                        # FedProx, arXiv 1812.06127.
                        gradient = gradient.add(leaf - anchors[place], alpha=t.proximal)
                    if t.clip is not None:
                        gradient = clipped_rows(gradient, t.clip)
                    if not everyone:
                        rest[place] = kept
                    totals[place] += losses.detach() * amount
                factors = self._factors(round_, step, [numbers[i] for i in some])
                self._optimizer.step(weights, gradient, who, factors)
        self._give_back(matrix)
        means = totals.cpu().numpy()[rows] / sizes.sum(axis=0)
        return {number: float(mean) for number, mean in zip(numbers, means, strict=True)}

    def _factors(
        self, round_: int, step: int, numbers: Sequence[int]
    ) -> npt.NDArray[np.float64] | None:
        """The factor of each device's learning rate in a step, ``(d,)``; None if all are 1."""
        devices = [self._devices[number] for number in numbers]
        if devices[0].schedule is None:
            return None
        return np.array([device.factor(round_, step) for device in devices])

    def _schedule(
        self, round_: int, numbers: Sequence[int]
    ) -> tuple[Tensor, npt.NDArray[np.int64]]:
        """Samples of each step, ``(steps, d, B)``, and how many of them count, ``(steps, d)``."""
        batches = [list(self._devices[n].batches(round_, torch.device("cpu"))) for n in numbers]
        steps, width = max(map(len, batches)), max(len(own[0]) for own in batches)
        table = np.zeros((steps, len(numbers), width), np.int64)
        sizes = np.zeros((steps, len(numbers)), np.int64)
        for i, (number, own) in enumerate(zip(numbers, batches, strict=True)):
            start = self._starts[self._rows[number]]
            table[:, i] = start
            for step, batch in enumerate(own):
                table[step, i, : len(batch)] = batch.numpy() + start
                sizes[step, i] = len(batch)
        return torch.from_numpy(table).to(self._hardware), sizes

    def _groups(self, counts: npt.NDArray[np.int64]) -> Iterator[list[int]]:
        """Groups of devices that take a step together, by batch size if samples are dependent.

        By batch size also if the objective counts all samples of a batch.
        """
        if self._objective.masks and not self._stack.dependent:
            yield np.flatnonzero(counts).tolist()
            return
        for size in np.unique(counts[counts > 0]):
            yield np.flatnonzero(counts == size).tolist()

    def _losses(
        self, weights: Tensor, rest: Tensor, index: Tensor, amount: Tensor, uneven: bool
    ) -> Tensor:
        """The loss of each device, ``(d,)``, on the first ``amount`` samples of its batch."""
        inputs, targets = self._pool.batch(index)
        if uneven:
            places = torch.arange(index.shape[1], device=index.device)
            beyond = (places >= amount[:, None]).view(*index.shape, *[1] * (targets.ndim - 2))
            targets = targets.masked_fill(beyond, IGNORED)
        with precision(self._training, self._hardware):
            return self._stack.losses(self._objective, weights, rest, inputs, targets)

    def _give_back(self, matrix: Tensor) -> None:
        for row, device in zip(matrix, self._devices.values(), strict=True):
            if row.data_ptr() != device.flat.vector.data_ptr():
                device.flat.vector.copy_(row)

    def memory(self, number: int) -> dict[str, Tensor]:
        """The state that a round leaves to the next one, as in :meth:`.device.Device.memory`."""
        own = self._devices[number].memory(own=False)
        return own | self._optimizer.memory(self._rows[number])

    def remember(self, number: int, memory: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`memory` returned."""
        mine = ("optimizer", "steps")
        self._devices[number].remember({k: v for k, v in memory.items() if k not in mine})
        self._optimizer.remember(self._rows[number], memory)

    def evaluate(
        self, samples: Samples, classes: int, evaluation: EvaluationSettings
    ) -> dict[int, Score]:
        """The score of each device, as by :meth:`mpidl.devices.device.Device.evaluate`."""
        weights, rest = self._split(self._matrix())
        self._stack.model.eval()
        tally = self._objective.tally(len(weights), classes, self._hardware)

        def count(place: slice) -> None:
            batch = samples.batch(place)
            found = self._stack.apply(self._objective.found, weights, rest, batch, own=False)
            tally.add(found, batch[1], samples.labels[place])

        start = 0
        with torch.no_grad(), precision(self._training, self._hardware):
            while start < len(samples):
                size = self._at_once(evaluation)
                place = slice(start, min(start + size, len(samples)))
                grown = accelerators.memory_growth(self._hardware, partial(count, place))
                self._taken = max(self._taken, grown // (place.stop - start))
                start = place.stop
        return dict(zip(self._rows, tally.scores(len(samples), evaluation), strict=True))

    def _at_once(self, evaluation: EvaluationSettings) -> int:
        """The number of samples that are evaluated together.

        On processors, and until their memory is known, it is at most that of a step, or a device's
        share. Afterwards it is what the run file allows, within half of the free memory.
        """
        share = max(self._training.batch_size, evaluation.batch_size // len(self._rows))
        if self._taken:
            share = max(1, accelerators.free(self._hardware) // (2 * self._sharing * self._taken))
        return min(evaluation.batch_size, share)
