"""Data sets by name: arrays with a fixed train/test split, one file each."""

from mpidl.datasets import cifar, digits, mnist, tinymem
from mpidl.datasets.catalog import DATASETS, Dataset, subset
from mpidl.datasets.identity import Content, content

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
