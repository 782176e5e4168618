"""Make results/gpu.md: what was believed, and beside it what day.py saw.

    python3 tests/gpu/table.py [OUT] > results/gpu.md

OUT is the folder of a day; without one, or with an empty one, nothing has been seen yet.
"""

import json
import sys
import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

UNSEEN = "not yet seen"

TOP = """# On a GPU: what was believed, and what was seen

Made by `tests/gpu/table.py` from what `tests/gpu/day.py` finds on a machine with one GPU; the
steps, and what is believed of each, are in `tests/gpu/beliefs.toml`. "{unseen}" is what no such
machine has shown yet. Percentages say how sure a belief is.
"""

REHEARSED = """
**A rehearsal, without a GPU: what stands under "seen" says nothing about one.**
"""

Found = Mapping[str, Mapping[str, Any]]
"""By step and key what was found last."""


def read(path: Path) -> Found:
    """The findings in a file of day.py; none where there is no such file."""
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        told = json.loads(line)
        found.setdefault(told["step"], {})[told["key"]] = told["value"]
    return found


def made(steps: Mapping[str, Any], found: Found) -> str:
    """The page.

    Args:
        steps: What beliefs.toml says.
        found: What was found.
    """
    text = TOP.format(unseen=UNSEEN)
    if any("hardware" in values for values in found.values()):
        text += REHEARSED
    for name, step in steps.items():
        values = found.get(name, {})
        text += f"\n## {name}: {step['title']}\n\n{ended(values, step['limit'])}\n"
        text += "\n| what | believed | seen |\n| --- | --- | --- |\n"
        text += "".join(f"| {' | '.join(map(cell, row))} |\n" for row in rows(step, values))
    return text


def ended(values: Mapping[str, Any], limit: float) -> str:
    """How a step ended."""
    if "exit" not in values:
        return f"`{limit}` seconds at most; {UNSEEN}."
    how = {0: "ended well", 124: "was stopped at its limit"}
    code, left = values["exit"], values.get("left behind", 0)
    more = f"; {left} processes of it were left and were ended" if left else ""
    return (
        f"`{limit}` seconds at most; {how.get(code, f'ended with {code}')} after "
        f"{values['seconds']:.0f} s{more}."
    )


def rows(step: Mapping[str, Any], values: Mapping[str, Any]) -> Iterable[tuple[str, str, Any]]:
    """What, what was believed of it, and what was seen; at the end what nobody asked for."""
    told = {"exit", "seconds", "left behind"}
    for key, what, believed in step["believed"]:
        fitting = [known for known in values if known not in told and fnmatchcase(known, key)]
        told |= set(fitting)
        if not fitting:
            yield what, believed, UNSEEN
        for number, known in enumerate(fitting):
            own = what if key == known else f"{what}: {part(known, key)}"
            yield own, "the same" if number else believed, values[known]
    for key, value in values.items():
        if key not in told:
            yield f"`{key}`", "-", value


def part(known: str, key: str) -> str:
    """What a key has in the place of the ``*``."""
    before, _, after = key.partition("*")
    return known.removeprefix(before).removesuffix(after).replace("_", " ")


def cell(value: Any) -> str:
    """A value in a cell of a table."""
    return told(value).replace("|", "\\|").replace("\n", " ")


def told(value: Any) -> str:
    """A value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {told(own)}" for name, own in value.items())
    if isinstance(value, list):
        return ", ".join(map(told, value))
    return str(value)


def main() -> None:
    """Print the page."""
    steps = tomllib.loads((HERE / "beliefs.toml").read_text())
    found = read(Path(sys.argv[1]) / "day.jsonl") if len(sys.argv) > 1 else {}
    print(made(steps, found), end="")


if __name__ == "__main__":
    main()
