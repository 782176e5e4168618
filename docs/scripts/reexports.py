"""References to a name where a package offers it, led to where the name is defined."""

import importlib
from typing import Any


def defined(target: str) -> str | None:
    """Where what a dotted name means is defined; None where there is nothing of that name."""
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        owner = defined(module) if "." in module else None
        return f"{owner}.{name}" if owner and owner != module else None
    place = getattr(found, "__module__", None)
    return f"{place}.{found.__qualname__}" if place and hasattr(found, "__qualname__") else None


def resolve(app: Any, environment: Any, node: Any, content: Any) -> Any:
    """What Sphinx calls for a reference that it cannot find."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("mpidl."):
        return None
    real = defined(target)
    if real is None or real == target:
        return None
    python = environment.get_domain("py")
    return python.resolve_xref(
        environment, node["refdoc"], app.builder, node["reftype"], real, node, content
    )
