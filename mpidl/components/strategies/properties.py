"""Properties that a strategy declares, beside its weights."""

from typing import Literal

from mpidl.config.registry import Drawn, Properties


class Least(Properties):
    """Fewest members of a neighborhood for a robust strategy: ``times * liars + more``.

    Attributes:
        times: Factor of the setting ``liars``; 0 if the strategy has no such setting.
        more: Members needed in addition.
        otherwise: What the strategy does with fewer members, as the end of a sentence.
    """

    times: int
    more: int
    otherwise: str


class StrategyProperties(Drawn):
    """Properties of a strategy; its signature shows whether it looks or combines.

    Attributes:
        complete: Whether it replaces the graph by the complete graph; all mix to the same mean.
        equal: Whether every member has the same weight, on the graph of the run.
        chance: Whether its weights are drawn at random.
        needs: What its weights need beside the graph: ``"link weights"`` of the topology, or
            ``"samples"``, the number of each device's training samples.
        centrality: The centrality from which its weights follow; empty if none.
        least: The fewest members that it needs; None if any number will do.
    """

    complete: bool = False
    equal: bool = False
    chance: bool = False
    needs: tuple[Literal["link weights", "samples"], ...] = ()
    centrality: str = ""
    least: Least | None = None
