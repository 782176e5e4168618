"""Optimizers SGD, Adam and AdamW with the arithmetic of torch.optim.

They are written out, as torch.optim loads torch's compiler and with it sympy: two seconds and 80 MB
on every rank, for six lines of arithmetic.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mpidl.config.runfile import TrainingSettings

Steps = npt.NDArray[np.int64]
Rates = npt.NDArray[np.float64]

EPSILON = 1e-8
"""Number that torch.optim adds to Adam's denominator."""


SMALL = 1e-6
"""Number that torch adds to a norm by which it divides."""


class Optimizer:
    """Optimizer of one learner, with its state between steps.

    SGD with momentum (Sutskever et al., ICML 2013), Adam (arXiv 1412.6980) and AdamW (arXiv
    1711.05101); the same bits as torch.optim without ``foreach`` or ``fused``.

    Args:
        training: The optimizer's name and settings.
    """

    def __init__(self, training: TrainingSettings) -> None:
        self._training = training
        self._states: list[list[Tensor]] = []
        self._steps = 0

    def reset(self) -> None:
        """Reset all state, as if newly made."""
        self._states, self._steps = [], 0

    @torch.no_grad()
    def step(
        self, weights: Sequence[Tensor], gradients: Sequence[Tensor], factor: float = 1.0
    ) -> None:
        """Change weights in place.

        Args:
            weights: Tensors of any shape, the same ones at each step.
            gradients: One of its shape for each.
            factor: The factor of the learning rate in this step.
        """
        lr = self._training.lr * factor
        if not self._states:
            self._states = [_blank(self._training, weight) for weight in weights]
        self._steps += 1
        for weight, gradient, state in zip(weights, gradients, self._states, strict=True):
            _change(self._training, weight, gradient, state, self._steps, lr)

    def memory(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """State after a round: ``optimizer``, ``(k, T)`` for T trained numbers, and ``steps``.

        Args:
            weights: The trained weights.
        """
        states = self._states or [_blank(self._training, weight) for weight in weights]
        flat = [torch.cat([part.flatten() for part in like]) for like in zip(*states, strict=True)]
        return _memory(self._training, flat, self._steps)

    def remember(self, weights: Sequence[Tensor], memory: Mapping[str, Tensor]) -> None:
        """Take what :meth:`memory` gave."""
        self.reset()
        self._steps = int(memory.get("steps", 0))
        if self._steps:
            sizes = [weight.numel() for weight in weights]
            parts = torch.split(memory["optimizer"], sizes, dim=1)
            self._states = [
                [own.view(weight.shape).to(weight, copy=True) for own in part]
                for weight, part in zip(weights, parts, strict=True)
            ]


class RowOptimizer:
    """Optimizer of ``D`` learners at once, each of which counts its own steps.

    Args:
        training: The optimizer's name and settings.
        weights: A row of weights for each learner, ``(D, P)``.
    """

    def __init__(self, training: TrainingSettings, weights: Tensor) -> None:
        self._training = training
        self._states = _blank(training, weights)
        self._steps = np.zeros(len(weights), np.int64)

    def reset(self, rows: Sequence[int]) -> None:
        """Reset the state of some learners."""
        self._steps[rows] = 0
        for state in self._states:
            state[rows] = 0

    @torch.no_grad()
    def step(
        self, weights: Tensor, gradients: Tensor, rows: Sequence[int], factors: Rates | None = None
    ) -> None:
        """Change some rows in place.

        Args:
            weights: ``(D, P)``.
            gradients: Of the ``d`` learners that take this step, ``(d, P)``.
            rows: Which these are, ascending.
            factors: The factors of their learning rates in this step, ``(d,)``; 1 if None.
        """
        self._steps[rows] += 1
        steps, lr = self._steps[rows], self._training.lr
        # If all have taken the same number of steps, it is one number, as for one learner.
        count = int(steps[0]) if (steps == steps[0]).all() else steps
        rates: float | Rates = lr
        if factors is not None:
            alike = (factors == factors[0]).all()
            rates = lr * float(factors[0]) if alike else lr * factors
        if len(rows) == len(weights):
            _change(self._training, weights, gradients, self._states, count, rates)
            return
        wholes = [weights, *self._states]
        where = torch.tensor(rows, device=weights.device)
        part, *state = [whole[where] for whole in wholes]
        _change(self._training, part, gradients, state, count, rates)
        for whole, changed in zip(wholes, [part, *state], strict=True):
            whole[where] = changed

    def memory(self, row: int) -> dict[str, Tensor]:
        """State of one learner after a round; see :meth:`Optimizer.memory`."""
        return _memory(self._training, [state[row] for state in self._states], self._steps[row])

    def remember(self, row: int, memory: Mapping[str, Tensor]) -> None:
        """Take what :meth:`memory` gave."""
        if "steps" in memory:
            self._steps[row] = int(memory["steps"])
            for state, own in zip(self._states, memory["optimizer"], strict=True):
                state[row] = own


def clipped(gradients: Sequence[Tensor], most: float) -> tuple[Tensor, ...]:
    """Gradients of one learner, scaled down if their norm is too large.

    The arithmetic is that of ``torch.nn.utils.clip_grad_norm_``.

    Args:
        gradients: Tensors of any shape.
        most: The largest norm of all numbers together.
    """
    norms = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients])
    share = _share(torch.linalg.vector_norm(norms), most)
    return tuple(gradient * share for gradient in gradients)


