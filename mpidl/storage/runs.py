"""Results files of many runs: found, told apart, and read when they are asked for."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpidl.config.faults import Fault, printable
from mpidl.storage import reader, schema

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


class Study(Mapping[str, "xr.Dataset"]):
    """The runs of a study: a dataset each, read when it is asked for.

    ``study["name"]`` reads a run as :func:`mpidl.open` does; ``study.settings`` says in what runs
    differ. Names are the files', with as much of their folders as tells them apart.

    Args:
        paths: HDF5 files; of each only the attributes are read now.

    Attributes:
        paths: The results file of each run, by name.
        skipped: Why each other file is none of the runs, a sentence each.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._settings: dict[Path, dict[str, Any]] = {}
        rounds: dict[Path, int] = {}
        skipped: list[str] = []
        for path in paths:
            try:
                self._settings[path], rounds[path] = reader.settings(path)
            except Fault as fault:
                skipped += fault.sentences
        self.paths, doubles = choose(self._settings, rounds)
        self.skipped = [*skipped, *doubles]

    def __getitem__(self, name: str) -> "xr.Dataset":
        return reader.open(self.paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def settings(self) -> "pd.DataFrame":
        """A line for each run and a column for each setting that is not the same in all of them."""
        import pandas as pd

        rows = [self._settings[path] for path in self.paths.values()]
        keys = dict.fromkeys(key for row in rows for key in row if key != "name")
        differ = [key for key in keys if len({str(row.get(key)) for row in rows}) > 1]
        columns = {key: [row.get(key) for row in rows] for key in differ}
        return pd.DataFrame(columns, index=pd.Index(list(self), name="run"))


def choose(
    settings: Mapping[Path, Mapping[str, Any]], rounds: Mapping[Path, int]
) -> tuple[dict[str, Path], list[str]]:
    """One file for each run, by a name that tells it from all others.

    A run that was interrupted and begun anew left a file aside: of files in the same folder with
    the same settings, the run's name among them, and the same graph and data, the one with the most
    rounds is taken. A file that does not tell graph and data is taken to have those of others.

    Args:
        settings: Of each results file, with its :data:`mpidl.storage.schema.DIGESTS` if it has
        them.
        rounds: That are whole in it.

    Returns:
        The files by name, and a sentence for each other one.
    """
    alike: dict[tuple[Path, str], list[list[Path]]] = {}
    for path, told in settings.items():
        plain = {key: value for key, value in told.items() if key not in schema.DIGESTS}
        groups = alike.setdefault((path.parent, str(plain)), [])
        same = (g for g in groups if all(_content(told, settings[other]) for other in g))
        group = next(same, None)
        if group is None:
            groups.append(group := [])
        group.append(path)
    runs = [group for groups in alike.values() for group in groups]
    best = [max(paths, key=lambda path: rounds[path]) for paths in runs]
    left = [path for path in settings if path not in best]
    sentences = [
        f"{path} is left out: another file beside it has more of its run." for path in left
    ]
    return _named(best), sentences


def _content(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs have the same graph and data, as far as both tell."""
    return all(
        one.get(key, other.get(key)) == other.get(key, one.get(key)) for key in schema.DIGESTS
    )


def _named(paths: list[Path]) -> dict[str, Path]:
    """Each path by the shortest of its ends that tells it from all others, without suffix."""
    depth = max((len(path.parts) for path in paths), default=0)
    for parts in range(1, depth + 1):
        found = {printable("/".join(path.with_suffix("").parts[-parts:])): path for path in paths}
        if len(found) == len(paths):
            return found
    return {str(path): path for path in paths}


def is_folder(place: Path) -> bool:
    """Whether a place is a folder, and no file.

    Raises:
        Fault: If there is nothing of that name, or nobody may look at it.
    """
    try:
        if place.stat() and place.is_dir():
            return True
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        what = "it does not exist" if gone else str(error.strerror).lower()
        raise Fault(f"Cannot read results from {place}: {what}.") from None
    return False


def files(*places: Path) -> list[Path]:
    """The HDF5 files in some folders and below them, in order, and files that are named.

    Each is there once, by whatever ways it can be reached: links are followed, those to a folder
    too. A folder that may not be read stands for what is in it, so that who reads it is told.

    Raises:
        Fault: If one of the places is not there.
    """
    found: dict[Path, Path] = {}
    for place in places:
        for path in _below(place) if is_folder(place) else [place]:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _below(folder: Path) -> list[Path]:
    closed: list[Path] = []
    here: list[Path] = []
    seen: set[tuple[int, int]] = set()
    # What links lead to comes last: it may be a folder above them, or have a place of its own.
    begins = [folder]
    for begin in begins:
        found = os.walk(begin, onerror=lambda error: closed.append(Path(error.filename)))
        for root, folders, names in found:
            with suppress(OSError):
                state = os.stat(root)
                if (state.st_dev, state.st_ino) in seen:
                    folders.clear()
                    continue
                seen.add((state.st_dev, state.st_ino))
            here += [Path(root, name) for name in names if name.endswith(".h5")]
            links = (Path(root, name) for name in sorted(folders))
            begins += [link for link in links if link.is_symlink()]
    return sorted([*here, *closed])


def open_study(folder: Path | str) -> Study:
    """Find the runs of a study: all results files in a folder and below it.

    Only attributes are read; each run is read when it is asked for.

    Raises:
        Fault: If there is no such folder, or no results file in it.
    """
    found = Study(files(Path(folder)))
    if not found:
        raise Fault(f"{folder} holds no results file of mpidl.")
    return found
