"""Fingerprint of data by content, whatever the names of files: a hash, and whether it is known."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.dataset import Dataset

Verdict = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class Content:
    """Content of a data set, before any subset is taken.

    Attributes:
        digest: SHA-256 of its arrays.
        published: Whether it is the published data set of its name; ``"unknown"`` if there is no
            published one, or if its arrays are not known here.
        other: The name of another data set, if the content is that one's.
    """

    digest: str
    published: Verdict = "unknown"
    other: str = ""


def content(dataset: Dataset, name: str, folder: Path | None) -> Content:
    """The content of a data set, and whether it is the published one.

    If the published arrays are not known here, the files themselves are compared.

    Args:
        dataset: The data set, before any subset is taken.
        name: Its name in the run file.
        folder: The folder of its files, if it has files.
    """
    digest = digest_of(dataset)
    known_name = next(
        (candidate for candidate in DATASETS if digest in DATASETS.properties(candidate).published),
        "",
    )
    if known_name == name:
        return Content(digest, "yes")
    if known_name or DATASETS.properties(name).published:
        return Content(digest, "no", known_name)
    return Content(digest, _by_files(name, folder))


def digest_of(dataset: Dataset) -> str:
    """SHA-256 of inputs and labels, for training, then for testing, with shapes, and of owners.

    70,000 images of MNIST take a fifth of the time that reading them takes.
    """
    digest = hashlib.sha256()
    parts = ["train_inputs", "train_labels", "test_inputs", "test_labels"]
    for part in parts if dataset.owners is None else [*parts, "owners"]:
        array = getattr(dataset, part)
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{part} {plain.dtype.str} {plain.shape}".encode())
        digest.update(plain.data)
    return digest.hexdigest()


def _by_files(name: str, folder: Path | None) -> Verdict:
    if folder is None:
        return "unknown"
    sources = DATASETS.properties(name).sources
    pairs = ((source, content) for source in sources for content in source.contents)
    places = ((source, content, source.find(content, folder)) for source, content in pairs)
    verdicts = [
        source.verdict(content, path) for source, content, path in places if path is not None
    ]
    if False in verdicts:
        return "no"
    return "unknown" if None in verdicts or not verdicts else "yes"
