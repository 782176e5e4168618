"""What settings are called where runs are told apart by them."""

from collections.abc import Mapping
from typing import Any

from mpidl.tables import NAMERS

RULES = ("strategy", "schedule", "algorithm")
"""Sections that say how devices weigh and mix; what differs in them tells strategies apart."""

NAMED = ("algorithm", "strategy")
"""Those of them that a label begins with, in its order, as far as they differ."""

JOINT = " \N{MIDDLE DOT} "
"""Between the names that a label begins with."""

GRAPH = "graph"
"""The factor that stands for the file of a graph: its kind, not which one of its kind it is."""

WORDS = {"attack.devices": "attackers"}
"""What a setting is called whose own name could be that of another one."""


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
    return f"{value}" if names or setting == "seed" else f"{called(key)} {value}"
