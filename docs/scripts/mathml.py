"""Equations as MathML, which browsers show by themselves: a page needs no network for them."""

from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml


def inline(visitor: Any, node: nodes.math) -> None:
    """Write an equation within a line."""
    visitor.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def block(visitor: Any, node: nodes.math_block) -> None:
    """Write an equation of its own."""
    visitor.body.append(f'<div class="equation">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode
