"""Environments of stacks, each with an MPI and an h5py of its own, made once and kept."""

import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.stacks.stacks import AS_ROOT, EXTRAS, LIBRARIES, Stack

ROOT = Path(__file__).parents[2]
H5PY = ROOT / "launch" / "h5py"
PROJECT = ROOT / "pyproject.toml"

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mpidl" / "stacks"

SITE = "lib/python{0.major}.{0.minor}/site-packages"

READY = "ready"
"""The file in an environment that says that it is whole, and for which Python it was made."""

VERSIONS = """
import json, platform
from mpi4py import MPI
import h5py, mpi4py, networkx, numpy, torch
from mpidl.ranks import mpi_library
print(json.dumps({
    "MPI": mpi_library.version(),
    "HDF5": h5py.version.hdf5_version + ("" if mpi_library.check_hdf5() else ", serial"),
    "h5py": h5py.__version__, "mpi4py": mpi4py.__version__, "numpy": numpy.__version__,
    "networkx": networkx.__version__, "torch": torch.__version__,
    "Python": platform.python_version(),
}))
"""


class MissingError(Exception):
    """A stack that this machine cannot have; the reason, as a sentence."""


class Environment:
    """The environment of a stack.

    Args:
        stack: Which.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.folder = CACHE / f"{stack.name}-{_key(stack)}"
        self.python = self.folder / "bin" / "python"
        self.mpiexec = self.folder / "bin" / "mpiexec"

    @property
    def ready(self) -> bool:
        """Whether it is set up."""
        return (self.folder / READY).exists()

    def variables(self) -> dict[str, str]:
        """The environment variables of what runs in it."""
        places = {"folder": str(self.folder)}
        own = {name: value.format_map(places) for name, value in self.stack.variables.items()}
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return {**unchosen(os.environ), "PATH": path, **AS_ROOT, **own}

    def set_up(self) -> None:
        """Make it, unless it is there.

        Raises:
            MissingError: If this machine lacks something that cannot be installed.
            CalledProcessError: If an installation fails.
        """
        with _alone(self.stack.name):
            if self.ready:
                return
            _install_debian(self.stack)
            for old in CACHE.glob(f"{self.stack.name}-*"):
                if not _kept(old):
                    shutil.rmtree(old)
            print(f"stacks: setting up {self.folder}", file=sys.stderr, flush=True)
            self._make()
            (self.folder / READY).write_text(sys.prefix)

    def _make(self) -> None:
        if self.stack.whole:
            self._make_whole()
        else:
            self._call(sys.executable, "-m", "venv", "--without-pip", str(self.folder))
            self._look_behind()
            if self.stack.packages:
                # What lies behind it would count as installed.
                self._pip("--ignore-installed", *self.stack.packages)
        for link, target in self.stack.links.items():
            (self.folder / link).symlink_to(LIBRARIES / target)
        for file, text in self.stack.files.items():
            with (self.folder / file).open("a") as appended:
                appended.write(f"{text}\n")
        if self.stack.mpiexec:
            self.mpiexec.write_text(f'#!/bin/sh\nexec {self.stack.mpiexec} "$@"\n')
            self.mpiexec.chmod(0o755)
        self._install_h5py()

    def _install_h5py(self) -> None:
        if not self.stack.hdf5:
            words = ("--ignore-installed", "--no-deps", "--only-binary=h5py")
            self._pip(*words, "h5py==3.*")
            return
        in_place = ["--in-place"] if self.stack.mpiexec else []
        self._call(str(H5PY), str(self.folder), self.stack.hdf5, *in_place, *self._h5py())

    def _make_whole(self) -> None:
        """Install what pyproject.toml asks for, and then, at their newest, the tools and tests."""
        self._call(_found(self.stack.python), "-m", "venv", str(self.folder))
        self._pip("--upgrade", "pip>=25", "uv")
        extras = [word for extra in EXTRAS for word in ("--extra", extra)]
        # The lowest with a wheel: sources of that time may not compile with what there is today.
        lowest = ["--resolution=lowest-direct", "--only-binary=:all:"] if self.stack.lowest else []
        self._uv("-r", str(PROJECT), *extras, *lowest)
        self._uv(*self.stack.packages)

    def _h5py(self) -> list[str]:
        """The requirement of the h5py to build, where it is another than launch/h5py has."""
        if not self.stack.lowest:
            return []
        sites = [str(site) for site in self.folder.glob("lib/python*/site-packages")]
        [found] = importlib.metadata.distributions(name="h5py", path=sites)
        return [f"h5py=={found.version}"]

    def _look_behind(self) -> None:
        """Let it find behind its own packages those of this Python, so that torch is the same."""
        behind = [path for path in sys.path if path.endswith("site-packages")]
        lines = [f"import site; site.addsitedir({path!r})\n" for path in behind]
        (self.folder / SITE.format(sys.version_info) / "behind.pth").write_text("".join(lines))

    def install_mpidl(self) -> None:
        """Bring what a checkout does not have without an installation, the native kernel."""
        if self.stack.whole:
            build = f"build-dir={self.folder}/build"
            self._pip("--no-build-isolation", "--no-deps", "-C", build, "-e", str(ROOT))

    def _pip(self, *words: str) -> None:
        self._call(str(self.python), "-m", "pip", "install", "-qq", *words)

    def _uv(self, *words: str) -> None:
        uv = self.folder / "bin" / "uv"
        self._call(str(uv), "pip", "install", "-q", f"--python={self.python}", *words)

    def _call(self, *words: str) -> None:
        subprocess.run(words, check=True, env=self._building(), stdin=subprocess.DEVNULL)

    def _building(self) -> dict[str, str]:
        variables = self.variables()
        if not self.stack.mpiexec and not (self.folder / "bin" / "mpicc").exists():
            # Intel's MPI has MPICH's headers, and leaves them out where it is only to be run.
            variables["CC"] = str(Path(sys.executable).with_name("mpicc"))
        return variables

    def versions(self) -> dict[str, str]:
        """What it is made of, by name."""
        told = subprocess.run(
            [str(self.python), "-c", VERSIONS],
            check=True,
            capture_output=True,
            text=True,
            env=self.variables(),
            cwd=ROOT,
        )
        found: dict[str, str] = json.loads(told.stdout)
        return found


def _key(stack: Stack) -> str:
    """A name of what an environment is made of."""
    behind = [importlib.metadata.version(name) for name in ("numpy", "mpi4py", "torch")]
    parts = [repr(stack), sys.version, sys.prefix, *behind, H5PY.read_text()]
    if stack.whole:
        project = tomllib.loads(PROJECT.read_text())["project"]
        extras = [project["optional-dependencies"][extra] for extra in EXTRAS]
        parts.append(repr([project["dependencies"], *extras]))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _kept(folder: Path) -> bool:
    """Whether an environment is that of another Python, which is still there."""
    try:
        prefix = (folder / READY).read_text()
    except OSError:
        return False
    return prefix != sys.prefix and Path(prefix).exists()


def unchosen(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what chooses an MPI or a compiler for this process."""
    chosen = ("MPI4PY_", "I_MPI_", "OMPI_", "LD_LIBRARY_PATH", "CC")
    return {name: value for name, value in environment.items() if not name.startswith(chosen)}


