"""The page of all settings, made from the settings themselves and what ``--list`` says of them.

python docs/scripts/run_file.py writes docs/run_file.md anew; a test compares.
"""

import inspect
import json
from pathlib import Path
from typing import Any

from mpidl.config.registry import Registry
from mpidl.config.runfile import SECTIONS
from mpidl.plan import KINDS
from mpidl.run import listing

PAGE = Path(__file__).parents[1] / "run_file.md"

HEAD = """# The run file

A run file is TOML. It holds everything that decides a result. What you leave out has its default;
a name or a value that is wrong is refused in a sentence, before any work. This page is made by
`docs/scripts/run_file.py`; the command says the same:

```sh
python -m mpidl.run --list
python -m mpidl.run --list strategy
```

A run file begins with its name, then come the sections. `name = "ring"` writes `results/ring.h5`;
unset, it is the name of the file. `use = ["my_ideas.py"]` beside it loads
[code of your own](own.md), and any `name` of a section may be `"file.py:function"` or
`"module:function"`.

"""


def text() -> str:
    """The whole page, as Markdown."""
    return HEAD + "\n".join(_section(name) for name in SECTIONS)


def _section(name: str) -> str:
    told = (inspect.getdoc(SECTIONS[name]) or "").split("\n")[0]
    rows = [
        (f"`{key}`", _value(one["default"]), _plain(one["type"]), _plain(one["meaning"]))
        for key, one in listing.settings(name).items()
    ]
    lines = [f"## {name}", "", f"`[{name}]` {told}", ""]
    lines += _table(("setting", "default", "what it may be", "meaning"), rows)
    if name in KINDS:
        lines += ["", "The names, and the settings that each adds to the section:", ""]
        lines += _names(KINDS[name])
    return "\n".join([*lines, ""])


def _names(registry: Registry) -> list[str]:
    rows = []
    for name, (told, parameters) in registry.describe().items():
        fields = registry.settings(name).model_fields
        settings = [
            f"`{key}` ({_value(default)}): {_low(listing.allowed(fields[key]))}"
            for key, default in parameters.items()
        ]
        rows.append((f"`{name}`", _plain(told), "<br>".join(settings)))
    return _table(("name", "what it is", "settings (default): what they may be"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _value(value: Any) -> str:
    return "unset" if value is None else f"`{json.dumps(value, default=str)}`"


def _low(words: str) -> str:
    return _plain(words[:1].lower() + words[1:])


def _plain(words: str) -> str:
    return words.replace("``", "`").replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
