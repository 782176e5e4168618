"""LEAF's files: samples by user in JSON, in train/ and test/."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpidl.components.datasets.arrays import assemble
from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.dataset import Dataset
from mpidl.components.datasets.labels import Part
from mpidl.components.datasets.places import SampleShape, folder_of
from mpidl.config.faults import Fault, shown

Array = npt.NDArray[Any]


def _look(folder: Path | None, section: Any) -> None:
    for which in ("train", "test"):
        _files(folder_of(section.name, folder) / which)


@DATASETS.add(look=_look)
def leaf(folder: Path | None, seed: int, /, shape: SampleShape = None) -> Dataset:
    """JSON files of LEAF, samples by user, for placement.name = 'given'.

    S. Caldas et al., LEAF: A Benchmark for Federated Settings, arXiv 1812.01097. Inputs are lists
    of numbers, as those of FEMNIST and of the synthetic data; labels are whole numbers from 0 on.
    Users are numbered in the order of the files.

    Args:
        folder: The folder of ``train/`` and ``test/``, each with JSON files.
        seed: Not used.
        shape: The shape of one sample, such as [1, 28, 28] for FEMNIST; unset, as in the files.

    Raises:
        Fault: If files are missing or damaged, or inputs are not numbers.
    """
    place = folder_of(leaf.__name__, folder)
    return assemble(leaf.__name__, _part(place / "train"), _part(place / "test"), shape=shape)


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        raise Fault(f"{folder}: must have the JSON files that LEAF writes, and has none.")
    return files


def _part(folder: Path) -> Part:
    inputs, labels, owners, numbers = [], [], [], dict[str, int]()
    for path in _files(folder):
        for user, x, y in _users(path):
            inputs.append(x)
            labels.append(y)
            owners.append(np.full(len(y), numbers.setdefault(user, len(numbers))))
    shapes = {array.shape[1:] for array in inputs}
    if len(shapes) > 1:
        one, other = sorted(shapes)[:2]
        raise Fault(f"{folder}: has samples of the shapes {one} and {other}; must be alike.")
    if not inputs:
        raise Fault(f"{folder}: has no samples.")
    x, y, users = (np.concatenate(arrays) for arrays in (inputs, labels, owners))
    return Part(x, y, users, f"x in {folder}", f"y in {folder}")


def _users(path: Path) -> Iterator[tuple[str, Array, Array]]:
    """Users with their samples, ``(n, *shape)`` float32, and labels, ``(n,)``; none without."""
    try:
        told = json.loads(path.read_bytes())
        pairs = [(user, told["user_data"][user]) for user in told["users"]]
        samples = [(str(user), data["x"], data["y"]) for user, data in pairs]
    except OSError as error:
        raise Fault(f"Cannot read {path}: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, RecursionError, UnicodeDecodeError) as error:
        why = str(error) if isinstance(error, ValueError) else "no users with x and y in user_data"
        raise Fault(f"{path} cannot be read as a file of LEAF: {why.rstrip('.')}.") from None
    for user, x, y in samples:
        words = f"user {shown(user)} of {path}"
        if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
            raise Fault(f"{words}: must have as many labels y as samples x, in lists.")
        if x:
            yield user, _numbers(x, words), _labels(y, words)


def _numbers(x: list[Any], words: str) -> Array:
    try:
        return np.array(x, dtype=np.float32)
    except (ValueError, TypeError, OverflowError):
        raise Fault(
            f"{words}: has an x like {shown(x[0])}; must be numbers, as many in each; texts and "
            "names of files are not read."
        ) from None


def _labels(y: list[Any], words: str) -> Array:
    if not all(isinstance(label, int | str) for label in y):
        raise Fault(f"{words}: has labels like {shown(y[0])}; must be whole numbers or texts.")
    return np.array(y)
