"""Recipes for conda and Spack, and the citation: they ask for what pyproject.toml asks for."""

import importlib.util
import re
import sys
import textwrap
import tomllib
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from mpi4py import MPI

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SPACK = ROOT / "recipes/spack/spack_repo/mpidl/packages"
CONDA = ROOT / "recipes/conda/recipe.yaml"

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="reads files alone")


def bounds(requirements: list[str]) -> dict[str, str]:
    """By the name of each package its lower bound, as in ``numpy>=1.26``."""
    found = [re.fullmatch(r"([\w-]+) *>=([\w.]+)", line) for line in requirements]
    assert all(found), requirements
    return {match[1]: match[2] for match in found if match}


def wanted(*extras: str) -> dict[str, str]:
    """What ``pyproject.toml`` needs at run time, with some extras, and of Python."""
    project = PROJECT["project"]
    lines = project["dependencies"] if not extras else []
    lines = lines + [line for name in extras for line in project["optional-dependencies"][name]]
    python = {} if extras else {"python": project["requires-python"].removeprefix(">=")}
    return bounds(lines) | python


BUILD = bounds(PROJECT["build-system"]["requires"])


@pytest.fixture
def conda():
    return pytest.importorskip("yaml").safe_load(CONDA.read_text())


def test_conda_asks_for_the_same(conda):
    needs = conda["requirements"]
    assert bounds(needs["run"]) == {
        {"torch": "pytorch"}.get(name, name): bound for name, bound in wanted().items()
    }
    assert bounds([line for line in needs["host"] if ">=" in line]) == BUILD


def test_conda_tells_the_same(conda):
    fallback = PROJECT["tool"]["setuptools_scm"]["fallback_version"]
    assert conda["context"]["version"] == fallback
    assert conda["about"]["license"] == PROJECT["project"]["license"]
    assert (CONDA.parent / conda["source"]["path"]).resolve() == ROOT
    assert (ROOT / conda["about"]["license_file"]).exists()


@pytest.mark.slow
def test_rattler_build_takes_the_recipe(tools, do):
    text = """
        import sys, rattler_build as r
        pinned = r.VariantConfig({"c_stdlib": ["sysroot"], "c_stdlib_version": ["2.17"]})
        [found] = r.Stage0Recipe.from_file(sys.argv[1]).render(pinned, r.RenderConfig())
        print(found.recipe.package.name)
    """
    assert do(tools / "python", "-c", textwrap.dedent(text), CONDA) == "mpidl\n"


class Recorded(dict[tuple[str, str], list[str]]):
    """Specs that a package of Spack depends on, by the type and the condition around them."""

    def __init__(self) -> None:
        self.types: tuple[str, ...] = ("build", "link")
        self.condition = ""

    def depends_on(self, spec, type=None, when=""):
        """Note it by each of its types."""
        types = (type,) if isinstance(type, str) else type or self.types
        for kind in types:
            self.setdefault((kind, when or self.condition), []).append(spec)

    @contextmanager
    def default_args(self, type):
        """The type of what is noted in between."""
        self.types, before = (type,) if isinstance(type, str) else type, self.types
        yield
        self.types = before

    @contextmanager
    def when(self, condition):
        """The condition of what is noted in between."""
        self.condition = condition
        yield
        self.condition = ""


@pytest.fixture
def recorded(monkeypatch):
    """As ``recorded(name)``: what a package depends on, and its versions."""

    def load(name):
        kept, versions = Recorded(), {}
        package, system = ModuleType("spack.package"), ModuleType("python")
        package.depends_on, package.default_args = kept.depends_on, kept.default_args
        package.when = kept.when
        package.version = lambda number, **source: versions.update({number: source})
        package.license = package.variant = lambda *words, **more: None
        system.PythonPackage = type("PythonPackage", (), {})
        builtin = ModuleType("builtin")
        builtin.PyRustworkx = system.PythonPackage
        for path, module in {
            "spack": ModuleType("spack"),
            "spack.package": package,
            "spack_repo.builtin.build_systems.python": system,
            "spack_repo.builtin.packages.py_rustworkx.package": builtin,
        }.items():
            for end in range(1, path.count(".") + 1):
                parent = ".".join(path.split(".")[:end])
                monkeypatch.setitem(sys.modules, parent, sys.modules.get(parent, ModuleType("")))
            monkeypatch.setitem(sys.modules, path, module)
        spec = importlib.util.spec_from_file_location(name, SPACK / name / "package.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return kept, versions, module

    return load


def told(specs: list[str]) -> dict[str, str]:
    """Lower bounds of Spack's specs, by the names that PyPI has."""
    lines = [spec.removeprefix("py-").replace("@", ">=").removesuffix(":") for spec in specs]
    return bounds(lines)


def test_spack_asks_for_the_same(recorded):
    kept, _, module = recorded("py_mpidl")
    assert told(kept["run", ""]) == wanted()
    for extra in ("ensemble", "report"):
        assert told(kept["run", f"+{extra}"]) == wanted(extra)
    build = [spec for spec in kept["build", ""] if spec not in kept["run", ""] and "py-" in spec]
    assert told(build) == BUILD
    assert module.PyMpidl.git == ROOT.as_uri()


def test_spack_has_a_rustworkx_that_is_new_enough(recorded):
    _, versions, _ = recorded("py_rustworkx")
    bound = tuple(map(int, wanted()["rustworkx"].split(".")))
    assert all(tuple(map(int, number.split("."))) >= bound for number in versions)
    assert all(len(source["sha256"]) == 64 for source in versions.values())
    assert versions


def test_the_citation_is_of_this_project():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = PROJECT["project"]
    assert citation["title"] == project["name"]
    assert citation["license"] == project["license"]
    assert citation["authors"] == project["authors"]
    assert {*map(str.lower, citation["keywords"])} <= {*project["keywords"]}
    [paper] = citation["references"]
    assert paper["url"] == project["urls"]["Paper"]
