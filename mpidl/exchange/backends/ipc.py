"""CUDA IPC: GPUs of one node that read each other's memory."""

from dataclasses import replace
from typing import TYPE_CHECKING

from mpidl.exchange.backend import BACKENDS
from mpidl.exchange.survey import Facts, require, survey
from mpidl.exchange.wiring import Wiring

if TYPE_CHECKING:
    from mpidl.exchange.memory import Exchange


def _obstacle(facts: Facts) -> str | None:
    if facts.nodes > 1:
        return f"reads GPUs of one node, and the ranks are on {facts.nodes}"
    if not facts.reach:
        return "reads other GPUs' memory, which the GPUs here, or those that ranks see, cannot"
    if facts.unmapped:
        return f"maps the memory of other ranks, which fails here: {facts.unmapped}"
    return None


def _trial(wiring: Wiring, facts: Facts) -> Facts:
    """Collective. Try whether ranks can map each other's memory."""
    from mpidl.exchange.windows import hindrance

    return replace(facts, unmapped=hindrance(wiring))


@BACKENDS.add(carries="cuda", obstacle=_obstacle, trial=_trial, met=True)
def ipc(wiring: Wiring, /) -> "Exchange":
    """Ranks of one node mix from each other's CUDA memory, on one GPU or on linked ones."""
    from mpidl.exchange.windows import Ipc

    require("ipc", survey(wiring))
    return Ipc(wiring)
