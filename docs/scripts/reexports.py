"""References to names that a package re-exports: they lead to the definition."""

import importlib
from typing import Any

from sphinx import addnodes
from sphinx.transforms.post_transforms import SphinxPostTransform


class Foreign(SphinxPostTransform):
    """Shows names of other packages as text if no lists of their names are available.

    Sphinx would look for each of them among all names of ours, which takes a third of its time.
    """

    default_priority = 5

    def run(self, **_: Any) -> None:
        """Replace the references of a page."""
        if self.config.intersphinx_mapping:
            return
        for node in list(self.document.findall(addnodes.pending_xref)):
            if node.get("refdomain") == "py" and not node["reftarget"].startswith("mpidl."):
                node.replace_self(node[0].deepcopy())


def defined(target: str) -> str | None:
    """The dotted name of a definition, from a name that leads to it; None if there is none."""
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        owner = defined(module) if "." in module else None
        return f"{owner}.{name}" if owner and owner != module else None
    place = getattr(found, "__module__", None)
    return f"{place}.{found.__qualname__}" if place and hasattr(found, "__qualname__") else None


def resolve(app: Any, environment: Any, node: Any, content: Any) -> Any:
    """Resolve a reference by its definition; Sphinx calls it for those that it cannot find."""
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
