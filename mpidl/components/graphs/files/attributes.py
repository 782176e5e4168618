"""Attributes of an edge in an edge list of networkx: a dictionary, as Python writes it."""

import ast
import re
from pathlib import Path
from typing import Any

from mpidl.config.faults import Fault, shown

LONGEST = 4000
"""Characters up to which a dictionary is read, so that nothing in it can be nested too deeply."""

SCALAR = r"\b(?:np|numpy)\.\w+\(([^()]*)\)"
"""How numpy's numbers are written since its version 2."""


def read(path: Path, text: str, where: str) -> dict[str, Any]:
    """The attributes of an edge; nothing in them is run.

    Raises:
        Fault: If that is no dictionary of literals.
    """
    if text == "{}":
        return {}
    begin = f"Graph file {path}: {where} has attributes "
    if len(text) > LONGEST:
        raise Fault(f"{begin}of {len(text):,} characters; at most {LONGEST:,} are read.")
    try:
        found = ast.literal_eval(re.sub(SCALAR, r"\1", text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Fault(
            f"{begin}{shown(text)} that are no dictionary as networkx writes it, such as "
            "{'probability': 0.5}."
        )
    return found
