"""The pages: README and docs, their blocks of code, and how the commands among them are marked."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

MADE = {"_build", "generated", "outside", "jupyter_execute"}
"""Folders of docs that Sphinx makes."""

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "launch/README.md",
    *(
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if not MADE.intersection(page.relative_to(ROOT).parts)
    ),
]

BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<kind>[^\n]*)\n(?P<text>.*?)\n```", re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A block of code: its kind, its text, and the comment right above it, if any."""

    kind: str
    text: str
    mark: str

    @property
    def file(self) -> str:
        """The file that a block shows: its first line is a comment with its name."""
        named = re.match(r"# ([\w/]+\.(?:toml|edges|py))\n", self.text)
        return named[1] if named else ""


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in their order."""
    return [
        Block(found["kind"], found["text"], found["mark"] or "")
        for found in BLOCK.finditer(page.read_text())
    ]
