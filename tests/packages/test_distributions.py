"""The sdist and the wheel: what is in them, and that a run works where only they are installed."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

from mpi4py import MPI

import pytest

from mpidl.ranks import host

ROOT = Path(__file__).parents[2]
MPIEXEC = Path(sys.executable).with_name("mpiexec")

LEFT_OUT = (".ci/", ".dockerignore", ".git", ".pre-commit-config.yaml")
"""How names of the repository begin which no sdist needs."""

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="builds packages alone"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory, do):
    """A fresh clone of this checkout."""
    folder = tmp_path_factory.mktemp("clone") / "mpidl"
    do("git", "clone", "-q", ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def tracked(clone, do):
    """The names of all files of the repository."""
    return {*do("git", "-C", clone, "ls-files").split()}


@pytest.fixture(scope="module")
def built(clone, tools, do):
    """The sdist and the wheel that is built from it."""
    do(tools / "python", "-m", "build", clone)
    (sdist,), (wheel,) = (clone / "dist").glob("*.tar.gz"), (clone / "dist").glob("*.whl")
    return sdist, wheel


def test_an_sdist_has_the_repository_and_nothing_else(built, tracked):
    with tarfile.open(built[0]) as sdist:
        names = {file.name.partition("/")[2] for file in sdist.getmembers() if file.isfile()}
    wanted = {name for name in tracked if not name.startswith(LEFT_OUT)}
    assert names == wanted | {"PKG-INFO"}


def test_a_wheel_has_the_package_and_what_is_shipped_with_it(built, tracked):
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    code = {name for name in tracked if name.startswith("mpidl/") and "/native/" not in name}
    shipped = {f"mpidl/{name}" for name in tracked if name.startswith(("launch/", "topologies/"))}
    setting_up = {"mpidl/launch/h5py", "mpidl/launch/local"}
    kernel = f"mpidl/ranks/_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    assert len(shipped) > 80
    assert names == code | shipped - setting_up | {kernel}


def test_tools_find_nothing_wrong(built, clone, tools, do):
    do(tools / "twine", "check", "--strict", *built)
    do(tools / "check-wheel-contents", built[1])
    do(tools / "validate-pyproject", clone / "pyproject.toml")
    do(tools / "cffconvert", "--validate", "-i", clone / "CITATION.cff")


@pytest.fixture(scope="module")
def clean(built, tmp_path_factory, do):
    """The folder of the programs in an environment that has mpidl from the wheel alone.

    What mpidl needs is this environment's; it comes later on the path, and without its links to
    checkouts.
    """
    home = tmp_path_factory.mktemp("clean")
    venv.create(home, with_pip=True, symlinks=True)
    do(home / "bin/python", "-m", "pip", "install", "-q", "--no-deps", built[1])
    [packages] = (home / "lib").glob("python3*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("platlib") + "\n")
    return home / "bin"


def test_a_run_works_outside_the_checkout(clean, built, clone, tmp_path, do):
    head = do("git", "-C", clone, "rev-parse", "HEAD")
    told = do(clean / "mpidl", "--version", cwd=tmp_path)
    number, commit = built[1].name.split("-")[1].split("+g")
    assert told == f"mpidl {number}, commit {commit}\n"
    assert head.startswith(commit)
    if not MPIEXEC.exists():
        pytest.skip("no mpiexec beside this Python")
    words = [MPIEXEC, "-n", "2", clean / "python", "-m", "mpidl.run"]
    words += ["launch/studies/first/ring.toml", "--set", "training.rounds=1"]
    found = host.unlaunched(os.environ)
    folders = [str(MPIEXEC.parents[1] / "lib"), *found.get("LD_LIBRARY_PATH", "").split(":")]
    found["LD_LIBRARY_PATH"] = ":".join(filter(None, folders))
    found.pop("PYTHONPATH", None)
    ended = subprocess.run(words, cwd=tmp_path, env=found, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "results/ring.h5").exists()
    assert str(ROOT) not in ended.stdout


def test_a_study_of_the_wheel_is_found(clean, tmp_path, do):
    assert do(clean / "mpidl", "study", "launch/studies/example", "--list", cwd=tmp_path)


def test_a_copy_without_git_is_built_too(clone, tmp_path, do):
    do("cp", "-r", clone, tmp_path / "copy")
    do("rm", "-rf", tmp_path / "copy/.git", tmp_path / "copy/dist")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps"]
    do(*pip, "-C", "wheel.cmake=false", "-w", tmp_path, tmp_path / "copy")
    [wheel] = tmp_path.glob("mpidl-*.whl")
    assert wheel.name.startswith("mpidl-0.1.0.dev0-")
