"""Checkpoints: the full state of a run, from which a run goes on as if it had not stopped."""

from mpidl.storage.checkpoint.finder import LoadedCheckpoint, discard, find, folder, folder_in
from mpidl.storage.checkpoint.heads import SampleShape, Story
from mpidl.storage.checkpoint.saver import Saver

__all__ = [
    "LoadedCheckpoint",
    "SampleShape",
    "Saver",
    "Story",
    "discard",
    "find",
    "folder",
    "folder_in",
]