def clipped_rows(gradients: Tensor, most: float) -> Tensor:
    """Gradients of several learners, ``(d, P)``, as by :func:`clipped` for each."""
    return gradients * _share(torch.linalg.vector_norm(gradients, dim=1, keepdim=True), most)


def _share(norm: Tensor, most: float) -> Tensor:
    return (most / (norm + SMALL)).clamp(max=1.0)


def _memory(t: TrainingSettings, states: Sequence[Tensor], steps: int) -> dict[str, Tensor]:
    if t.optimizer_state == "reset" or not states:
        return {}
    return {"optimizer": torch.stack(list(states)), "steps": torch.tensor(int(steps))}


def _blank(t: TrainingSettings, weight: Tensor) -> list[Tensor]:
    count = 2 if t.optimizer != "sgd" else int(t.momentum > 0)
    return [torch.zeros_like(weight) for _ in range(count)]


def _change(
    t: TrainingSettings,
    weight: Tensor,
    gradient: Tensor,
    state: Sequence[Tensor],
    steps: int | Steps,
    lr: float | Rates,
) -> None:
    if t.weight_decay and t.optimizer == "adamw":
        weight.mul_(_column(1 - lr * t.weight_decay, weight))
    elif t.weight_decay:
        gradient = gradient.add(weight, alpha=t.weight_decay)
    if t.optimizer != "sgd":
        _adapt(t, weight, gradient, state, steps, lr)
        return
    if state:
        gradient = state[0].mul_(t.momentum).add_(gradient)
    if isinstance(lr, float):
        weight.add_(gradient, alpha=-lr)
    else:
        weight.sub_(gradient * _column(lr, weight))


def _adapt(
    t: TrainingSettings,
    weight: Tensor,
    gradient: Tensor,
    state: Sequence[Tensor],
    steps: int | Steps,
    lr: float | Rates,
) -> None:
    (first, second), (mean, square) = t.betas, state
    mean.lerp_(gradient, 1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    if isinstance(steps, int) and isinstance(lr, float):
        denominator = (square.sqrt() / (1 - second**steps) ** 0.5).add_(EPSILON)
        weight.addcdiv_(mean, denominator, value=-lr / (1 - first**steps))
        return
    root, size = (1 - second**steps) ** 0.5, lr / (1 - first**steps)
    denominator = (square.sqrt() / _column(root, weight)).add_(EPSILON)
    weight.addcdiv_(mean * _column(size, weight), denominator, value=-1)


def _column(values: float | npt.NDArray[Any], like: Tensor) -> float | Tensor:
    """Numbers of rows as a column ``(d, 1)``; one number of all rows stays what it is."""
    return values if isinstance(values, float) else torch.from_numpy(values).to(like)[:, None]
