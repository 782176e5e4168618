"""Pages of the API reference, one for each room of the package, with all its modules."""

import importlib
import pkgutil
from pathlib import Path

import mpidl

COMMANDS = ("__main__",)
"""Files that are started, not imported."""


def modules(room: str) -> list[str]:
    """All modules of a room, the room itself first."""
    folders = importlib.import_module(f"mpidl.{room}").__path__
    inside = pkgutil.walk_packages(folders, f"mpidl.{room}.")
    names = sorted(one.name for one in inside if not one.name.endswith(COMMANDS))
    return [f"mpidl.{room}", *(name for name in names if "._native" not in name)]


def rooms() -> list[str]:
    """The folders of the package that are imported."""
    return sorted(one.name for one in pkgutil.iter_modules(mpidl.__path__) if one.ispkg)


def page(room: str) -> str:
    """The page of a room, as MyST Markdown."""
    lines = [f"# mpidl.{room}", ""]
    for name in modules(room):
        title = [f"## {name.removeprefix('mpidl.')}", ""] if name != f"mpidl.{room}" else []
        lines += [*title, "```{eval-rst}", f".. automodule:: {name}", "```", ""]
    return "\n".join(lines)


def write(folder: Path) -> None:
    """Write all pages, and delete those of rooms that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {f"{room}.md": page(room) for room in rooms()}
    for old in {*folder.glob("*.md")} - {folder / name for name in pages}:
        old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
