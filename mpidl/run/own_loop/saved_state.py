"""State of gossip in one's own loop, beside models: it is taken, checked and restored."""

from collections.abc import Mapping
from typing import Any

from mpidl.config.faults import Fault
from mpidl.run.own_loop.building import OwnParts

STARTS = "start"
"""The name of learned numbers from before a training, beside the algorithm's own vectors."""


def taken(parts: OwnParts) -> dict[str, Any]:
    """The state that a round leaves to the next, as copies on the processor."""
    memory = {**parts.gossip.memory(), STARTS: parts.gossip.starts()}
    kept = {
        name: {number: vector.detach().to("cpu", copy=True) for number, vector in own.items()}
        for name, own in memory.items()
    }
    return {"settings": parts.digest, "memory": kept}


def check(parts: OwnParts, state: Mapping[str, Any]) -> None:
    """Check that a state is of the same settings and devices.

    Raises:
        Fault: If it is not.
    """
    needed = {"round", "bytes", "settings", "memory"}
    if not isinstance(state, Mapping) or not needed <= {*state}:
        raise Fault("load_state_dict(): the state must be one of Gossip.state_dict().")
    if state["settings"] != parts.digest:
        raise Fault("load_state_dict(): the state is of other settings or another model.")
    if foreign := {n for own in state["memory"].values() for n in own} - {*parts.models}:
        raise Fault(
            f"load_state_dict(): the state is of device {min(foreign)}, which is not on this rank."
        )


def restore(parts: OwnParts, state: Mapping[str, Any]) -> None:
    """Collective. Restore a state that :func:`check` accepted, after models are restored."""
    memory = dict(state["memory"])
    starts = memory.pop(STARTS)
    parts.gossip.remember(memory)
    parts.gossip.begin(list(parts.models))
    parts.gossip.start_from(starts)
