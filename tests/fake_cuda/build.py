"""Compile the fake device, once for each torch, compiler and text of it.

torch asks for its devices once, while it is imported, so the device is loaded before it, and
nothing here imports torch.
"""

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

KNOWN = "2.13"
"""The torch whose inside the device fits."""

SOURCE = Path(__file__).with_name("device.cpp")

NAME = "fake_cuda_device"

FLAGS = ("-O1", "-g0", "-std=c++20", "-shared", "-fPIC", "-fvisibility=hidden")


def obstacle() -> str | None:
    """Why there can be no fake device here; None where it can be built."""
    found = _torch()
    if found["cuda"] or found["xpu"] or found["hip"]:
        return f"torch {found['__version__']} knows accelerators of its own"
    if not found["__version__"].startswith(f"{KNOWN}."):
        return f"the fake device knows torch {KNOWN}, and here is {found['__version__']}"
    if _compiler() is None:
        return "there is no C++ compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "there is no Python.h"
    return None


def _root() -> Path:
    """The folder of torch."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _torch() -> dict[str, Any]:
    """What torch tells of its version."""
    return runpy.run_path(str(_root() / "version.py"))


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX") or "g++") or shutil.which("c++")


def library() -> Path:
    """The compiled device, from the user's cache; the first who asks compiles, half a minute.

    Raises:
        RuntimeError: If it cannot be built here.
    """
    reason = obstacle()
    if reason is not None:
        raise RuntimeError(f"no fake GPU: {reason}")
    compiler = _compiler()
    assert compiler is not None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "mpidl")
    folder = cache / f"fake_cuda-{_key(compiler)}"
    built = folder / f"{NAME}.so"
    if built.exists():
        return built
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            half = built.with_suffix(".half")
            subprocess.run(_command(compiler, half), check=True)
            half.rename(built)
    return built


def _key(compiler: str) -> str:
    """What the compiled device depends on, in short."""
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    words = [_torch()["__version__"], str(_root()), sys.version, " ".join(FLAGS)]
    return hashlib.sha256(
        b"\0".join([*(word.encode() for word in words), version, SOURCE.read_bytes()])
    ).hexdigest()[:16]


def _command(compiler: str, out: Path) -> list[str]:
    include, libraries = _root() / "include", _root() / "lib"
    headers = [include, include / "torch/csrc/api/include", sysconfig.get_path("include")]
    return [
        compiler,
        *FLAGS,
        f"-DTORCH_EXTENSION_NAME={NAME}",
        *(f"-isystem{path}" for path in headers),
        str(SOURCE),
        "-o",
        str(out),
        f"-L{libraries}",
        *("-ltorch", "-ltorch_cpu", "-ltorch_python", "-lc10"),
        f"-Wl,-rpath,{libraries}",
    ]


def load() -> ModuleType:
    """The compiled device as a module; torch is imported.

    Raises:
        RuntimeError: If it cannot be built here, or torch is imported already.
    """
    path = library()
    if "torch" in sys.modules:
        raise RuntimeError("the fake device must be loaded before torch is imported")
    ctypes.CDLL(str(path))
    spec = importlib.util.spec_from_file_location(NAME, path)
    assert spec is not None
    assert spec.loader is not None
    import torch  # noqa: F401

    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
