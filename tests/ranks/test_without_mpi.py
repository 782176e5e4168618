"""Commands where no MPI library can be loaded, as on a login node without the module."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mpidl

ROOT = Path(mpidl.__file__).parents[1]

GONE = "libmpi.so.12: cannot open shared object file: No such file or directory"

BROKEN = {
    "mpi4py/__init__.py": "class rc: initialize, finalize = True, None",
    "mpi4py/MPI.py": f"raise RuntimeError('cannot load MPI library\\n{GONE}')",
    "h5py/__init__.py": f"raise ImportError('{GONE}')",
}
"""What stands in for packages whose library is not there."""

NEEDLESS = {
    "run --help": "--resume",
    "run --list --json": "barabasi_albert",
    "bench --help": "--megabytes",
    "topology ring --devices 4": "advice: ",
    "ensemble launch/studies/smoke --list": "smoke: 12 runs",
    "ensemble launch/studies/smoke --check": "each of them can be run",
    "datasets verify digits .": "comes with the program",
    "report --help": "--animate",
    "__main__ --help": "mpidl COMMAND --help says more",
    "__main__ --version": "mpidl ",
    "__main__ run --help": "usage: mpiexec -n N mpidl run [--set",
    "__main__ check --list": "barabasi_albert",
    "__main__ topology ring --devices 4": "advice: ",
    "__main__ study launch/studies/smoke --list": "smoke: 12 runs",
    "__main__ fetch digits --to .": "comes with the program",
    "__main__ verify digits .": "comes with the program",
    "__main__ report --help": "usage: mpidl report [-h]",
    "__main__ new --help": "usage: mpidl new [-h]",
    "__main__ bench --help": "usage: mpiexec -n N mpidl bench",
}
"""Commands that start no ranks and open no results file, and some of what they print."""

NEEDY = {
    "run": "MPI cannot be loaded",
    "bench mix": "MPI cannot be loaded",
    "report golden.h5": "h5py cannot be loaded",
}
"""Those that cannot do without, and what they say."""

ALL = """
import contextlib, io, json, runpy, sys

def told(command):
    module, *sys.argv[1:] = command.split()
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_module(f"mpidl.{module}", run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code or 0
    return code, out.getvalue(), err.getvalue()

json.dump({command: told(command) for command in sys.argv[1:]}, sys.__stdout__)
"""
"""Runs commands one after another in one process."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """Of each command its exit code, output and errors."""
    folder = tmp_path_factory.mktemp("broken")
    for name, text in BROKEN.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    golden = next((ROOT / "tests" / "golden").glob("*.h5"))
    needy = [command.replace("golden.h5", str(golden)) for command in NEEDY]
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    words = [sys.executable, "-c", ALL, *NEEDLESS, *needy]
    ran = subprocess.run(
        words, env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return dict(zip([*NEEDLESS, *NEEDY], json.loads(ran.stdout).values(), strict=True))


@pytest.mark.parametrize("command", NEEDLESS)
def test_a_command_that_starts_no_ranks_needs_no_mpi(command, told):
    code, out, err = told[command]
    assert (code, err) == (0, "")
    assert NEEDLESS[command] in out


@pytest.mark.parametrize("command", NEEDY)
def test_what_needs_mpi_says_in_one_sentence_how_to_get_it(command, told):
    code, out, err = told[command]
    assert (code, out) == (2, "")
    assert err.startswith(f"mpidl: {NEEDY[command]} ({GONE}): ")
    assert err.count("\n") == 1
    assert "pip install" in err
    assert "module" in err
