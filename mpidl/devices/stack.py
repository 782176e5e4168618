"""Stack of devices: one model with the weights of many, so that all compute at once."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from mpidl.components.tasks import IGNORED
from mpidl.config.faults import first_line
from mpidl.devices.device import Samples
from mpidl.devices.flat import Flat
from mpidl.devices.objectives import ANSWERS, Objective
from mpidl.devices.scores import losses_of

DEPENDENT = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
"""Layers in which the outputs of a sample depend on the other samples of its batch."""


class Stack:
    """A model applied to many sets of its parameters and floating buffers at once.

    Args:
        model: The model to apply; its own parameters are not read.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model, self.flat = model, Flat(model)
        self.dependent = any(isinstance(part, DEPENDENT) for part in model.modules())

    def __call__(self, weights: Tensor, rest: Tensor, inputs: Tensor) -> Tensor:
        """The outputs for each row, ``(D, B, ...)``, of its inputs, ``(D, B, ...)``.

        See :meth:`apply`.
        """
        outputs: Tensor = self.apply(_outputs, weights, rest, (inputs,))
        return outputs

    def losses(
        self, objective: Objective, weights: Tensor, rest: Tensor, inputs: Tensor, targets: Tensor
    ) -> Tensor:
        """The mean loss of each row over the targets that count, ``(D,)``.

        See :meth:`apply`.
        """
        if not objective.masks:
            means: Tensor = self.apply(objective.loss, weights, rest, (inputs, targets))
            return means
        losses = losses_of(self(weights, rest, inputs), targets).view(len(weights), -1)
        return losses.sum(1) / (targets != IGNORED).flatten(1).sum(1)

    def apply(
        self,
        function: Callable[..., Any],
        weights: Tensor,
        rest: Tensor,
        batch: tuple[Tensor, ...],
        own: bool = True,
    ) -> Any:
        """What a function of the model and a batch gives for each row.

        New batch-norm statistics go into ``rest``.

        Args:
            function: Takes the model and tensors ``(B, ...)``; gives tensors, which get a dimension
                for the rows in front.
            weights: The T trained ones of P numbers, ``(D, T)``.
            rest: The other numbers, ``(D, P - T)``.
            batch: ``(D, B, ...)`` each, or ``(B, ...)`` for all.
            own: Whether each row has its own batch.
        """
        # torch's vmap writes back to contiguous statistics only.
        statistics = [part.contiguous().clone() for part in self.flat.buffers(rest)]
        views = [*self.flat.parameters(weights), *statistics]
        slots = dict(zip([f"model.{name}" for name in self.flat.names], views, strict=True))
        applied = _Applied(self.model, function)

        def apply(slots: dict[str, Tensor], *batch: Tensor) -> Any:
            return functional_call(applied, slots, batch)

        # Other kinds of attention fail under vmap: the processor's has no rule for it, and CUDA's
        # keep nothing for the backward pass, as no query seems to need a gradient there.
        with sdpa_kernel(SDPBackend.MATH):
            places = (0, *[0 if own else None] * len(batch))
            found = vmap(apply, in_dims=places)(slots, *batch)
        if statistics and self.model.training:
            rest.copy_(torch.cat([part.flatten(1) for part in statistics], dim=1))
        return found


class _Applied(nn.Module):
    """A function of a model and a batch, as a module, so that the model's numbers can be others."""

    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self._function = model, function
        self.training = model.training

    def forward(self, *batch: Tensor) -> Any:
        return self._function(self.model, *batch)


def _outputs(model: nn.Module, inputs: Tensor) -> Any:
    return model(inputs)


def obstacle(model: nn.Module, samples: Samples, objective: Objective = ANSWERS) -> str | None:
    """The reason why devices with a model cannot be trained at once; None if they can.

    Args:
        model: The model, on torch's ``meta`` device, so that nothing is computed.
        samples: A few samples, there too.
        objective: What the model is trained for.
    """
    if not all(weight.requires_grad for weight in model.parameters()):
        return "some of its weights are not trained"
    stack = Stack(model.train())
    learned, size = stack.flat.learned, stack.flat.size
    weights = torch.empty(2, learned, device="meta", requires_grad=True)
    rest = torch.empty(2, size - learned, device="meta")
    inputs, targets = samples.batch(torch.zeros(2, 2, dtype=torch.int64, device="meta"))
    try:
        losses = stack.losses(objective, weights, rest, inputs, targets)
        torch.autograd.grad(losses.sum(), weights)
    except Exception as error:  # a model may raise anything here
        return f"torch's vmap says: {first_line(error)}"
    return None
