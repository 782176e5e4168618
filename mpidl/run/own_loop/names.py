"""Names that a caller gives to values of a round, and the series that they mean."""

import re
from collections.abc import Mapping

from mpidl.storage import schema

SCORE = re.compile("(iid|ood)_(loss|accuracy)(_trained|_mixed)?")
"""Names that are series of every results file; without a moment after mixing."""


def series(name: str) -> str:
    """The series that a name given to ``record()`` means."""
    plain = {"loss": "iid_loss_mixed", "accuracy": "iid_accuracy_mixed"}
    if match := SCORE.fullmatch(name):
        return name if match[3] else f"{name}_mixed"
    return plain.get(name, name)


def own(names: Mapping[str, str]) -> tuple[str, ...]:
    """The series, by given name, that no other results file has."""
    return tuple(one for one in names.values() if one not in schema.SERIES)


def listed(names: Mapping[str, str]) -> str:
    """The given names, for messages."""
    return ", ".join(sorted(names)) or "nothing"
