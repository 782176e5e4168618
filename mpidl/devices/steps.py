"""Steps of an algorithm on the state of a device, with a check that they change it in place."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from mpidl.components.algorithms import State
from mpidl.config.faults import Fault, shown


def take_step(name: str, step: Callable[..., Any], state: State, *more: Any) -> None:
    """Do a step of an algorithm.

    Args:
        name: The name of the algorithm.
        step: ``setup``, ``give``, ``read`` or ``take`` of it.
        state: The state of the device.
        more: What the step gets in addition.

    Raises:
        Fault: If it returns something, or puts another vector in place of one.
    """
    x, vector, kept = state.x, state.vector, dict(state.kept)
    found = step(state, *more)
    if found is not None:
        raise _fault(
            name,
            state,
            f"returns {shown(found)}",
            "must change the state in place, and return None",
        )
    if state.x is not x or state.vector is not vector:
        which = "x" if state.x is not x else "vector"
        raise _fault(
            name,
            state,
            f"puts another vector in place of state.{which}",
            f"must change it in place, as state.{which}.copy_(other) does",
        )
    _check_kept(name, state, kept)


def _check_kept(name: str, state: State, kept: Mapping[str, Tensor]) -> None:
    """See that what is kept has the names and forms that it had before a step."""
    if state.kept.keys() != kept.keys():
        keys = ", ".join(sorted(map(str, state.kept.keys() ^ kept.keys())))
        wrong = f"changes which vectors are kept ({keys})"
        raise _fault(name, state, wrong, "must be those that keeps names")
    for key, before in kept.items():
        now = state.kept[key]
        if now is before:
            continue
        if not isinstance(now, Tensor):
            given = shown(now)
        elif now.shape != before.shape or now.dtype != before.dtype:
            given = f"{tuple(now.shape)} of {now.dtype}"
        else:
            continue
        needed = f"must be {tuple(before.shape)} of {before.dtype}"
        raise _fault(name, state, f"keeps {key!r} as {given}", needed)


def recorded(name: str, state: State, series: tuple[str, ...]) -> None:
    """Check the values that a step left for the results file.

    Raises:
        Fault: If one has no series of the algorithm, or is no number.
    """
    for key, value in state.series.items():
        if key not in series:
            known = ", ".join(map(repr, series)) or "none"
            raise _fault(
                name, state, f"records {shown(key)}", f"must be a name in its series ({known})"
            )
        if not isinstance(value, float | int) and not hasattr(value, "__float__"):
            raise _fault(name, state, f"records {shown(value)} as {key!r}", "must be a number")


def _fault(name: str, state: State, wrong: str, allowed: str) -> Fault:
    where = f"in round {state.round + 1} for device {state.number} it {wrong}"
    return Fault(f"algorithm.name = {name!r}: {where}: {allowed}.")
