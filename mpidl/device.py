"""One simulated device: a model, its optimizer, its shard of data, its flat parameter vector."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from mpidl import seeds
from mpidl.runfile import Evaluation, Training


@dataclass(frozen=True)
class Samples:
    """Inputs and what should come out, on one accelerator.

    ``inputs`` are ``(n, *shape)``; ``labels`` ``(n,)`` are the classes. For next-token prediction
    the inputs are their own targets, shifted by one; ``padding`` is never a target.
    """

    inputs: Tensor
    labels: Tensor
    sequence: bool = False
    padding: int = -1

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """What goes into the model and the targets: ``(B,)`` classes or ``(B, L - 1)`` tokens."""
        inputs = self.inputs[index]
        if not self.sequence:
            return inputs, self.labels[index]
        tokens = inputs.long()
        targets = tokens[:, 1:]
        return tokens[:, :-1], targets.masked_fill(targets == self.padding, IGNORED)


IGNORED = -100
"""The target that torch's cross-entropy leaves out."""


@dataclass(frozen=True)
class Score:
    """Loss, accuracy and accuracy by class ``(C,)`` of one device on one test set."""

    loss: float
    accuracy: float
    by_class: npt.NDArray[np.float32]


class Device:
    """A learner whose parameters and floating buffers are views of one vector ``(P,)``.

    Parameters come first in the vector and the optimizer sees them as one tensor; batch-norm
    statistics follow and are mixed with them; integer counters stay local.

    Args:
        number: Its node in the graph.
        model: Its model, on the accelerator.
        samples: Its shard.
        training: The local step.
    """

    def __init__(self, number: int, model: nn.Module, samples: Samples, training: Training) -> None:
        self.number, self.model, self.samples, self._training = number, model, samples, training
        weights = list(model.parameters())
        buffers = [b for b in model.buffers() if b.is_floating_point()]
        self._slots: list[Tensor] = [*weights, *buffers]
        self.size = sum(t.numel() for t in self._slots)
        self._trained = sum(t.numel() for t in weights)
        device = next(iter(self._slots)).device
        self._flat = nn.Parameter(torch.empty(self._trained, device=device))
        self._flat.grad = torch.zeros_like(self._flat)
        for weight, part in zip(weights, self._split(self._flat.grad, weights), strict=True):
            weight.grad = part
        self._optimizer = self._make_optimizer()

    def adopt(self, vector: Tensor) -> None:
        """Move the present parameters into a vector ``(P,)`` and live there."""
        with torch.no_grad():
            torch.cat([slot.detach().reshape(-1) for slot in self._slots], out=vector)
        self.bind(vector)

    def bind(self, vector: Tensor) -> None:
        """Make a vector ``(P,)`` the memory of the parameters."""
        self._flat.data = vector[: self._trained]
        for slot, part in zip(self._slots, self._split(vector, self._slots), strict=True):
            slot.data = part

    @staticmethod
    def _split(vector: Tensor, like: Sequence[Tensor]) -> Iterator[Tensor]:
        start = 0
        for tensor in like:
            yield vector[start : start + tensor.numel()].view(tensor.shape)
            start += tensor.numel()

    def _make_optimizer(self) -> torch.optim.Optimizer:
        t = self._training
        if t.optimizer == "sgd":
            return torch.optim.SGD(
                [self._flat], lr=t.lr, momentum=t.momentum, weight_decay=t.weight_decay
            )
        kind = torch.optim.Adam if t.optimizer == "adam" else torch.optim.AdamW
        return kind([self._flat], lr=t.lr, betas=t.betas, weight_decay=t.weight_decay)

    def train(self, round_: int) -> float:
        """Take this round's local steps; the mean loss over the samples seen.

        The order of samples and dropout follow from the seed, the device and the round alone.
        """
        t = self._training
        if t.optimizer_state == "reset":
            self._optimizer = self._make_optimizer()
        torch.manual_seed(seeds.integer(t.seed, "dropout", self.number, round_))
        anchor = self._flat.detach().clone() if t.proximal else None
        self.model.train()
        total, seen = torch.zeros((), device=self._flat.device), 0
        for index in self._batches(round_):
            inputs, targets = self.samples.batch(index)
            self._flat.grad.zero_()  # type: ignore[union-attr]
            with self._precision():
                loss = self._loss(self.model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            if anchor is not None:
                # FedProx, arXiv 1812.06127: the gradient of mu/2 ||w - w_round_start||^2.
                self._flat.grad.add_(self._flat.detach() - anchor, alpha=t.proximal)  # type: ignore[union-attr]
            self._optimizer.step()
            total += loss.detach() * len(index)
            seen += len(index)
        return float(total) / seen

    def _batches(self, round_: int) -> Iterator[Tensor]:
        t, count = self._training, len(self.samples)
        order = seeds.stream(t.seed, "batches", self.number, round_)
        taken = 0
        epoch = 0
        while taken < t.steps if t.steps is not None else epoch < t.epochs:
            indices = order.permutation(count) if t.order == "shuffled" else np.arange(count)
            for batch in torch.split(torch.from_numpy(indices).to(self._flat.device), t.batch_size):
                yield batch
                taken += 1
                if taken == t.steps:
                    return
            epoch += 1

    def _precision(self) -> AbstractContextManager[object]:
        if self._training.precision == "bfloat16":
            return torch.autocast(self._flat.device.type, dtype=torch.bfloat16)
        return nullcontext()

    @staticmethod
    def _loss(logits: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(
            logits.float().flatten(0, -2), targets.flatten(), ignore_index=IGNORED
        )

    def evaluate(self, samples: Samples, classes: int, evaluation: Evaluation) -> Score:
        """Loss and accuracy on a test set; NaN where it is empty.

        Args:
            samples: The test set.
            classes: C, of the labels.
            evaluation: Batch size, and whether accuracy is exact or, as the published testbed
                counts, divided by the padded size ``B * ceil(n / B)``.
        """
        self.model.eval()
        device = self._flat.device
        loss = torch.zeros((), device=device, dtype=torch.float64)
        right = torch.zeros(classes, device=device, dtype=torch.float64)
        asked = torch.zeros(classes, device=device, dtype=torch.float64)
        size = evaluation.batch_size
        with torch.inference_mode(), self._precision():
            for start in range(0, len(samples), size):
                inputs, targets = samples.batch(slice(start, start + size))
                labels = samples.labels[start : start + size]
                logits = self.model(inputs)
                counted = targets != IGNORED
                loss += self._loss(logits, targets).double() * counted.sum()
                hits = (logits.argmax(-1) == targets) & counted
                right.index_add_(0, labels, _per_sample(hits))
                asked.index_add_(0, labels, _per_sample(counted))
        count = float(asked.sum())
        if not count:
            return Score(np.nan, np.nan, np.full(classes, np.nan, np.float32))
        padded = count / len(samples) * size * -(-len(samples) // size)
        shown = padded if evaluation.accuracy == "padded" else count
        by_class = (right / asked).cpu().numpy().astype(np.float32)
        return Score(float(loss) / count, float(right.sum()) / shown, by_class)


def _per_sample(marks: Tensor) -> Tensor:
    return marks.double() if marks.ndim == 1 else marks.flatten(1).sum(1).double()
