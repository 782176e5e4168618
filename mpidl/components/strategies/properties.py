"""Properties of strategies: what the program has to know of one beside its weights."""

from typing import Literal

from mpidl.config.registry import Drawn, Properties


class Least(Properties):
    """The members that a rule against liars needs: ``times`` as many as these, and ``more``.

    Attributes:
        times: By how much the setting ``liars`` counts; 0 where there is none.
        more: How many are needed beside.
        otherwise: What the rule does among fewer, as the end of a sentence.
    """

    times: int
    more: int
    otherwise: str


class StrategyProperties(Drawn):
    """What a strategy declares; whether it looks or combines its signature says.

    Attributes:
        complete: Whether it replaces the graph by the complete one; its mixture is one mean of all.
        equal: Whether every member has the same weight, on the graph as it is.
        chance: Whether its weights are drawn at random.
        needs: What it weighs beside the graph: ``"link weights"``, those with which a topology
            comes, or ``"samples"``, how many each device has.
        centrality: The centrality by which it weighs; empty where it does not.
        least: Below which neighborhoods are too small for it.
    """

    complete: bool = False
    equal: bool = False
    chance: bool = False
    needs: tuple[Literal["link weights", "samples"], ...] = ()
    centrality: str = ""
    least: Least | None = None
