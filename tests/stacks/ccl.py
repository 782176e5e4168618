"""oneCCL's old bindings to torch: built for processors, and ``ccl`` compared with ``shared``.

MPIDL_TORCH_CCL=FOLDER python -m tests.stacks.ccl

FOLDER has the sources of intel/torch-ccl, v2.8.0+xpu, the last ones. What else is needed is fetched
once, with pip: torch 2.8 (gigabytes, unless pip is told of an index with versions for processors)
and the headers and the library of oneCCL. All is kept in the user's cache. Needed besides: g++ and
libhwloc.
"""

import os
import subprocess
import sys
import sysconfig
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from mpidl.ranks import host
from tests.faults.jobs import MPIEXEC

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mpidl" / "ccl"
SITE = CACHE / "site"
"""Packages that stand before those of the environment."""

PACKAGE = SITE / "oneccl_bindings_for_pytorch"
SOURCES = "MPIDL_TORCH_CCL"
TORCH = "torch==2.8.0"
ONECCL = "oneccl-devel==2022.2.0"

PARTS = (
    *(f"src/{name}" for name in ("ProcessGroupCCL", "dispatch_stub", "utils", "env")),
    "src/ccl_comm_collector",
    "src/cpu/cpu_ccl",
    *(f"oneccl_bindings_for_pytorch/csrc/{name}" for name in ("_C", "init")),
)

TRACING = ("domain_create", "string_handle_create", "metadata_add", "thread_set_name")
TRACING += ("event_create", "event_start", "event_end", "task_begin", "task_end")

# The library was compiled by Intel's compiler, whose own copying it calls, and calls hooks of a
# profiler where they are set.
SHIM = f"""
#include <string.h>
void *_intel_fast_memcpy(void *to, const void *from, size_t bytes) {{ return memcpy(to, from, bytes); }}
void *_intel_fast_memset(void *to, int value, size_t bytes) {{ return memset(to, value, bytes); }}
{"".join(f"void *__itt_{name}_ptr__3_0;" for name in TRACING)}
"""  # noqa: E501

FLAGS = """
import json, torch
from torch.utils import cpp_extension
names = "COMPILER_TYPE", "STDLIB", "BUILD_ABI"
known = {name: getattr(torch._C, f"_PYBIND11_{name}", None) for name in names}
flags = [f'-DPYBIND11_{name}="{value}"' for name, value in known.items() if value]
flags += [f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}"]
flags += [f"-I{path}" for path in cpp_extension.include_paths()]
print(json.dumps([flags, cpp_extension.library_paths()]))
"""


def main() -> int:
    """The command; its exit code."""
    try:
        build()
    except LookupError as lack:
        print(f"ccl: {lack}", file=sys.stderr)
        return 2
    good = True
    for ranks in (2, 4):
        equal, other = compared(ranks)
        print(f"{ranks} ranks: {equal} data sets equal, others: {', '.join(other) or 'none'}")
        good &= all(name.startswith("series/bytes_") for name in other)
    return 0 if good else 1


def built() -> bool:
    """Whether the bindings are there."""
    return (PACKAGE / "_C.so").exists()


def build() -> None:
    """Build the bindings, unless they are there.

    Raises:
        LookupError: If there are no sources.
    """
    if built():
        return
    sources = Path(os.environ.get(SOURCES, ""))
    if not os.environ.get(SOURCES) or not (sources / "src" / "ProcessGroupCCL.cpp").is_file():
        raise LookupError(f"{SOURCES} names no folder with the sources of intel/torch-ccl")
    if not (SITE / "torch").exists():
        pip("install", "--target", str(SITE), TORCH)
    library = oneccl()
    flags, folders = told(FLAGS)
    flags += [f"-I{path}" for path in (library / "include", sources / "src")]
    flags += [f"-I{sysconfig.get_paths()['include']}", "-DTORCH_EXTENSION_NAME=_C"]
    flags += ["-DTORCH_API_INCLUDE_EXTENSION_H", "-DNDEBUG"]
    objects = CACHE / "objects"
    objects.mkdir(exist_ok=True)

    def compiled(part: str) -> Path:
        out = objects / f"{Path(part).name}.o"
        words = ["g++", "-std=c++17", "-O1", "-fPIC", "-w", *flags]
        call(*words, "-c", str(sources / f"{part}.cpp"), "-o", str(out))
        return out

    with ThreadPoolExecutor(2) as pool:
        made = [str(path) for path in pool.map(compiled, PARTS)]
    (objects / "shim.c").write_text(SHIM)
    call("gcc", "-fPIC", "-c", str(objects / "shim.c"), "-o", str(objects / "shim.o"))
    install(sources, [*made, str(objects / "shim.o")], library, folders)


