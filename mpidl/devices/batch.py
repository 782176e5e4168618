"""The devices of one rank side by side: one model whose every weight has a row for each of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from mpidl.config.runfile import EvaluationSettings, TrainingSettings
from mpidl.devices.device import Device, Samples, precision
from mpidl.devices.flat import Flat, as_rows
from mpidl.devices.optimizers import RowOptimizer
from mpidl.devices.scores import IGNORED, Score, Tally, losses_of
from mpidl.ranks import accelerators

DEPENDENT = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
"""Layers in which a sample sees the other ones of its batch."""


class Stack:
    """A model applied to many sets of its parameters and floating buffers at once.

    Args:
        model: Gives what is computed; its own parameters are not read.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model, self.flat = model, Flat(model)
        self.dependent = any(isinstance(part, DEPENDENT) for part in model.modules())

    def __call__(self, weights: Tensor, rest: Tensor, inputs: Tensor, own: bool = True) -> Tensor:
        """The outputs for each row, ``(D, B, ...)``; new batch-norm statistics go into ``rest``.

        Args:
            weights: ``(D, T)``, of the P numbers the T that are trained.
            rest: ``(D, P - T)``.
            inputs: ``(D, B, ...)``, or ``(B, ...)`` for all.
            own: Which of the two.
        """
        # Only to contiguous statistics does torch's vmap write back.
        statistics = [part.contiguous().clone() for part in self.flat.buffers(rest)]
        views = [*self.flat.parameters(weights), *statistics]
        slots = dict(zip(self.flat.names, views, strict=True))

        def apply(slots: dict[str, Tensor], given: Tensor) -> Tensor:
            made: Tensor = functional_call(self.model, slots, (given,))
            return made

        # No other attention goes under vmap: the processor's has no rule for it, and CUDA's keep
        # nothing for the backward pass, as there no query seems to need a gradient.
        with sdpa_kernel(SDPBackend.MATH):
            outputs: Tensor = vmap(apply, in_dims=(0, 0 if own else None))(slots, inputs)
        if statistics and self.model.training:
            rest.copy_(torch.cat([part.flatten(1) for part in statistics], dim=1))
        return outputs


def obstacle(model: nn.Module, samples: Samples) -> str | None:
    """Why devices with such a model cannot be trained side by side; None where they can.

    Args:
        model: On torch's ``meta`` device, so that nothing is computed.
        samples: A few, there too.
    """
    if not all(weight.requires_grad for weight in model.parameters()):
        return "some of its weights are not trained"
    stack = Stack(model.train())
    learned, size = stack.flat.learned, stack.flat.size
    weights = torch.empty(2, learned, device="meta", requires_grad=True)
    rest = torch.empty(2, size - learned, device="meta")
    inputs, targets = samples.batch(torch.zeros(2, 2, dtype=torch.int64, device="meta"))
    try:
        torch.autograd.grad(losses_of(stack(weights, rest, inputs), targets).sum(), weights)
    except Exception as error:  # whatever a model of any kind may raise here
        return f"torch's vmap says: {str(error).splitlines()[0].rstrip('.')}"
    return None


