"""Records of code from outside of mpidl: what it was when it was loaded."""

import hashlib
import inspect
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from types import ModuleType
from typing import Any

from mpidl.config.faults import Fault


@dataclass(frozen=True)
class Code:
    """Code from outside of mpidl, as it was when it was loaded.

    Attributes:
        name: The name of a file without its folder, or of a module.
        sha256: SHA-256 of the file, by which the code is known; empty for a module without a file.
        version: The version of the package that a module belongs to; empty if there is none.
        text: The text of a file that was named as a file; empty for a module.
    """

    name: str
    sha256: str
    version: str = ""
    text: str = ""


_known: dict[str, Code] = {}
"""Records of files that were loaded as modules, by the name of the module."""


def remember(module: ModuleType, code: Code) -> None:
    """Keep the record of a module, which is that of its state when it was loaded."""
    _known[module.__name__] = code


def read(path: Path, subject: str) -> Code:
    """The record of a file.

    Raises:
        Fault: If it cannot be read.
    """
    try:
        content = path.read_bytes()
        text = util.decode_source(content)
    except OSError as error:
        raise Fault(f"{subject}: cannot be read: {error.strerror}.") from None
    except (SyntaxError, UnicodeError):
        raise Fault(f"{subject}: is not a text that Python reads.") from None
    return Code(path.name, hashlib.sha256(content).hexdigest(), text=text)


def of_module(name: str, file: str | None) -> Code:
    """The record of a module in a file; of one that has none, without a SHA-256."""
    content = Path(file).read_bytes() if file and os.path.isfile(file) else b""
    return Code(name, hashlib.sha256(content).hexdigest() if content else "", _version(name))


@cache
def _version(module: str) -> str:
    top = module.partition(".")[0]
    try:
        return metadata.version(top)
    except (metadata.PackageNotFoundError, ValueError):
        packages = metadata.packages_distributions().get(top, [])
        return metadata.version(packages[0]) if packages else ""


def of(thing: Any) -> Code | None:
    """The code that defines a function or class; None if mpidl does.

    Code in a notebook has no file: its text is that of the function.
    """
    thing = inspect.unwrap(getattr(thing, "func", thing))
    name = getattr(thing, "__module__", None) or "__main__"
    if name.partition(".")[0] == "mpidl":
        return None
    if name in _known:
        return _known[name]
    file = getattr(sys.modules.get(name), "__file__", None)
    if name != "__main__":
        return of_module(name, file)
    if file and os.path.isfile(file):
        return read(Path(file), file)
    text = ""
    with suppress(OSError, TypeError):
        text = inspect.getsource(thing)
    return Code(name, hashlib.sha256(text.encode()).hexdigest(), text=text)


def name_of(thing: Any) -> str:
    """The name of a function or class that a program passes, as a run file would name it."""
    code = of(thing)
    written = inspect.unwrap(getattr(thing, "func", thing))
    name = getattr(written, "__qualname__", type(written).__qualname__).replace(".<locals>", "")
    return f"{written.__module__ if code is None else code.name}:{name}"
