"""Scores of devices on a test set, loss and other values, counted batch by batch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mpidl.components.tasks import IGNORED
from mpidl.config.runfile import EvaluationSettings


@dataclass(frozen=True)
class Score:
    """Score of one device on one test set.

    Attributes:
        loss: Mean loss.
        values: Other values by name, such as ``accuracy``.
        by_class: Accuracy by class, ``(C,)``; empty where there are no classes.
    """

    loss: float
    values: Mapping[str, float]
    by_class: npt.NDArray[np.float32]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.values["accuracy"]


class Tally:
    """Counts the answers of ``D`` devices on one test set.

    Args:
        devices: D.
        classes: C, of the labels.
        hardware: The hardware of the answers.
    """

    def __init__(self, devices: int, classes: int, hardware: torch.device) -> None:
        self._loss = torch.zeros(devices, device=hardware, dtype=torch.float64)
        # By class: correct answers, and all answers.
        self._right = torch.zeros(devices, classes, device=hardware, dtype=torch.float64)
        self._asked = torch.zeros(classes, device=hardware, dtype=torch.float64)

    def add(self, logits: Tensor, targets: Tensor, labels: Tensor) -> None:
        """Count some samples.

        Args:
            logits: ``(D, B, C)``, or of every token ``(D, B, L, V)``.
            targets: ``(B,)``, or ``(B, L)``.
            labels: ``(B,)``.
        """
        devices, counted = len(logits), targets != IGNORED
        targets = targets.expand(devices, *targets.shape)
        losses = losses_of(logits, targets).view(devices, -1)
        self._loss += losses.sum(1, dtype=torch.float64)
        hits = (logits.argmax(-1) == targets) & counted
        self._right.index_add_(1, labels, hits.view(*hits.shape[:2], -1).sum(2).double())
        self._asked.index_add_(0, labels, counted.view(len(labels), -1).sum(1).double())

    def scores(self, samples: int, evaluation: EvaluationSettings) -> list[Score]:
        """The score of each device on a test set of so many samples; NaN where it is empty."""
        losses, right = self._loss.cpu().numpy(), self._right.cpu().numpy()
        asked = self._asked.cpu().numpy()
        count = float(asked.sum())
        if not count:
            nothing = Score(np.nan, {"accuracy": np.nan}, np.full(len(asked), np.nan, np.float32))
            return [nothing] * len(losses)
        size = evaluation.batch_size
        padded = count / samples * size * -(-samples // size)
        shown = padded if evaluation.accuracy == "padded" else count
        with np.errstate(invalid="ignore"):
            by_class = (right / asked).astype(np.float32)
        return [
            Score(float(loss) / count, {"accuracy": float(hits.sum()) / shown}, share)
            for loss, hits, share in zip(losses, right, by_class, strict=True)
        ]


class Means:
    """Sums loss and values of ``D`` devices on one test set, weighted by samples.

    Args:
        devices: D.
        values: Names of the values.
        hardware: The hardware of what is summed.
    """

    def __init__(self, devices: int, values: tuple[str, ...], hardware: torch.device) -> None:
        names = ("loss", *values)
        self._sums = {
            name: torch.zeros(devices, device=hardware, dtype=torch.float64) for name in names
        }
        self._count = 0

    def add(self, found: Mapping[str, Tensor], targets: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            found: Means over the batch by name, ``(D,)``.
            targets: Not used.
            labels: ``(B, ...)``.
        """
        for name, value in found.items():
            self._sums[name] += value.double() * len(labels)
        self._count += len(labels)

    def scores(self, samples: int, evaluation: EvaluationSettings) -> list[Score]:
        """The score of each device on a test set; NaN where it is empty."""
        count, nothing = self._count or np.nan, np.empty(0, np.float32)
        means = {name: (sums.cpu().numpy() / count).tolist() for name, sums in self._sums.items()}
        losses = means.pop("loss")
        return [
            Score(loss, {name: own[i] for name, own in means.items()}, nothing)
            for i, loss in enumerate(losses)
        ]


def losses_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of every target, in float32, one after the other; 0 where it is left out.

    Args:
        logits: ``(..., C)``.
        targets: ``(...)``.
    """
    return functional.cross_entropy(
        logits.float().flatten(0, -2), targets.flatten(), reduction="none", ignore_index=IGNORED
    )