def oneccl() -> Path:
    """The folder with oneCCL's headers, and with its library for processors."""
    pip("download", "--no-deps", "--dest", str(CACHE), ONECCL)
    (wheel,) = CACHE.glob("oneccl_devel-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(CACHE / "oneccl")
    (found,) = CACHE.glob("oneccl/*.data/data")
    return found


def install(sources: Path, objects: list[str], library: Path, folders: list[str]) -> None:
    """Put the package where Python finds it."""
    PACKAGE.mkdir(exist_ok=True)
    text = (sources / PACKAGE.name / "__init__.py").read_text()
    (PACKAGE / "__init__.py").write_text(text)
    (PACKAGE / "version.py").write_text('__version__ = "2.8.0"\ngit_version = "v2.8.0+xpu"\n')
    places = [f"-L{folder}" for folder in folders]
    libraries = ["torch_python", "torch_cpu", "torch", "c10", "dl", "pthread", "rt"]
    libraries += [":libhwloc.so.15"]
    archive = library / "lib" / "ccl" / "cpu" / "lib" / "libccl.a"
    fresh = CACHE / "_C.so"
    linked = [*objects, str(archive), *places, *(f"-l{name}" for name in libraries)]
    call("g++", "-shared", "-o", str(fresh), *linked)
    # Last, as it says that all is there.
    fresh.rename(PACKAGE / "_C.so")


def compared(ranks: int) -> tuple[int, list[str]]:
    """How many data sets a run by ``ccl`` and one by ``shared`` have in common, and which not."""
    ours, theirs = (ran(ranks, backend) for backend in ("ccl", "shared"))
    assert ours.keys() == theirs.keys()
    other = [name for name in ours if not same(ours[name], theirs[name])]
    return len(ours) - len(other), other


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays have the same bits, or the same texts."""
    if one.dtype.kind == "O":
        return bool(np.array_equal(one, other))
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()


def ran(ranks: int, backend: str) -> dict[str, np.ndarray]:
    """The data sets of a run."""
    name = f"{backend}_{ranks}"
    settings = (f"exchange.backend={backend}", "topology.devices=8", "training.rounds=5")
    overrides = [part for one in (*settings, f"name={name}") for part in ("--set", one)]
    words = [str(MPIEXEC), "-n", str(ranks), sys.executable, "-m", "mpidl.run", *overrides]
    call(*words, "--overwrite", "--out", str(CACHE / "results"))
    return contents(CACHE / "results" / f"{name}.h5")


def contents(path: Path) -> dict[str, np.ndarray]:
    """The data sets of a results file, but for times."""
    found: dict[str, np.ndarray] = {}

    def keep(key: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and not key.startswith("series/seconds_"):
            found[key] = np.asarray(item[()])

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return found


def variables() -> dict[str, str]:
    """The environment variables of what runs with the bindings."""
    path = os.pathsep.join([str(SITE), str(ROOT)])
    return {**host.unlaunched(os.environ), "PYTHONPATH": path}


def pip(*words: str) -> None:
    """Call pip."""
    call(sys.executable, "-m", "pip", words[0], "--quiet", *words[1:])


def call(*words: str) -> None:
    """Call a command that must succeed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(words, check=True, env=variables(), stdin=subprocess.DEVNULL)


def told(code: str) -> tuple[list[str], list[str]]:
    """What a few lines of Python print, with the packages here."""
    import json

    words = [sys.executable, "-c", code]
    found = subprocess.run(words, check=True, env=variables(), stdout=subprocess.PIPE)
    flags, folders = json.loads(found.stdout)
    return flags, folders


if __name__ == "__main__":
    sys.exit(main())
