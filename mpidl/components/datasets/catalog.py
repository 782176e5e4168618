"""Catalog of data sets: their registry, and what a data set declares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpidl.components.datasets import accepted, dataset
from mpidl.components.datasets.dataset import Dataset
from mpidl.components.datasets.sources import Source
from mpidl.config.faults import Fault
from mpidl.config.registry import Properties, Registry


class DataProperties(Properties):
    """Properties that a data set declares.

    Attributes:
        samples: Numbers of training and test samples, or a function that gives them for a section
            ``[data]``; None if they are only known after loading.
        sources: The files that it is read from, if any.
        check: Reads one of these files, given its path and its name in the source, and raises a
            Fault if it cannot be read.
        pickles: Files and folders of other programs with a version that is not read.
        published: SHA-256 of its arrays as published, as far as they are known here.
        tokens: Whether models answer with tokens rather than classes.
        look: Looks for the user's files, without reading all of them, given the folder and
            ``[data]``, and raises a Fault if they are missing; None for other data sets.
    """

    samples: Callable[[Any], tuple[int, int]] | tuple[int, int] | None = None
    sources: tuple[Source, ...] = ()
    check: Callable[[Path, str], object] | None = None
    pickles: tuple[str, ...] = ()
    published: frozenset[str] = frozenset()
    tokens: bool = False
    look: Callable[[Path | None, Any], object] | None = None


class Datasets(Registry[DataProperties]):
    """Builders ``(folder: Path | None, seed: int, /, **parameters) -> Dataset``.

    ``folder`` has the files of data sets that are read from files. All data sets here have fixed
    splits, so they ignore ``seed``.

    A builder of one's own may give what :func:`mpidl.components.datasets.accepted.accept` takes in
    place of a :class:`Dataset`.
    """

    def build(self, section: Any, *arguments: Any) -> Dataset:
        """Build the data set that ``section.name`` names, and check that models can learn it.

        Raises:
            Fault: If the result is not a data set as :class:`Dataset` describes it.
        """
        return self.checked(section.name, super().build(section, *arguments))

    def checked(self, name: str, built: object) -> Dataset:
        """The data set that a builder made, or that a program gives, if models can learn it.

        Args:
            name: Its name in the run file.
            built: A data set in any form that builders of one's own may give.

        Raises:
            Fault: If it is not a data set as :class:`Dataset` describes it.
        """
        found: Dataset = accepted.accept(name, built)
        if faults := [f"data.name = {name!r}: {fault}" for fault in dataset.faults(found)]:
            raise Fault(*faults)
        return found

    def samples(self, section: Any) -> tuple[int, int] | None:
        """Numbers of training and test samples that a run uses; None if only loading tells.

        Args:
            section: ``[data]`` of its run file.
        """
        declared = self.properties(section.name).samples
        counts = declared(section) if callable(declared) else declared
        if counts is None:
            return None
        return section.train_samples or counts[0], section.test_samples or counts[1]

    def stored(self) -> list[str]:
        """The names of the data sets that are read from files of their own."""
        return [name for name in self if self.properties(name).sources]


DATASETS = Datasets("data set", DataProperties, gives=2)