def _found(python: str) -> str:
    """A Python that runs.

    Raises:
        MissingError: If there is none.
    """
    path = shutil.which(python)
    if path is None or subprocess.run([path, "-c", ""], capture_output=True).returncode:
        raise MissingError(f"there is no {python} here")
    return path


def _install_debian(stack: Stack) -> None:
    """Install packages of Debian; which MPI its commands without a surname are stays as it is."""
    if not stack.debian or _installed(stack.debian):
        return
    if os.geteuid() or shutil.which("apt-get") is None:
        raise MissingError(f"install it with: apt-get install {' '.join(stack.debian)}")
    chosen = _alternatives()
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends"]):
        command = ["apt-get", *words, *(stack.debian if "install" in words else [])]
        told = subprocess.run(command, stdout=subprocess.DEVNULL, env=_quiet(), check=False)
        if told.returncode:
            raise MissingError(f"{' '.join(command)} failed")
    for name, value in _alternatives().items():
        if chosen.get(name, value) != value:
            subprocess.run(["update-alternatives", "--quiet", "--set", name, chosen[name]])


def _quiet() -> dict[str, str]:
    return {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}


def _installed(packages: tuple[str, ...]) -> bool:
    words = ["dpkg-query", "-W", "-f=${db:Status-Status}\n", *packages]
    try:
        told = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        raise MissingError("this system is not Debian") from None
    return told.stdout.split() == ["installed"] * len(packages)


def _alternatives() -> dict[str, str]:
    """What Debian's commands of several providers stand for, of MPI and HDF5."""
    told = subprocess.run(
        ["update-alternatives", "--get-selections"], capture_output=True, text=True, check=False
    )
    lines = [line.split() for line in told.stdout.splitlines()]
    return {name: value for name, _, value in lines if name.startswith(("mpi", "h5", "hdf5"))}


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Only one process at a time sets up a stack."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
