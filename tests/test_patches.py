"""Names of the program that tests use and patch are there, also where few numbers of ranks look."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent

PLACE = re.compile(r"mpidl[\w.]*:\w[\w.]*")
"""A place of the program where a job is to pause."""


def used(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines, and what they import from the program, take from one of its modules, or patch."""
    nodes, known = list(ast.walk(tree)), dict[str, str]()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mpidl"):
            for one in node.names:
                known[one.asname or one.name] = f"{node.module}.{one.name}"
                yield node.lineno, f"{node.module}.{one.name}"
    for node in nodes:
        # They may be something else elsewhere in the file.
        if isinstance(node, ast.arg):
            known.pop(node.arg, None)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.pop(node.id, None)
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in known:
                yield node.lineno, f"{known[name]}.{attribute}"
            case ast.Call(
                func=ast.Attribute(attr="setattr" | "delattr"),
                args=[ast.Name(id=name), ast.Constant(value=attribute), *_],
                keywords=[],
            ) if name in known:
                yield node.lineno, f"{known[name]}.{attribute}"
            case ast.Call(
                func=ast.Attribute(attr="setattr"), args=[ast.Constant(value=str(path)), *_]
            ):
                yield node.lineno, path
            case ast.Constant(value=str(place)) if PLACE.fullmatch(place):
                yield node.lineno, place.replace(":", ".")


def missing(path: str) -> bool:
    """Whether a module or class has no such attribute; not if a package is not here to see it."""
    package, *names = path.split(".")
    owner: Any = import_module(package)
    for name in names:
        if isinstance(owner, ModuleType) and not hasattr(owner, name):
            try:
                import_module(f"{owner.__name__}.{name}")
            except ModuleNotFoundError as error:
                return str(error.name).startswith(package)
        if not hasattr(owner, name):
            return isinstance(owner, ModuleType | type)
        owner = getattr(owner, name)
    return False


def test_what_tests_name_of_the_program_is_there():
    gone = [
        f"{file.relative_to(HERE)}:{line}: {name}"
        for file in sorted(HERE.rglob("*.py"))
        for line, name in used(ast.parse(file.read_text(encoding="utf-8")))
        if missing(name)
    ]
    assert not gone, "\n".join(gone)
