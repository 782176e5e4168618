"""Algorithms: the steps of a device around training and mixing, a family in each file."""

from mpidl.components.algorithms import asynchronous, compression, correction, descent, push, relay
from mpidl.components.algorithms.base import (
    ALGORITHMS,
    Algorithm,
    Lengths,
    Messages,
    State,
    check_lengths,
)

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Lengths",
    "Messages",
    "State",
    "asynchronous",
    "check_lengths",
    "compression",
    "correction",
    "descent",
    "push",
    "relay",
]
