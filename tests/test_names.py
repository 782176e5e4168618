"""Names of builders: nobody goes by one outside the file that registers it."""

import ast
import inspect
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import mpidl
from mpidl import plan
from mpidl.config.registry import Registry
from mpidl.config.toml import NAMERS

ROOT = Path(mpidl.__file__).parent

ALLOWED = {"none", "auto"}
"""The names that anybody may ask for: nothing, and what the program chooses."""

WORDS = {"degree", "digits", "iid", "images", "mpi", "noise", "npz", "random"}
"""Names that are words for other things too; where they stand alone nobody knows what they mean."""

HOMES: dict[str, set[Path]] = {}
"""By name the files that register a builder under it."""
for _registry in plan.KINDS.values():
    for _name, _builder in _registry.items():
        HOMES.setdefault(_name, set()).add(Path(inspect.getfile(_builder)))

TABLES = ("STRATEGIES", "SCHEDULES", "ALGORITHMS", "TOPOLOGIES", "DATASETS", "OODS")
TABLES += ("PLACEMENTS", "MODELS", "TASKS", "BACKENDS", "ATTACKS", "LR_SCHEDULES", "LOGGERS")
"""What the registries are called."""


@dataclass(frozen=True)
class Scope:
    """A module or a function in it, and what is known of names there.

    Attributes:
        own: Names that this file may go by.
        aliases: Variables that hold what a section of a run file names.
    """

    own: set[str]
    aliases: set[str] = field(default_factory=set)

    def names(self, node):
        """Whether this is what a section of a run file names."""
        if isinstance(node, ast.Name):
            return node.id in self.aliases
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "str":
            return self.names(node.args[0])
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            section, _, setting = str(node.slice.value).rpartition(".")
            return section in plan.KINDS and setting in NAMERS
        if not isinstance(node, ast.Attribute) or node.attr not in NAMERS:
            return False
        return last(node.value) in {"section", *plan.KINDS}

    def told(self, node):
        """The names of builders that stand here as text, alone or in a display."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return {node.value} & HOMES.keys() - self.own - WORDS
        parts = []
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            parts = node.elts
        elif isinstance(node, ast.Call) and last(node.func) in ("frozenset", "set"):
            parts = node.args
        return set().union(*map(self.told, parts))

    def why(self, node):
        """What is wrong with this piece of a module, if anything is."""
        match node:
            case ast.Compare(left=left, comparators=others):
                sides = [left, *others]
                named = any(map(self.names, sides)) and not all(map(self.free, sides))
                return "compares a name" if named or any(map(self.told, sides)) else ""
            case ast.Dict(keys=keys):
                return "has names as keys" if any(self.told(k) for k in keys if k) else ""
            case ast.Set():
                return "is a set of names" if self.told(node) else ""
            case ast.Assign(targets=[target], value=ast.Call() | ast.Tuple() | ast.List() as value):
                return "lists names" if self.told(value) and last(target) != "__all__" else ""
            case ast.Subscript(value=value, slice=key):
                return "looks a name up" if self.names(key) and table(value) else ""
            case ast.Call(func=ast.Attribute(value=owner, attr=method), args=[first, *_]):
                if method in ("get", "pop", "setdefault") and table(owner) and self.names(first):
                    return "looks a name up"
                parts = ("startswith", "endswith", "partition")
                return "goes by a part of a name" if method in parts and self.names(owner) else ""
            case ast.Match(subject=subject):
                return "matches a name" if self.names(subject) else ""
            case ast.MatchValue(value=value):
                return "matches a name" if self.told(value) else ""
        return ""

    def free(self, node):
        """Whether a name may be compared with this: a registry, files, or what anybody may know."""
        if isinstance(node, ast.Constant):
            return node.value in self.own
        if isinstance(node, ast.Call):
            return last(node.func) not in ("frozenset", "set", "tuple")
        return self.names(node) or last(node) in TABLES


def last(node):
    """The last name in an expression with dots."""
    return ast.unparse(node).rpartition(".")[2]


def table(node):
    """Whether this is a constant of a module, and no registry."""
    return last(node).isupper() and last(node) not in TABLES


def aliases(function, scope):
    """Variables of a function that hold what a section of a run file names."""
    pairs = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            pairs += [(target, node.value) for target in node.targets]
    for target, value in pairs:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs += zip(target.elts, value.elts, strict=False)
    return {t.id for t, value in pairs if isinstance(t, ast.Name) and scope.names(value)}


def found(text, own=()):
    """The places in a module that go by the name of a builder."""
    tree, scope = ast.parse(text), Scope({*own} | ALLOWED)
    scopes = [(tree, scope)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (known := aliases(node, scope)):
            scopes.append((node, Scope(scope.own, known)))
    lines = {}
    for part, scope in scopes:
        for node in ast.walk(part):
            if why := scope.why(node):
                at = getattr(node, "lineno", 0)
                lines[at, why] = f"line {at} {why}: {ast.unparse(node)[:80]}"
    return list(lines.values())


MODULES = sorted(ROOT.rglob("*.py"))


def test_tables_are_the_registries():
    assert len(TABLES) == len(plan.KINDS)
    assert all(isinstance(one, Registry) for one in plan.KINDS.values())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_goes_by_the_name_of_a_builder_of_another(path):
    own = {name for name, homes in HOMES.items() if path in homes}
    assert found(path.read_text(encoding="utf-8"), own) == []


@pytest.mark.parametrize(
    "text",
    [
        'if plan.file.strategy.name == "degree": pass',
        'if plan.file.schedule.name != "constant": pass',
        "if file.strategy.name in COMPLETE: pass",
        "if file.strategy.name in frozenset(COMPLETE): pass",
        'if file.exchange.backend not in ("auto", "mpi"): pass',
        'if section.name == "emnist": pass',
        'if run.attrs["data.name"] == "digits": pass',
        'if str(run.attrs["data.name"]) == "digits": pass',
        'def f(file):\n    name = file.algorithm.name\n    if name == "degree": pass',
        "def f(file):\n    a, name = 1, file.algorithm.name\n    if name in RULES: pass",
        'def f(file):\n    if name == "push_sum": pass',
        'CORRECTIONS = frozenset({"exact_diffusion", "other"})',
        'GROUPS = ("gloo", "nccl")',
        'HOME = {"shared": "cpu"}',
        'x = {"federated", *more}',
        "x = REMEDIES.get(section.name, 1)",
        "x = REMEDIES[section.name]",
        'match file.model.name:\n    case "any": pass',
        'match name:\n    case "mlp": pass',
        'if file.strategy.name.startswith("degree"): pass',
        'x = file.strategy.name.partition("_")',
    ],
)
def test_what_goes_by_a_name_is_found(text):
    assert len(found(text)) >= 1


@pytest.mark.parametrize(
    "text",
    [
        'if file.ood.name == "none": pass',
        'if name != "auto": pass',
        "x = STRATEGIES[strategy.name](view)",
        "x = strategies.STRATEGIES.properties(file.strategy.name).complete",
        "if section.name in graphs.TOPOLOGIES: pass",
        'print(f"{file.strategy.name} is not sinkhorn", "sinkhorn")',
        'if run.name == "degree": pass',
        'section = {"name": "complete"}',
    ],
)
def test_what_does_not_is_not(text):
    assert found(text) == []


def test_the_file_that_registers_a_name_may_use_it():
    assert found('if name == "krum": pass', own=["krum"]) == []
