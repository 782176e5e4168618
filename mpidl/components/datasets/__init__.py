"""Data sets by name: arrays with a fixed train/test split, one file each."""

from mpidl.components.datasets import (
    cifar,
    digits,
    huggingface,
    images,
    leaf,
    mnist,
    npz,
    tables,
    tinymem,
)
from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.dataset import Dataset, subset
from mpidl.components.datasets.fingerprint import Content, content

__all__ = [
    "DATASETS",
    "Content",
    "Dataset",
    "cifar",
    "content",
    "digits",
    "huggingface",
    "images",
    "leaf",
    "mnist",
    "npz",
    "subset",
    "tables",
    "tinymem",
]
