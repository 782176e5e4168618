"""Tracebacks of the user's own code, which are told from its first line on, and once."""

import importlib
import inspect
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from mpidl.config.faults import Fault, OwnError

PACKAGE = Path(__file__).resolve().parents[1]

_own: set[str] = set()
"""Files of the user's code, and folders of packages, which end with a separator."""


def note(thing: Any) -> None:
    """Take the file of a function or class for the user's, in tracebacks, if it is not mpidl's."""
    with suppress(OSError, TypeError):
        file = inspect.getfile(inspect.unwrap(thing))
        if not file.startswith(f"{PACKAGE}{os.sep}"):
            _own.add(file)


def note_module(module: ModuleType) -> None:
    """Take the file of a module for the user's, and all files of a package."""
    if (file := getattr(module, "__file__", None)) is not None:
        _own.add(file)
    _own.update(os.path.join(folder, "") for folder in getattr(module, "__path__", []))


def own_error(error: BaseException) -> OwnError | None:
    """An error that was raised in the user's own code, with the traceback from its first line on.

    None if no line of the traceback is the user's. What it is told as is a :class:`Fault`.
    """
    if isinstance(error, Fault):
        return error if isinstance(error, OwnError) else None
    steps: TracebackType | None = error.__traceback__
    while steps is not None and not _is_own(steps.tb_frame.f_code.co_filename):
        steps = steps.tb_next
    return None if steps is None else _told(error, steps)


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error of the code that is loaded here into an :class:`OwnError`."""
    try:
        yield
    except Fault:
        raise
    except (Exception, SystemExit) as error:
        steps = error.__traceback__
        while steps is not None and _is_import(steps.tb_frame.f_code.co_filename):
            steps = steps.tb_next
        raise _told(error, steps) from error


def _is_own(file: str) -> bool:
    return file in _own or any(file.startswith(own) for own in _own if own.endswith(os.sep))


def _is_import(file: str) -> bool:
    return file.startswith((f"{PACKAGE}{os.sep}", "<frozen")) or file == importlib.__file__


def _told(error: BaseException, steps: TracebackType | None) -> OwnError:
    told = OwnError("".join(traceback.format_exception(type(error), error, steps)).rstrip())
    told.__cause__ = error
    return told
