"""Simulated device: a model in a flat vector, its optimizer, its shard of data."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from mpidl.components.lr_schedules import Factor
from mpidl.components.tasks import IGNORED
from mpidl.components.torch_optimizers import TorchOptimizer
from mpidl.config import seeds
from mpidl.config.runfile import EvaluationSettings, TrainingSettings
from mpidl.devices import saved
from mpidl.devices.flat import Flat
from mpidl.devices.objectives import ANSWERS, Objective
from mpidl.devices.optimizers import Optimizer, clipped
from mpidl.devices.scores import Score


@dataclass(frozen=True)
class Samples:
    """Inputs and targets, on one accelerator.

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
        """Inputs of the model, and targets: ``(B,)`` classes or ``(B, L - 1)`` tokens.

        An index ``(D, B)`` puts a dimension in front of both.
        """
        inputs = _taken(self.inputs, index)
        if not self.sequence:
            return _interleaved(inputs), _taken(self.labels, index)
        tokens = inputs.long()
        targets = tokens[..., 1:]
        return tokens[..., :-1], targets.masked_fill(targets == self.padding, IGNORED)


CACHE = 2**24
"""Most bytes of a layer's outputs: half of the last cache of present processors."""


def _taken(source: Tensor, index: Tensor | slice) -> Tensor:
    if isinstance(index, slice):
        return source[index]
    # This takes a third of the time of source[index].
    return source.index_select(0, index.flatten()).view(*index.shape, *source.shape[1:])


def _interleaved(images: Tensor) -> Tensor:
    """Images ``(B, channels, H, W)`` in the memory format that is fast on a processor.

    Measured on two busy cores: evaluation of cnn and vgg16 takes about 3/4 of the time, training of
    mobilenet_v2 2/3; training of cnn, vgg16 and resnet18 takes the same time.
    """
    if images.ndim == 4 and images.shape[1] > 1 and images.device.type == "cpu":
        return images.contiguous(memory_format=torch.channels_last)
    return images


def seed_torch(seed: int, hardware: torch.device) -> None:
    """Seed torch's generators of this hardware and of the CPU.

    ``torch.manual_seed`` seeds all kinds of hardware; for one that is not in use it stores a
    traceback at each call: half a millisecond a round, and memory that only grows.
    """
    torch.default_generator.manual_seed(seed)
    if hardware.type != "cpu":
        getattr(torch, hardware.type).manual_seed(seed)


