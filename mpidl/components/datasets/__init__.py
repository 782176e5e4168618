"""Data sets by name: arrays with a fixed train/test split, one file each."""

from mpidl.components.datasets import cifar, digits, mnist, tinymem
from mpidl.components.datasets.catalog import DATASETS, Dataset, subset
from mpidl.components.datasets.fingerprint import Content, content

__all__ = [
    "DATASETS",
    "Content",
    "Dataset",
    "cifar",
    "content",
    "digits",
    "mnist",
    "subset",
    "tinymem",
]
