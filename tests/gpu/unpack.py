"""Put the tree and what the machine lacks into a folder of their own; needs nothing but Python.

python3 unpack.py FOLDER [WHEELS] makes FOLDER/tree, a copy of this checkout with the native kernel
from mpidl's wheel, and FOLDER/site. Wheels are archives: unpacked, all that lies in them has its
place, which pip's ``--target`` would leave out for ``lib``.
"""

import shutil
import sys
import zipfile
from importlib import metadata
from pathlib import Path, PurePosixPath

HERE = Path(__file__).resolve().parent
TREE = ("mpidl", "launch", "topologies", "tests", "pyproject.toml")


def main(folder: Path, wheels: Path | None) -> None:
    """Make both, and say what came from where."""
    lay_tree(folder / "tree", built=wheels is None)
    site = folder / "site"
    site.mkdir()
    found = sorted(wheels.glob("*.whl")) if wheels is not None else []
    always = wanted()
    for wheel in found:
        name, version = wheel.name.split("-")[:2]
        if name == "mpidl":
            print(f"native kernel of mpidl {version}")
            unpack(wheel, folder / "tree", lambda path: path.match("mpidl/ranks/_native*.so"))
        elif name in always or present(name) is None:
            print(f"{name} {version}, carried")
            unpack(wheel, site)
        else:
            print(f"{name} {present(name)}, of the machine")


def lay_tree(tree: Path, built: bool) -> None:
    """Copy what runs and tests need; with ``built`` the native kernel that lies there too."""
    others = [] if built else ["*.so"]
    for name in TREE:
        source = HERE.parents[1] / name
        if source.is_dir():
            skipped = shutil.ignore_patterns("__pycache__", "*.h5", *others)
            shutil.copytree(source, tree / name, ignore=skipped)
        else:
            shutil.copy(source, tree / name)


def wanted() -> set[str]:
    """The names in the first part of the list: what is carried even where it is there."""
    first = (HERE / "wheels.txt").read_text().partition("# Where missing")[0]
    lines = [line.partition("==")[0] for line in first.splitlines()]
    return {line.replace("-", "_") for line in lines if line and not line.startswith("#")}


def present(name: str) -> str | None:
    """The version of the machine's own; None where it has none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def unpack(wheel: Path, to: Path, only=lambda path: True) -> None:
    """Unpack a wheel: programs into ``bin``, data where it says, all else as it lies."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = PurePosixPath(entry.filename)
            if entry.is_dir() or not only(path):
                continue
            if path.parts[0].endswith(".data"):
                kind, rest = path.parts[1], path.parts[2:]
                path = PurePosixPath("bin" if kind == "scripts" else "", *rest)
            place = to / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(archive.read(entry))
            place.chmod((entry.external_attr >> 16) & 0o777 or 0o644)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None)
