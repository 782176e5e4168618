"""Shipped files, which come with the program beside its code: sites, studies, scripts, graphs.

python -m mpidl.config.shipped prints the folder that has them in ``launch/`` and ``topologies/``.
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def folder() -> Path:
    """The folder of ``launch/`` and ``topologies/``: the package, or the checkout around it."""
    return PACKAGE if (PACKAGE / "launch").is_dir() else PACKAGE.parent


def find(path: Path) -> Path:
    """The path if it exists in the current folder, else the shipped one, else unchanged."""
    own = folder() / path
    return own if not os.path.exists(path) and os.path.exists(own) else path


def beside(text: str, *folders: Path) -> str:
    """A path that a file names, in the first of some folders that has it.

    It is unchanged if no folder has it; :func:`find` then looks elsewhere.
    """
    places = [] if Path(text).is_absolute() else [folder / text for folder in folders]
    return next((str(place) for place in places if os.path.exists(place)), text)


def sought(path: Path, first: str = "") -> str:
    """A clause with the places where a missing path was looked for.

    Args:
        path: The path as the user wrote it; an absolute one has no other places.
        first: A place that was tried before, such as beside a run file.
    """
    if path.is_absolute():
        return ""
    places = [first] if first else []
    places.append(f"in the current folder ({Path.cwd()})")
    if Path.cwd() != folder():
        places.append(f"in what comes with mpidl ({folder()})")
    *most, last = places
    return f"; looked for {', '.join(most)}{' and ' if most else ''}{last}"


if __name__ == "__main__":
    print(folder())
