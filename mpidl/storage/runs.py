"""Results files of many runs, which are found, named, and read on demand."""

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
    """The runs of a study by name, each a dataset that is read on demand.

    ``study["name"]`` reads a run as :func:`mpidl.open` does; ``study.settings`` has the settings
    in which runs differ. A name is that of the file, with as many of its folders as make it unique.

    Args:
        paths: HDF5 files; only their attributes are read now.

    Attributes:
        paths: The results file of each run, by name.
        skipped: A sentence for each other file, with the reason why it is left out.
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
        """A data frame: a line for each run, a column for each setting in which runs differ."""
        import pandas as pd

        runs = [self._settings[path] for path in self.paths.values()]
        keys = dict.fromkeys(key for run in runs for key in run if key != "name")
        differ = [key for key in keys if len({str(run.get(key)) for run in runs}) > 1]
        columns = {key: [run.get(key) for run in runs] for key in differ}
        return pd.DataFrame(columns, index=pd.Index(list(self), name="run"))


def choose(
    settings: Mapping[Path, Mapping[str, Any]], rounds: Mapping[Path, int]
) -> tuple[dict[str, Path], list[str]]:
    """One file for each run, by a unique name.

    A run that was interrupted and started anew may have left several files. Of files in one folder
    with the same settings, name, graph and data, the one with the most rounds is taken. A file
    without digests of graph and data counts as having those of the others.

    Args:
        settings: Settings of each results file, with its :data:`mpidl.storage.schema.DIGESTS` if
            it has them.
        rounds: Number of complete rounds of each results file.

    Returns:
        The files by name, and a sentence for each file that is left out.
    """
    alike: dict[tuple[Path, str], list[list[Path]]] = {}
    for path, chosen in settings.items():
        plain = {key: value for key, value in chosen.items() if key not in schema.DIGESTS}
        groups = alike.setdefault((path.parent, str(plain)), [])
        same = (g for g in groups if all(_same_content(chosen, settings[other]) for other in g))
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


def _same_content(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two runs have the same digests of graph and data, as far as both have them."""
    return all(
        first.get(key, second.get(key)) == second.get(key, first.get(key)) for key in schema.DIGESTS
    )


def _named(paths: list[Path]) -> dict[str, Path]:
    """Each path by the shortest of its ends that is unique, without suffix."""
    depth = max((len(path.parts) for path in paths), default=0)
    for parts in range(1, depth + 1):
        names = {printable("/".join(path.with_suffix("").parts[-parts:])): path for path in paths}
        if len(names) == len(paths):
            return names
    return {str(path): path for path in paths}


def is_folder(place: Path) -> bool:
    """Whether a place is a folder rather than a file.

    Raises:
        Fault: If it does not exist, or cannot be accessed.
    """
    try:
        if place.stat() and place.is_dir():
            return True
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        reason = "it does not exist" if gone else str(error.strerror).lower()
        raise Fault(f"Cannot read results from {place}: {reason}.") from None
    return False


def files(*places: Path) -> list[Path]:
    """The HDF5 files in some folders and below them, in order, and files that are named.

    Each file is listed once, however many paths lead to it; links are followed, also to folders. A
    folder that cannot be read is listed itself, so that reading it gives a message.

    Raises:
        Fault: If one of the places does not exist.
    """
    paths: dict[Path, Path] = {}
    for place in places:
        for path in _below(place) if is_folder(place) else [place]:
            paths.setdefault(path.resolve(), path)
    return list(paths.values())


def _below(folder: Path) -> list[Path]:
    closed: list[Path] = []
    here: list[Path] = []
    seen: set[tuple[int, int]] = set()
    # Targets of links come last: one may be a folder above, or be reached without a link too.
    begins = [folder]
    for begin in begins:
        walk = os.walk(begin, onerror=lambda error: closed.append(Path(error.filename)))
        for root, folders, names in walk:
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
    """Open a study: all results files in a folder and below it.

    Only attributes are read now; each run is read on demand.

    Raises:
        Fault: If there is no such folder, or no results file in it.
    """
    study = Study(files(Path(folder)))
    if not study:
        raise Fault(f"{folder} holds no results file of mpidl.")
    return study
