"""Measured values of devices on the test sets: which of a round's or a file's series they are."""

from collections.abc import Iterable

from mpidl.storage import schema


def names(keys: Iterable[str], kind: str) -> dict[str, str]:
    """The series of a test set by the name of their value: ``loss``, ``accuracy``, and others.

    Those after mixing, or after training if there are only these. Loss comes first, then accuracy.

    Args:
        keys: Names of series.
        kind: The test set, ``"iid"`` or ``"ood"``.
    """
    known = list(keys)
    found: dict[str, str] = {}
    for moment in schema.MOMENTS:
        for key in known:
            if key.startswith(f"{kind}_") and key.endswith(f"_{moment}"):
                name = key.removeprefix(f"{kind}_").removesuffix(f"_{moment}")
                if name and name != "class_accuracy":
                    found[name] = key
    first = [name for name in ("loss", "accuracy") if name in found]
    return {name: found[name] for name in [*first, *(n for n in found if n not in first)]}


def chief(keys: Iterable[str]) -> str:
    """The value by which devices are compared: ``accuracy``, or ``loss`` where none is recorded."""
    known = set(keys)
    accuracies = (f"{kind}_accuracy_{moment}" for kind in schema.KINDS for moment in schema.MOMENTS)
    return "accuracy" if known.intersection(accuracies) else "loss"
