"""Pages made of the Markdown files that lie beside docs/: measurements, graphs, changes.

On a forge, links lead to the files themselves; in the built docs they lead to pages.
"""

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FOLDER = DOCS / "outside"

FILES = [
    *sorted((ROOT / "results").glob("*.md")),
    ROOT / "topologies/README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
]

LINK = re.compile(r"\]\((?!https?:|#|/)([^)\s#]+)")


def led(text: str, folder: Path) -> str:
    """A text whose links lead to pages; its links start from the given folder."""
    return LINK.sub(lambda link: f"]({_target(folder, link[1])}", text)


def _target(folder: Path, link: str) -> str:
    file = (folder / link).resolve()
    if file in FILES:
        return f"/outside/{file.relative_to(ROOT)}"
    if folder.is_relative_to(DOCS):
        return link
    here = FOLDER / folder.relative_to(ROOT)
    return os.path.relpath(file, here)


def write() -> None:
    """Write a page for each of the files."""
    for file in FILES:
        page, text = FOLDER / file.relative_to(ROOT), led(file.read_text(), file.parent)
        page.parent.mkdir(parents=True, exist_ok=True)
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def read(app: Any, name: str, source: list[str]) -> None:
    """Let the links of a page lead to pages; Sphinx calls it for each page that it reads."""
    if not name.startswith(("outside/", "api/")):
        source[0] = led(source[0], (DOCS / name).parent)
