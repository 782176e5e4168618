"""Clock: times of an action on all ranks, and their statistics."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch

from mpidl.ranks.accelerators import settle
from mpidl.ranks.node import Node

CPU = torch.device("cpu")
"""Hardware without streams, which needs no waiting."""


@dataclass(frozen=True)
class Times:
    """Statistics of times in seconds: median, least, quartiles, and number of repetitions."""

    median: float
    least: float
    lower: float
    upper: float
    count: int

    @classmethod
    def of(cls, seconds: npt.ArrayLike) -> "Times":
        """The statistics of the seconds of each repetition, ``(n,)``."""
        values = np.asarray(seconds, float)
        least, lower, median, upper = np.quantile(values, [0, 0.25, 0.5, 0.75]).tolist()
        return cls(median, least, lower, upper, len(values))

    def text(self) -> str:
        """Median and quartiles in milliseconds."""
        milli = [1e3 * value for value in (self.median, self.lower, self.upper)]
        digits = 0 if milli[0] >= 100 else 1 if milli[0] >= 10 else 2
        median, lower, upper = (f"{value:.{digits}f}" for value in milli)
        return f"{median} [{lower}, {upper}]"

    def plain(self) -> dict[str, float]:
        """The statistics as plain values, in seconds."""
        return asdict(self)


def rounds(
    node: Node,
    action: Callable[[], object],
    repetitions: int,
    warm: int = 2,
    hardware: torch.device = CPU,
) -> list[float]:
    """Collective. Seconds of each repetition, from the first rank's start to the last one's end.

    Accelerators have finished their work whenever a clock is read. As clocks of nodes differ, on
    several nodes it is the longest time of a rank.
    """
    stamps = np.empty((repetitions, 2))
    for turn in range(-warm, repetitions):
        settle(hardware)
        node.meet()
        began = time.monotonic()
        action()
        settle(hardware)
        if turn >= 0:
            stamps[turn] = began, time.monotonic()
    node.meet()
    everyone = np.stack(node.comm.allgather(stamps))
    if node.alone:
        taken = everyone[..., 1].max(axis=0) - everyone[..., 0].min(axis=0)
    else:
        taken = (everyone[..., 1] - everyone[..., 0]).max(axis=0)
    return [float(seconds) for seconds in taken]
