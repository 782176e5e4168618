"""Measured values of devices on the test sets: which of a round's or a file's series they are."""

from collections.abc import Iterable
from typing import NamedTuple

from mpidl.storage import schema


class Measured(NamedTuple):
    """What a series such as ``iid_mae_mixed`` is of.

    Attributes:
        kind: The test set, ``"iid"`` or ``"ood"``.
        value: The name of the value, such as ``mae``.
        moment: ``"trained"`` or ``"mixed"``.
    """

    kind: str
    value: str
    moment: str


def parts(key: str) -> Measured | None:
    """The parts of the name of a series; None if it belongs to no test set."""
    kind, _, rest = key.partition("_")
    value, _, moment = rest.rpartition("_")
    known = kind in schema.KINDS and value and moment in schema.MOMENTS
    return Measured(kind, value, moment) if known else None


def names(keys: Iterable[str], kind: str) -> dict[str, str]:
    """The series of a test set by the name of their value: ``loss``, ``accuracy``, and others.

    Those after mixing, or after training if there are only these. Loss comes first, then accuracy.

    Args:
        keys: Names of series.
        kind: The test set, ``"iid"`` or ``"ood"``.
    """
    of_kind = [(key, one) for key in keys if (one := parts(key)) and one.kind == kind]
    found = {
        one.value: key
        for moment in schema.MOMENTS
        for key, one in of_kind
        if one.moment == moment and one.value != "class_accuracy"
    }
    first = [name for name in ("loss", "accuracy") if name in found]
    return {name: found[name] for name in [*first, *(n for n in found if n not in first)]}


def chief(keys: Iterable[str]) -> str:
    """The value by which devices are compared: ``accuracy``, or ``loss`` where none is recorded."""
    known = set(keys)
    accuracies = (f"{kind}_accuracy_{moment}" for kind in schema.KINDS for moment in schema.MOMENTS)
    return "accuracy" if known.intersection(accuracies) else "loss"