class Batch:
    """The devices of one rank, trained and evaluated at once.

    The same steps on the same samples as one after another, in sums of another order. In float64
    parameters agree to 1e-5 of themselves, by test; in float32 to 1e-4 after a few steps, less
    where batch norm over few samples multiplies rounding. Devices with fewer steps in a round rest
    while the others take theirs. A model that draws random numbers is not taken.

    Args:
        devices: By number; their models are equal but for their parameters.
        training: The local step.
        sharing: How many ranks compute on the same accelerator.
    """

    def __init__(
        self, devices: Mapping[int, Device], training: TrainingSettings, sharing: int = 1
    ) -> None:
        self._devices, self._training, self._sharing = dict(devices), training, sharing
        # Bytes of accelerator memory that evaluating one more sample takes, once they are known.
        self._taken = 0
        self._rows = {number: row for row, number in enumerate(devices)}
        some = next(iter(devices.values()))
        self._hardware, self._stack = some.hardware, Stack(some.model)
        self._starts, self._pool = self._join()
        self._optimizer = RowOptimizer(training, self._split(self._matrix())[0])

    def _join(self) -> tuple[list[int], Samples]:
        """Put all shards into one memory; where each begins, and all of them."""
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
        """The devices' vectors, ``(D, P)``: their memory where it is one, else a copy."""
        return as_rows([device.flat.vector for device in self._devices.values()])

    def _split(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        learned = self._stack.flat.learned
        return matrix[:, :learned], matrix[:, learned:]

    def train(self, round_: int, numbers: Sequence[int]) -> dict[int, float]:
        """Take this round's local steps of some devices; each one's mean loss over its samples."""
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
        for indices, counts, there in zip(table, sizes, amounts, strict=True):
            for some in self._groups(counts):
                who, count = [rows[i] for i in some], counts[some]
                everyone = len(who) == len(weights)
                place = slice(None) if everyone else torch.tensor(who, device=self._hardware)
                part = slice(None) if everyone else torch.tensor(some, device=self._hardware)
                index, amount = indices[part, : count.max()], there[part]
                # With data autograd overlooks that statistics in the same memory change before the
                # backward pass.
                leaf = weights[place].data.requires_grad_()
                kept = rest[place]
                losses = self._losses(leaf, kept, index, amount, (count < count.max()).any())
                (gradient,) = torch.autograd.grad(losses.sum(), leaf)
                with torch.no_grad():
                    if anchors is not None:
                        # FedProx, arXiv 1812.06127.
                        gradient = gradient.add(leaf - anchors[place], alpha=t.proximal)
                    if not everyone:
                        rest[place] = kept
                    totals[place] += losses.detach() * amount
                self._optimizer.step(weights, gradient, who)
        self._give_back(matrix)
        means = totals.cpu().numpy()[rows] / sizes.sum(axis=0)
        return {number: float(mean) for number, mean in zip(numbers, means, strict=True)}

    def _schedule(
        self, round_: int, numbers: Sequence[int]
    ) -> tuple[Tensor, npt.NDArray[np.int64]]:
        """Samples of every step, ``(steps, d, B)``, and how many of them count, ``(steps, d)``."""
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
        """Devices that take a step together; where samples see each other, of equal batches."""
        if not self._stack.dependent:
            yield np.flatnonzero(counts).tolist()
            return
        for size in np.unique(counts[counts > 0]):
            yield np.flatnonzero(counts == size).tolist()

    def _losses(
        self, weights: Tensor, rest: Tensor, index: Tensor, amount: Tensor, uneven: bool
    ) -> Tensor:
        """The loss of each device, ``(d,)``, on the first so many samples of its batch."""
        inputs, targets = self._pool.batch(index)
        if uneven:
            places = torch.arange(index.shape[1], device=index.device)
            beyond = (places >= amount[:, None]).view(*index.shape, *[1] * (targets.ndim - 2))
            targets = targets.masked_fill(beyond, IGNORED)
        with precision(self._training, self._hardware):
            logits = self._stack(weights, rest, inputs)
            losses = losses_of(logits, targets).view(len(weights), -1)
        return losses.sum(1) / (targets != IGNORED).flatten(1).sum(1)

    def _give_back(self, matrix: Tensor) -> None:
        for row, device in zip(matrix, self._devices.values(), strict=True):
            if row.data_ptr() != device.flat.vector.data_ptr():
                device.flat.vector.copy_(row)

    def memory(self, number: int) -> dict[str, Tensor]:
        """What a round leaves to the next one, as :meth:`.device.Device.memory` tells it."""
        own = self._devices[number].memory(own=False)
        return own | self._optimizer.memory(self._rows[number])

    def remember(self, number: int, memory: Mapping[str, Tensor]) -> None:
        """Take what :meth:`memory` gave."""
        mine = ("optimizer", "steps")
        self._devices[number].remember({k: v for k, v in memory.items() if k not in mine})
        self._optimizer.remember(self._rows[number], memory)

    def evaluate(
        self, samples: Samples, classes: int, evaluation: EvaluationSettings
    ) -> dict[int, Score]:
        """The score of each device, as :meth:`mpidl.devices.device.Device.evaluate` gives it."""
        weights, rest = self._split(self._matrix())
        self._stack.model.eval()
        tally = Tally(len(weights), classes, self._hardware)

        def count(place: slice) -> None:
            inputs, targets = samples.batch(place)
            logits = self._stack(weights, rest, inputs, own=False)
            tally.add(logits, targets, samples.labels[place])

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
        """How many samples are evaluated together.

        On processors, and until it is known what memory they take: no more than in a step, or than
        one device alone would take. Then all that the run file allows, in half of what is free.
        """
        share = max(self._training.batch_size, evaluation.batch_size // len(self._rows))
        if self._taken:
            share = max(1, accelerators.free(self._hardware) // (2 * self._sharing * self._taken))
        return min(evaluation.batch_size, share)
