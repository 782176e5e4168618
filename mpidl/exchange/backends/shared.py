"""Shared memory: vectors that the ranks of a node mix in place."""

from typing import TYPE_CHECKING

from mpidl.exchange import traffic
from mpidl.exchange.backend import BACKENDS
from mpidl.exchange.survey import Facts, require, survey
from mpidl.exchange.wiring import Wiring
from mpidl.ranks.node import SHARED

if TYPE_CHECKING:
    from mpidl.exchange.memory import Exchange


def _obstacle(facts: Facts) -> str | None:
    if facts.needed <= facts.room:
        return None
    return (
        f"needs {facts.needed:,} MB of memory that ranks share, and {SHARED} of a node has "
        f"{facts.room:,} MB"
    )


@BACKENDS.add(carries="cpu", traffic=traffic.mean_or_links, obstacle=_obstacle, shares=True)
def shared(wiring: Wiring, /) -> "Exchange":
    """Memory that the ranks of a node share, mixed by columns; messages only between nodes."""
    from mpidl.exchange.slab import Shared

    require("shared", survey(wiring))
    return Shared(wiring)
