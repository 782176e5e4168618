"""The program ``mpidl``: what each of its commands starts, and what it says by itself."""

import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

from mpi4py import MPI

import h5py
import numpy as np
import pytest

from mpidl import __main__ as program
from mpidl.commands import COMMANDS
from mpidl.config import typed
from mpidl.config.faults import Parser
from mpidl.ranks import host

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")

ROOT = Path(program.__file__).parents[1]

BIN = Path(sys.executable).parent


@pytest.fixture
def started(monkeypatch):
    """What was started: modules, and the arguments that they see."""
    seen = []

    def start(module, run_name, alter_sys):
        assert (run_name, alter_sys) == ("__main__", True)
        seen.append((module, *sys.argv[1:]))
        raise SystemExit(0)

    monkeypatch.setattr(runpy, "run_module", start)
    monkeypatch.setattr(sys, "argv", ["mpidl"])
    monkeypatch.setattr(typed, "words", "")
    return seen


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_starts_a_module_with_its_arguments(name, started):
    with pytest.raises(SystemExit):
        program.main([name, "one", "--two"])
    [(module, *words)] = started
    assert words == [*COMMANDS[name].words, "one", "--two"]
    folder = importlib.util.find_spec(module).submodule_search_locations
    assert folder is None or importlib.util.find_spec(f"{module}.__main__")


@pytest.mark.parametrize(
    ("name", "prog", "shown"),
    [
        ("run", "mpiexec -n N python -m mpidl.run", "mpiexec -n N mpidl run"),
        ("study", "python -m mpidl.ensemble", "mpidl study"),
        ("fetch", "python -m mpidl.datasets", "mpidl"),
        ("fetch", "python -m pytest", "python -m pytest"),
    ],
)
def test_a_usage_line_has_what_was_typed(name, prog, shown, started):
    assert Parser(prog=prog).prog == prog
    with pytest.raises(SystemExit):
        program.main([name])
    assert Parser(prog=prog).prog == shown


@pytest.mark.parametrize(
    ("word", "meant"), [("rnu", "run"), ("reports", "report"), ("--versoin", "--version")]
)
def test_a_misspelled_command_is_told_with_the_nearest_one(word, meant, capsys):
    assert program.main([word, "--help"]) == 2
    assert capsys.readouterr().err == (
        f"mpidl: Unknown command {word!r}; did you mean {meant!r}?\n"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_a_fault_alike(name, capsys):
    main = importlib.import_module(COMMANDS[name].parser).main
    try:
        code = main([*COMMANDS[name].words, "--format"])
    except SystemExit as end:
        code = end.code
    assert code == 2
    err = capsys.readouterr().err
    assert re.fullmatch(r"mpidl: [A-Z].*; see python -m mpidl\.\w+( \w+)? --help\.\n", err)


def test_its_page_has_every_command():
    page = (ROOT / "docs" / "command.md").read_text()
    rows = re.findall(r"^\| `mpidl (\w+)` \| `python -m ([^`]*)` \|", page, re.MULTILINE)
    assert rows == [
        (name, " ".join([command.module, *command.words])) for name, command in COMMANDS.items()
    ]
    for name in COMMANDS:
        assert f"\n  {name} " in program.text()


def test_help_imports_next_to_nothing():
    tell = "import sys; sys.argv[1:] = ['--help']; from mpidl.__main__ import script; script(); "
    tell += "print(len(sys.modules), {'argparse', 'numpy', 'torch', 'mpi4py'} & {*sys.modules})"
    ran = subprocess.run(
        [sys.executable, "-S", "-c", tell], capture_output=True, text=True, check=True, cwd=ROOT
    )
    count, loaded = ran.stdout.splitlines()[-1].split(maxsplit=1)
    assert loaded == "set()"
    assert int(count) < 150


@pytest.fixture
def console(tmp_path):
    """The console script, as pip writes it."""
    path = tmp_path / "bin" / "mpidl"
    path.parent.mkdir()
    path.write_text(
        f"#!{sys.executable}\nimport sys\nfrom mpidl.__main__ import script\nsys.exit(script())\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.slow
def test_ranks_have_the_bits_of_the_other_command(console, tmp_path):
    (tmp_path / "ideas.py").write_text("def factor(time, /):\n    return 0.5\n")
    mpiexec = shutil.which("mpiexec", path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}")
    settings = ["training.rounds=2", "topology.devices=4", "lr_schedule.name=ideas:factor"]
    words = [word for setting in settings for word in ("--set", setting)]
    runs = []
    for ranks, out, command in (
        (4, "a", [console, "run"]),
        (4, "b", [sys.executable, "-m", "mpidl.run"]),
        (4, "c", [sys.executable, "-m", "mpidl", "run"]),
        (1, "d", [console, "run"]),
    ):
        start = [mpiexec, "-n", str(ranks)] if ranks > 1 else []
        subprocess.run(
            [*start, *command, *words, "--out", out],
            env=host.unlaunched(os.environ) | {"PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        runs.append(h5py.File(tmp_path / out / "default.h5"))
    first, *others = runs
    series = [name for name in first["series"] if not name.startswith(("seconds", "bytes"))]
    assert len(series) > 3
    for other in others:
        for name in series:
            assert np.array_equal(first["series"][name][:], other["series"][name][:])
    assert first.attrs["command"] == others[0].attrs["command"].replace("--out b", "--out a")
