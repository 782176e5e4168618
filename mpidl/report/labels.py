"""Labels for the settings in which runs differ."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mpidl.components.algorithms import ALGORITHMS
from mpidl.components.strategies import STRATEGIES
from mpidl.config import runfile
from mpidl.config.registry import Drawn
from mpidl.config.toml import NAMERS

if TYPE_CHECKING:
    import xarray as xr

RULES = ("strategy", "schedule", "algorithm")
"""Sections that decide how devices weigh and mix; strategies differ in them."""

USUAL = str(runfile.SECTIONS["algorithm"].model_fields["name"].default)
"""The algorithm of files from before there was a choice, which name none."""

NAMED = ("algorithm", "strategy")
"""Sections whose names begin a label, in this order, if they differ."""

JOINT = " \N{MIDDLE DOT} "
"""Text between the names that begin a label."""

GRAPH = "graph"
"""The factor for the content of a graph's file, whatever its name."""

DATA = "data.content"
"""The factor for the content of a data set's files, wherever they are."""

WORDS = {"attack.devices": "attackers", DATA: "data"}
"""Names for settings whose own name could be mistaken for another's."""

ROUND = 1000
"""Least number that is shown without a fraction of 0."""

FEW = 3
"""Most settings that a title names; for more it says "settings"."""


@dataclass(frozen=True)
class Compared:
    """Words for what runs are compared by.

    Attributes:
        one: Singular noun for what a label stands for.
        many: Its plural.
        head: The same noun over a column or a legend.
        by: The settings in which runs differ, for a title; empty if they do not.
        kind: The test set whose accuracy is compared, ``"OOD"`` or ``"IID"``.
        value: What is compared, ``"accuracy"`` or ``"loss"``.
    """

    one: str = "strategy"
    many: str = "strategies"
    head: str = "Strategy"
    by: str = ""
    kind: str = "OOD"
    value: str = "accuracy"

    @property
    def span(self) -> str:
        """A clause with the range of what is compared, if it has one."""
        return ", 0 to 1" if self.value == "accuracy" else ""

    def titled(self, title: str) -> str:
        """A title that names what is compared."""
        return f"{title} by {self.by}" if self.by else title


def compared(factors: Sequence[str], kind: str = "OOD", value: str = "accuracy") -> Compared:
    """The words for the settings in which runs differ.

    Args:
        factors: Settings that differ between runs, without seeds.
        kind: The test set whose accuracy is compared.
        value: What is compared, ``"accuracy"`` or ``"loss"``.
    """
    named = [section for section in NAMED if f"{section}.name" in factors]
    chosen = [key for key in factors if rules(key)] or factors
    words = [*dict.fromkeys([*named, *(_word(key, factors) for key in chosen)])]
    by = " and ".join(words[-2:]) if len(words) <= FEW else "settings"
    by = ", ".join([*words[:-2], by]) if len(words) == FEW else by
    if len(named) == len(NAMED):
        return Compared("combination", "combinations", "Algorithm and strategy", by, kind, value)
    if named == ["algorithm"]:
        return Compared("algorithm", "algorithms", "Algorithm", by, kind, value)
    return Compared(by=by, kind=kind, value=value)


def _word(key: str, factors: Sequence[str]) -> str:
    """The name of a setting, or of its section if runs differ in the section's builder."""
    section = key.partition(".")[0]
    return section if any(f"{section}.{one}" in factors for one in NAMERS) else name(key)


def builder(key: str, row: Mapping[str, Any]) -> str:
    """The builder that a run names in the section of a setting; empty if it names none."""
    section = key.partition(".")[0]
    return next((str(row[one]) for name in NAMERS if (one := f"{section}.{name}") in row), "")


def rules(key: str) -> bool:
    """Whether a setting decides how devices weigh and mix."""
    return key.partition(".")[0] in RULES


def name(key: str) -> str:
    """The name of a setting in words."""
    return WORDS.get(key, (key.partition(".")[2] or key).replace("_", " "))


def text(key: str, value: Any) -> str:
    """A setting with its value, as a label shows it; names, graphs and sources stand alone."""
    section, _, setting = key.partition(".")
    if value == [] or (setting in NAMERS and value == "none" and section not in RULES):
        return f"no {section if setting in NAMERS else name(key)}"
    if key == "attack.name":
        return f"{value} attack"
    alone = isinstance(value, str) and (setting in (*NAMERS, "sources") or key == GRAPH)
    if isinstance(value, float) and value.is_integer() and ROUND <= value < 1e15:
        value = int(value)
    return f"{value}" if alone or setting == "seed" else f"{name(key)} {value}"


def base(strategy: str) -> str:
    """The first name in a label: ``"degree"`` of ``"degree, temperature 0.05"``."""
    return strategy.partition(",")[0].partition(JOINT)[0].strip()


def drawn(name: str) -> Drawn:
    """The look in figures that an algorithm or a strategy declares."""
    return (ALGORITHMS if name in ALGORITHMS else STRATEGIES).properties(name)


def ordered(strategies: Iterable[str]) -> list[str]:
    """Labels in the order in which figures and tables show them, each once."""

    def key(label: str) -> tuple[list[tuple[int, str]], list[float], str]:
        names = label.partition(",")[0].split(JOINT)
        return [(drawn(one).order, one) for one in names], _numbers(label), label

    return sorted(set(strategies), key=key)


def _numbers(label: str) -> list[float]:
    numbers = []
    for word in label.replace(",", " ").split():
        try:
            numbers.append(float(word))
        except ValueError:
            continue
    return numbers


def device(run: "xr.Dataset", number: int) -> str:
    """A device by its number, with its name if the graph's file has one."""
    return f"{number} ({run['name'].item(number)})" if "name" in run.coords else f"{number}"
