"""Out-of-distribution data: kinds by name, samples of sources, and the global test sets."""

from mpidl.components.ood import natural, triggers
from mpidl.components.ood.shift import OODS, Shape, Shift, split_test, turn

__all__ = ["OODS", "Shape", "Shift", "natural", "split_test", "triggers", "turn"]
