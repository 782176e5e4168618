"""Labels of settings where runs are told apart by them."""

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
"""Sections that say how devices weigh and mix; what differs in them tells strategies apart."""

USUAL = str(runfile.SECTIONS["algorithm"].model_fields["name"].default)
"""The algorithm of files from before there was a choice, which name none."""

NAMED = ("algorithm", "strategy")
"""Those of them that a label begins with, in its order, as far as they differ."""

JOINT = " \N{MIDDLE DOT} "
"""Between the names that a label begins with."""

GRAPH = "graph"
"""The factor that stands for the file of a graph: what it holds, whatever it is called."""

DATA = "data.content"
"""The factor that stands for the files of a data set: what they hold, wherever they lie."""

WORDS = {"attack.devices": "attackers", DATA: "data"}
"""What a setting is called whose own name could be that of another one."""

ROUND = 1000
"""From which on a number is told without a fraction that is 0."""

FEW = 3
"""Settings that a title names; of more it says that they are settings."""


@dataclass(frozen=True)
class Compared:
    """What runs are compared by, in words.

    Attributes:
        one: What a label stands for, in a sentence.
        many: Several of them.
        head: The same over a column or a legend.
        by: In what runs differ, for a title; empty where they do not.
        kind: Of the test set whose accuracy is compared, ``"OOD"`` or ``"IID"``.
    """

    one: str = "strategy"
    many: str = "strategies"
    head: str = "Strategy"
    by: str = ""
    kind: str = "OOD"

    def titled(self, what: str) -> str:
        """A title that says by what something is told apart."""
        return f"{what} by {self.by}" if self.by else what


def compared(factors: Sequence[str], kind: str = "OOD") -> Compared:
    """What to call that in which runs differ.

    Args:
        factors: Settings that differ between runs, without seeds.
        kind: Of the test set whose accuracy is compared.
    """
    named = [section for section in NAMED if f"{section}.name" in factors]
    chosen = [key for key in factors if rules(key)] or factors
    words = [*dict.fromkeys([*named, *(_word(key, factors) for key in chosen)])]
    by = " and ".join(words[-2:]) if len(words) <= FEW else "settings"
    by = ", ".join([*words[:-2], by]) if len(words) == FEW else by
    if len(named) == len(NAMED):
        return Compared("combination", "combinations", "Algorithm and strategy", by, kind)
    if named == ["algorithm"]:
        return Compared("algorithm", "algorithms", "Algorithm", by, kind)
    return Compared(by=by, kind=kind)


def _word(key: str, factors: Sequence[str]) -> str:
    """What a setting is called, or its section where runs differ in what that names."""
    section = key.partition(".")[0]
    return section if any(f"{section}.{one}" in factors for one in NAMERS) else called(key)


def builder(key: str, row: Mapping[str, Any]) -> str:
    """What a run names in the section of a setting; empty where nothing is named there."""
    section = key.partition(".")[0]
    return next((str(row[one]) for name in NAMERS if (one := f"{section}.{name}") in row), "")


def rules(key: str) -> bool:
    """Whether a setting says how devices weigh and mix."""
    return key.partition(".")[0] in RULES


def called(key: str) -> str:
    """The name of a setting in words."""
    return WORDS.get(key, (key.partition(".")[2] or key).replace("_", " "))


def told(key: str, value: Any) -> str:
    """A setting as a label shows it: names, graphs and sources speak for themselves."""
    section, _, setting = key.partition(".")
    if value == [] or (setting in NAMERS and value == "none" and section not in RULES):
        return f"no {section if setting in NAMERS else called(key)}"
    if key == "attack.name":
        return f"{value} attack"
    names = isinstance(value, str) and (setting in (*NAMERS, "sources") or key == GRAPH)
    if isinstance(value, float) and value.is_integer() and ROUND <= value < 1e15:
        value = int(value)
    return f"{value}" if names or setting == "seed" else f"{called(key)} {value}"


def base(strategy: str) -> str:
    """The first name in a label: ``"degree"`` of ``"degree, temperature 0.05"``."""
    return strategy.partition(",")[0].partition(JOINT)[0].strip()


def drawn(name: str) -> Drawn:
    """What an algorithm or a strategy declares of its look in figures."""
    return (ALGORITHMS if name in ALGORITHMS else STRATEGIES).properties(name)


def ordered(strategies: Iterable[str]) -> list[str]:
    """Labels in the order in which figures and tables show them, each once."""

    def key(label: str) -> tuple[list[tuple[int, str]], list[float], str]:
        called = label.partition(",")[0].split(JOINT)
        return [(drawn(one).order, one) for one in called], _numbers(label), label

    return sorted(set(strategies), key=key)


def _numbers(label: str) -> list[float]:
    found = []
    for word in label.replace(",", " ").split():
        try:
            found.append(float(word))
        except ValueError:
            continue
    return found


def device(run: "xr.Dataset", number: int) -> str:
    """A device by its number, with its name where the graph's file gives it one."""
    return f"{number} ({run['name'].item(number)})" if "name" in run.coords else f"{number}"
