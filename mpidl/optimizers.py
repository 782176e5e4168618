"""Steps against a gradient: SGD, Adam and AdamW with the arithmetic of torch.optim.

Written out, because torch.optim loads torch's compiler and with it sympy: two seconds and 80 MB on
every rank, for six lines of arithmetic.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mpidl.runfile import Training

EPSILON = 1e-8
"""What torch.optim adds to Adam's denominator."""


class Optimizer:
    """What a learner remembers between its steps.

    SGD with momentum (Sutskever et al., ICML 2013), Adam (arXiv 1412.6980) and AdamW (arXiv
    1711.05101); the same bits as torch.optim without ``foreach`` or ``fused``.

    Args:
        training: Which of them, and its settings.
    """

    def __init__(self, training: Training) -> None:
        self._training = training
        self._states: list[list[Tensor]] = []
        self._steps = 0

    def reset(self) -> None:
        """Forget all, as if newly made."""
        self._states, self._steps = [], 0

    @torch.no_grad()
    def step(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
        """Change weights in place.

        Args:
            weights: Tensors of any shape, the same ones at each step.
            gradients: One of its shape for each.
        """
        t = self._training
        if not self._states:
            count = 2 if t.optimizer != "sgd" else int(t.momentum > 0)
            self._states = [[torch.zeros_like(w) for _ in range(count)] for w in weights]
        self._steps += 1
        change = self._descend if t.optimizer == "sgd" else self._adapt
        for weight, gradient, state in zip(weights, gradients, self._states, strict=True):
            if t.weight_decay and t.optimizer == "adamw":
                weight.mul_(1 - t.lr * t.weight_decay)
            elif t.weight_decay:
                gradient = gradient.add(weight, alpha=t.weight_decay)
            change(weight, gradient, *state)

    def _descend(self, weight: Tensor, gradient: Tensor, speed: Tensor | None = None) -> None:
        if speed is not None:
            gradient = speed.mul_(self._training.momentum).add_(gradient)
        weight.add_(gradient, alpha=-self._training.lr)

    def _adapt(self, weight: Tensor, gradient: Tensor, mean: Tensor, square: Tensor) -> None:
        first, second = self._training.betas
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = (1 - second**self._steps) ** 0.5
        size = self._training.lr / (1 - first**self._steps)
        weight.addcdiv_(mean, (square.sqrt() / root).add_(EPSILON), value=-size)
