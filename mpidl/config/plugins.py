"""Plug-ins: code of the user's own, loaded from files and modules, with a record of what it was.

A name such as ``"my_ideas.py:net"`` or ``"torchvision.models:resnet18"`` means an attribute of a
file or of a module. Code is loaded once, and only because a person names it: on a command line, in
a run file or a study file, or by installing a package with an entry point of the group ``mpidl``.
A results file or a checkpoint never causes that.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from mpidl.config import own_code, own_traceback, shipped
from mpidl.config.faults import Fault, nearest, shown
from mpidl.config.own_code import Code

GROUP = "mpidl"
"""Group of the entry points of installed packages that are loaded."""

NAMES = 10
"""Most names of a module that a message lists."""


@dataclass(frozen=True)
class _Loaded:
    """Something that was loaded: its record, its module, and what a run file anywhere may say."""

    code: Code
    module: ModuleType
    place: str


_loaded: dict[str, _Loaded] = {}
"""What was loaded, by the real path of a file or the name of a module."""

_before: list[Callable[[], None]] = []

_failed: dict[tuple[str, str], Fault] = {}
"""Faults of files, by path and SHA-256, so that each is run once; forked ranks report them too."""


@contextmanager
def before_loading(call: Callable[[], None]) -> Iterator[None]:
    """Let something be called once, before the first code that is loaded within the context."""
    _before.append(call)
    try:
        yield
    finally:
        if call in _before:
            _before.remove(call)


def names_code(name: object) -> bool:
    """Whether a name means an attribute of a file or of a module."""
    return isinstance(name, str) and ":" in name


def load(source: str, *folders: Path, subject: str = "") -> str:
    """Load a file or a module once, and return how a run file in any folder names it.

    Args:
        source: The path of a ``.py`` file, or the name of a module.
        folders: Where a relative path is looked for before the current folder.
        subject: The setting or option that names it, as a message begins.

    Returns:
        The absolute path of the file, or the name of the module.

    Raises:
        Fault: If there is no such file or module, or another file of that name is loaded.
        OwnError: If the code raises an error.
    """
    loaded = _load(source, folders, subject or shown(source))
    own_traceback.note_module(loaded.module)
    return loaded.place


class Named(NamedTuple):
    """What ``"file.py:attribute"`` or ``"module:attribute"`` names.

    Attributes:
        thing: The object.
        name: Its name as it stands in results: without the folder of the file.
        files: The absolute path of the file; none of a module.
    """

    thing: Any
    name: str
    files: list[str]


def find(name: str, *folders: Path, subject: str = "") -> Any:
    """The object that a name means; see :func:`named`."""
    return named(name, *folders, subject=subject).thing


def named(name: str, *folders: Path, subject: str = "") -> Named:
    """What ``"file.py:attribute"`` or ``"module:attribute"`` names.

    Args:
        name: The name; the attribute may have dots.
        folders: Where the relative path of a file is looked for before the current folder.
        subject: The setting or option that names it, as a message begins.

    Raises:
        Fault: If there is no such file, module or attribute.
        OwnError: If the code raises an error when it is loaded.
    """
    subject = subject or shown(name)
    source, _, attribute = name.rpartition(":")
    loaded = _load(source, folders, subject)
    found: Any = loaded.module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise Fault(f"{subject}: {loaded.code.name} has no {part!r}; {_remedy(part, found)}")
        found = getattr(found, part)
    own_traceback.note(found)
    files = [loaded.place] if loaded.code.text else []
    return Named(found, f"{loaded.code.name}:{attribute}", files)


@cache
def load_installed() -> None:
    """Load the entry points of the group ``mpidl`` of installed packages, once.

    Raises:
        OwnError: If one of them raises an error.
    """
    for point in metadata.entry_points(group=GROUP):
        load(point.module, subject=f"The entry point {point.name!r} of an installed package")


def codes(sources: Iterable[str], things: Iterable[Any] = ()) -> list[Code]:
    """Records of code, each once, in order.

    Args:
        sources: Files and modules as :func:`load` returned them.
        things: Functions or classes, of mpidl or of others.
    """
    named = (_loaded[source].code for source in sources if source in _loaded)
    defining = (code for code in map(own_code.of, things) if code is not None)
    return list(dict.fromkeys([*named, *defining]))


def _load(source: str, folders: Sequence[Path], subject: str) -> _Loaded:
    if source.endswith(".py") or os.sep in source:
        return _file(_path(source, folders, subject), subject)
    if source not in _loaded:
        _prepare()
        with own_traceback.explained():
            _loaded[source] = _module(source, subject)
    return _loaded[source]


def _file(path: str, subject: str) -> _Loaded:
    code = own_code.read(Path(path), subject)
    if (failed := _failed.get((path, code.sha256))) is not None:
        raise failed
    if path not in _loaded:
        _prepare()
        try:
            with own_traceback.explained():
                _loaded[path] = _run(path, code, subject)
        except Fault as fault:
            _failed[path, code.sha256] = fault
            raise
    if _loaded[path].code != code:
        raise Fault(f"{subject}: {path} has changed since it was loaded; start the program anew.")
    return _loaded[path]


def _prepare() -> None:
    while _before:
        _before.pop()()


def _path(source: str, folders: Sequence[Path], subject: str) -> str:
    """The real path of a file; a name without a folder may be that of a file that is loaded."""
    beside = shipped.beside(source, *folders)
    if beside == source and not os.path.isabs(source):
        for path, loaded in _loaded.items():
            if loaded.code.name == source:
                return path
    path_found = shipped.find(Path(beside))
    if not path_found.exists():
        near = [folder.absolute() for folder in folders if folder.absolute() != Path.cwd()]
        first = f"beside the file that names it ({near[0]})" if near else ""
        raise Fault(f"{subject}: there is no such file{shipped.sought(Path(source), first)}.")
    return os.path.realpath(path_found)


def _run(path: str, code: Code, subject: str) -> _Loaded:
    """Run a file as a module of its own."""
    for other in _loaded.values():
        if other.code.name == code.name:
            if other.code.sha256 == code.sha256:
                return other
            raise Fault(
                f"{subject}: another {code.name} is loaded already, {other.place}; give one of "
                "them another name."
            )
    present = next((m for m in list(sys.modules.values()) if _is_from(m, path)), None)
    if present is not None:
        own_code.remember(present, code)
        return _Loaded(code, present, path)
    # No dot, which would mean a package, and not the plain name, which may be another module's.
    name = f"{Path(path).stem.replace('.', '_')}_py"
    while name in sys.modules:
        name += "_"
    spec = util.spec_from_file_location(name, path)
    assert spec is not None
    module = util.module_from_spec(spec)
    # Files beside it can be imported, but take no installed module's place.
    if (folder := os.path.dirname(path)) not in sys.path:
        sys.path.append(folder)
    sys.modules[name] = module
    own_code.remember(module, code)
    try:
        exec(compile(code.text, path, "exec", dont_inherit=True), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return _Loaded(code, module, path)


def _is_from(module: Any, path: str) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or os.path.basename(file) != os.path.basename(path):
        return False
    return os.path.realpath(file) == path


def _module(name: str, subject: str) -> _Loaded:
    if not all(part.isidentifier() for part in name.split(".")):
        raise Fault(f"{subject}: must name a module or a file that ends with '.py'.")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise Fault(f"{subject}: there is no module {error.name!r}.") from None
    return _Loaded(own_code.of_module(name, getattr(module, "__file__", None)), module, name)


def _remedy(name: str, found: Any) -> str:
    known = [key for key in getattr(found, "__dict__", {}) if not key.startswith("_")]
    remedy = nearest(name, known)
    return remedy if len(known) <= NAMES or remedy.endswith("?") else "it has other names."