class Device:
    """A learner: its model in one vector ``(P,)``, its shard, its local step.

    Batch-norm statistics are in the vector, and mixed with the parameters; integer counters stay
    local.

    Args:
        number: Its node in the graph.
        model: Its model, on the accelerator.
        samples: Its shard.
        training: The local step.
        schedule: The factor of the learning rate at a time in rounds; None if it is always 1.
        objective: What the model is trained for.

    Attributes:
        flat: The memory of its model.
        weights: The trained weights.
        optimizer: Its optimizer, mpidl's own if not replaced.
    """

    def __init__(
        self,
        number: int,
        model: nn.Module,
        samples: Samples,
        training: TrainingSettings,
        schedule: Factor | None = None,
        objective: Objective = ANSWERS,
    ) -> None:
        self.objective = objective
        self.number, self.model, self.samples, self._training = number, model, samples, training
        self.flat = Flat(model)
        self.weights = [w for w in model.parameters() if w.requires_grad]
        self.hardware = self.flat.device
        self._chunk: int | None = None
        self.schedule = schedule
        self.optimizer: Optimizer | TorchOptimizer = Optimizer(training)

    def memory(self, own: bool = True) -> dict[str, Tensor]:
        """The state that a round leaves to the next one, by name: ``vector``, ``(P,)``, and others.

        Args:
            own: Whether the device uses its own optimizer.
        """
        state = {"vector": self.flat.vector}
        if counters := saved.counters(self.model):
            state["counters"] = torch.cat([c.flatten().long() for c in counters])
        return state | (self.optimizer.memory(self.weights) if own else {})

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`memory` returned."""
        self.flat.vector.copy_(memory["vector"])
        if "counters" in memory:
            saved.count(self.model, memory["counters"])
        self.optimizer.remember(self.weights, memory)

    def train(self, round_: int) -> float:
        """Take this round's local steps, and return the mean loss over their samples.

        The order of samples and dropout follow from the seed, the device and the round alone.
        """
        t, weights = self._training, self.weights
        if t.optimizer_state == "reset":
            self.optimizer.reset()
        seed_torch(seeds.integer(t.seed, "dropout", self.number, round_), self.hardware)
        anchors = [w.detach().clone() for w in weights] if t.proximal else []
        self._switch(training=True)
        losses, counts = [], []
        for step, index in enumerate(self.batches(round_, self.hardware)):
            inputs, targets = self.samples.batch(index)
            with precision(t, self.hardware):
                loss = self.objective.loss(self.model, inputs, targets)
            # Gradients are used where they were computed: copying them into a vector would take an
            # eighth of an MLP's step.
            gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
            if t.proximal:
                # FedProx, arXiv 1812.06127: the gradient of mu/2 ||w - w_round_start||^2.
                pulls = (w.detach() - a for w, a in zip(weights, anchors, strict=True))
                pairs = zip(gradients, pulls, strict=True)
                gradients = tuple(g.add(pull, alpha=t.proximal) for g, pull in pairs)
            if t.clip is not None:
                gradients = clipped(gradients, t.clip)
            self.optimizer.step(weights, gradients, self.factor(round_, step))
            losses.append(loss.detach())
            counts.append(len(index))
        return float(np.average(torch.stack(losses).cpu(), weights=counts))

    def factor(self, round_: int, step: int) -> float:
        """The factor of the learning rate in one of a round's local steps; both count from 0."""
        if self.schedule is None:
            return 1.0
        return self.schedule(round_ + step / self.steps)

    @property
    def steps(self) -> int:
        """The number of its local steps in a round."""
        t = self._training
        return t.steps or t.epochs * -(-len(self.samples) // t.batch_size)

    def batches(self, round_: int, hardware: torch.device) -> Iterator[Tensor]:
        """The samples of each local step of a round, ``(B,)``, in the memory of some hardware."""
        t, count = self._training, len(self.samples)
        order = seeds.stream(t.seed, "batches", self.number, round_)
        taken = 0
        epoch = 0
        while taken < t.steps if t.steps is not None else epoch < t.epochs:
            drawn = order.permutation(count) if t.order == "shuffled" else np.arange(count)
            indices = torch.from_numpy(drawn).to(hardware)
            for start in range(0, count, t.batch_size):
                yield indices[start : start + t.batch_size]
                taken += 1
                if taken == t.steps:
                    return
            epoch += 1

    def evaluate(self, samples: Samples, classes: int, evaluation: EvaluationSettings) -> Score:
        """The score on a test set; NaN if it is empty.

        Args:
            samples: The test set.
            classes: C, of the labels.
            evaluation: Batch size, and whether accuracy is exact or, as the published testbed
                counts, divided by the padded size ``B * ceil(n / B)``.
        """
        self._switch(training=False)
        tally = self.objective.tally(1, classes, self.hardware)
        with self.objective.testing(), precision(self._training, self.hardware):
            size = min(evaluation.batch_size, self._fitting(samples))
            for start in range(0, len(samples), size):
                inputs, targets = samples.batch(slice(start, start + size))
                labels = samples.labels[start : start + size]
                found = self.objective.found(self.model, inputs, targets)
                tally.add(tree_map(_lone, found), targets, labels)
        return tally.scores(len(samples), evaluation)[0]

    def _switch(self, training: bool) -> None:
        # Switching every module takes as long as a small model's step.
        if self.model.training != training:
            self.model.train(training)

    def _fitting(self, samples: Samples) -> int:
        """The most samples that go through the model at once within the cache."""
        if self._chunk is None and len(samples):
            sizes = [1]

            def note(part: nn.Module, inputs: object, output: object) -> None:
                if isinstance(output, Tensor):
                    sizes.append(output.numel() * output.element_size())

            leaves = [part for part in self.model.modules() if not list(part.children())]
            hooks = [part.register_forward_hook(note) for part in leaves]
            self.objective.found(self.model, *samples.batch(slice(0, 1)))
            for hook in hooks:
                hook.remove()
            self._chunk = max(1, CACHE // max(sizes))
        return self._chunk if self._chunk and self.hardware.type == "cpu" else len(samples) or 1


def _lone(found: Tensor) -> Tensor:
    """The same, as what is found of one device of several."""
    return found[None]


def precision(training: TrainingSettings, hardware: torch.device) -> AbstractContextManager[object]:
    """The context in which a run file's models compute."""
    if training.precision == "bfloat16":
        return torch.autocast(hardware.type, dtype=torch.bfloat16)
    return nullcontext()
