"""Rounds timed on all ranks alike, and what is told of the times."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch

from mpidl.ranks.accelerators import settle
from mpidl.ranks.node import Node

CPU = torch.device("cpu")
"""Where nothing has to be waited for."""


@dataclass(frozen=True)
class Times:
    """Seconds that something took: median, least, quartiles, and how often it was timed."""

    median: float
    least: float
    lower: float
    upper: float
    count: int

    @classmethod
    def of(cls, seconds: npt.ArrayLike) -> "Times":
        """Of the seconds of each repetition, ``(n,)``."""
        values = np.asarray(seconds, float)
        least, lower, median, upper = np.quantile(values, [0, 0.25, 0.5, 0.75]).tolist()
        return cls(median, least, lower, upper, len(values))

    def told(self) -> str:
        """Median and quartiles in milliseconds."""
        milli = [1e3 * value for value in (self.median, self.lower, self.upper)]
        digits = 0 if milli[0] >= 100 else 1 if milli[0] >= 10 else 2
        median, lower, upper = (f"{value:.{digits}f}" for value in milli)
        return f"{median} [{lower}, {upper}]"

    def plain(self) -> dict[str, float]:
        """As plain values, in seconds."""
        return asdict(self)


def rounds(
    node: Node,
    action: Callable[[], object],
    repetitions: int,
    warm: int = 2,
    hardware: torch.device = CPU,
) -> list[float]:
    """Collective. Seconds of each repetition, from the first rank begun to the last ended.

    An accelerator has done what it was asked for whenever a clock is read. Clocks of different
    nodes differ; there it is the longest time of any rank.
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
