"""Data sets by name: arrays with a fixed train/test split, one file each."""

from mpidl.datasets import cifar, digits, mnist, tinymem
from mpidl.datasets.catalog import DATASETS, Dataset, subset

__all__ = ["DATASETS", "Dataset", "cifar", "digits", "mnist", "subset", "tinymem"]
