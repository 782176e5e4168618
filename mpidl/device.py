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
from mpidl.optimizers import Optimizer
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

    Parameters come first in the vector; batch-norm statistics follow and are mixed with them;
    integer counters stay local.

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
        self._weights = [w for w in weights if w.requires_grad]
        self.size = sum(t.numel() for t in self._slots)
        self._hardware = next(iter(self._slots)).device
        self._optimizer = Optimizer(training)

    def adopt(self, vector: Tensor) -> None:
        """Move the present parameters into a vector ``(P,)`` and live there."""
        with torch.no_grad():
            torch.cat([slot.detach().reshape(-1) for slot in self._slots], out=vector)
        self.bind(vector)

    def bind(self, vector: Tensor) -> None:
        """Make a vector ``(P,)`` the memory of the parameters."""
        for slot, part in zip(self._slots, self._split(vector, self._slots), strict=True):
            slot.data = part

    @staticmethod
    def _split(vector: Tensor, like: Sequence[Tensor]) -> Iterator[Tensor]:
        start = 0
        for tensor in like:
            yield vector[start : start + tensor.numel()].view(tensor.shape)
            start += tensor.numel()

    def train(self, round_: int) -> float:
        """Take this round's local steps; the mean loss over the samples seen.

        The order of samples and dropout follow from the seed, the device and the round alone.
        """
        t, weights = self._training, self._weights
        if t.optimizer_state == "reset":
            self._optimizer.reset()
        torch.manual_seed(seeds.integer(t.seed, "dropout", self.number, round_))
        anchors = [w.detach().clone() for w in weights] if t.proximal else []
        self.model.train()
        losses, counts = [], []
        for index in self._batches(round_):
            inputs, targets = self.samples.batch(index)
            with self._precision():
                loss = self._loss(self.model(inputs), targets)
            # Gradients are handed over where they were computed: added to a vector of their own,
            # they would cost an eighth of an MLP's step.
            gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
            if t.proximal:
                # FedProx, arXiv 1812.06127: the gradient of mu/2 ||w - w_round_start||^2.
                pulls = (w.detach() - a for w, a in zip(weights, anchors, strict=True))
                pairs = zip(gradients, pulls, strict=True)
                gradients = tuple(g.add(pull, alpha=t.proximal) for g, pull in pairs)
            self._optimizer.step(weights, gradients)
            losses.append(loss.detach())
            counts.append(len(index))
        return float(np.average(torch.stack(losses).cpu(), weights=counts))

    def _batches(self, round_: int) -> Iterator[Tensor]:
        t, count = self._training, len(self.samples)
        order = seeds.stream(t.seed, "batches", self.number, round_)
        taken = 0
        epoch = 0
        while taken < t.steps if t.steps is not None else epoch < t.epochs:
            indices = order.permutation(count) if t.order == "shuffled" else np.arange(count)
            for batch in torch.split(torch.from_numpy(indices).to(self._hardware), t.batch_size):
                yield batch
                taken += 1
                if taken == t.steps:
                    return
            epoch += 1

    def _precision(self) -> AbstractContextManager[object]:
        if self._training.precision == "bfloat16":
            return torch.autocast(self._hardware.type, dtype=torch.bfloat16)
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
        device = self._hardware
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
