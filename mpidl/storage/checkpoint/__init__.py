"""The full state of a run, saved and found again so that the continued run is the same run."""

from mpidl.storage.checkpoint.finder import Found, discard, find, folder, folder_in
from mpidl.storage.checkpoint.saver import Saver
from mpidl.storage.checkpoint.sealed import Story

__all__ = ["Found", "Saver", "Story", "discard", "find", "folder", "folder_in"]
