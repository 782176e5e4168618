"""Shelf of summaries of results files, which are read again if they have changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpidl.config.faults import Fault
from mpidl.report import summary
from mpidl.report.collection import Collection
from mpidl.report.summary import Summary
from mpidl.storage import runs, schema


@dataclass
class Shelf:
    """Keeps summaries, so that only files that changed are read again.

    Attributes:
        threshold: Mean OOD accuracy until which rounds are counted.
    """

    threshold: float = summary.THRESHOLD
    _kept: dict[Path, tuple[tuple[int, int], Summary]] = field(default_factory=dict, init=False)

    def read(
        self,
        paths: Sequence[Path],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Collection:
        """Read results files; files that cannot be read are skipped, with a sentence each.

        Args:
            paths: HDF5 files.
            progress: Called with the number of files that are read, and of all files.

        Raises:
            Fault: If no results file is among them.
        """
        by_path: dict[Path, Summary] = {}
        skipped: list[str] = []
        for count, path in enumerate(paths, 1):
            try:
                by_path[path] = self._summary(path)
            except Fault as fault:
                skipped += fault.sentences
            progress(count, len(paths))
        if not by_path:
            raise Fault(*skipped or ["There is no results file of mpidl."])
        # Accuracies and losses cannot stand in one table.
        if any(one.value == "accuracy" for one in by_path.values()):
            skipped += [
                f"{path} is left out: it is measured by its loss, and other runs here by accuracy; "
                "give it by itself."
                for path, one in by_path.items()
                if one.value != "accuracy"
            ]
            by_path = {path: one for path, one in by_path.items() if one.value == "accuracy"}
        settings = {
            path: {**one.settings, **{k: one.made[k] for k in schema.DIGESTS if k in one.made}}
            for path, one in by_path.items()
        }
        names, doubles = runs.choose(settings, {path: one.done for path, one in by_path.items()})
        summaries = {name: by_path[path] for name, path in names.items()}
        return Collection(summaries, [*skipped, *doubles], self.threshold)

    def _summary(self, path: Path) -> Summary:
        try:
            state = path.stat()
        except OSError as error:
            raise Fault(f"Cannot read results from {path}: {error.strerror}.") from None
        mark = state.st_mtime_ns, state.st_size
        kept = self._kept.get(path)
        if kept is None or kept[0] != mark:
            kept = self._kept[path] = mark, summary.read(path, self.threshold)
        return kept[1]


def read(paths: Sequence[Path], threshold: float = summary.THRESHOLD) -> Collection:
    """Read results files once; see :meth:`Shelf.read`."""
    return Shelf(threshold).read(paths)
