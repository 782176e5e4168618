"""Algorithms: what a device does with its vector around training and mixing, a file a family."""

from mpidl.components.algorithms import asynchronous, compression, correction, descent, push, relay
from mpidl.components.algorithms.base import ALGORITHMS, Algorithm, Lengths, Letters, State

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Lengths",
    "Letters",
    "State",
    "asynchronous",
    "compression",
    "correction",
    "descent",
    "push",
    "relay",
]
