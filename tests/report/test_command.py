"""The command: what it prints, what it writes, and what it says to a wrong request."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpidl.report.__main__ import main
from mpidl.report.terminal import sparkline

Write = Callable[..., Path]
Capture = pytest.CaptureFixture[str]

RISING = np.linspace(0, 1, 5)[:, None] * np.ones(4)


@pytest.fixture
def study(write: Write, tmp_path: Path) -> Path:
    """Two strategies, two seeds."""
    folder = tmp_path / "study"
    for seed in range(2):
        for name, height in {"degree": 1.0, "unweighted": 0.5}.items():
            settings = [f"training.seed={seed}", f"strategy.name={name}"]
            write(folder / f"run-{name}-{seed}.h5", RISING * height, settings=settings)
    return folder


def test_without_flags_a_table_a_course_and_figures(
    write: Write, tmp_path: Path, capsys: Capture
) -> None:
    path = write(tmp_path / "run.h5", RISING)
    assert main([str(path)]) == 0
    told = capsys.readouterr().out
    (line,) = [
        line for line in told.splitlines() if line.strip().startswith("run ") and "5/5" in line
    ]
    assert line.split()[1:] == ["5/5", "▁▃▅▇█", "1.000", "1.000", "1.000", "0.500", "3"]
    assert "interval" not in told
    folder = tmp_path / "run-report"
    assert f"{folder}/: accuracy.png" in told
    assert len(list(folder.glob("*.png"))) >= 8


def test_nothing_in_a_name_reaches_the_terminal_as_more_than_text(
    write: Write, tmp_path: Path, capsys: Capture
) -> None:
    evil = "a\x1b]0;b\x07[red]\udcff"
    for seed in range(2):
        write(tmp_path / "runs" / f"{seed}.h5", RISING, settings=[f"training.seed={seed}"])
        (tmp_path / "runs" / f"{seed}.h5").rename(tmp_path / "runs" / f"{evil}{seed}.h5")
    (tmp_path / "runs" / f"{evil}.h5").write_text("nothing")
    assert main([str(tmp_path / "runs"), "--csv"]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told
    assert told.count(r"a\x1b]0;b\x07[red]\udcff") >= 3


def test_of_a_study_groups_and_runs_are_shown(study: Path, capsys: Capture) -> None:
    assert main([str(study), "--csv"]) == 0
    told = capsys.readouterr().out
    (group,) = [line for line in told.splitlines() if line.split()[:3] == ["-", "degree", "2"]]
    assert group.split()[3:] == ["0.500", "0.500", "0.500", "to", "0.500"]
    assert "with its 95 % interval" in " ".join(told.split())
    assert "run-unweighted-1" in told
    names = {path.name for path in (study / "report").iterdir()}
    tables = {"runs", "devices", "tidy", "groups", "ranking", "pairs", "relations"}
    assert names == {f"{table}.csv" for table in tables} | {"tidy.parquet"}


def test_each_product_is_made_when_asked_for(study: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    asked = ["--html", "--animate", "--paper", "--format", "svg", "--out", str(out)]
    assert main([str(study), *asked]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"report.html", "paper.csv", "run-degree-0.gif"} < names
    assert any(name.endswith(".svg") for name in names)
    assert not any(name.endswith((".png", ".parquet")) for name in names)
    assert (
        "Nothing to compare with arXiv 2505.11760: No run is on a graph" in capsys.readouterr().out
    )


def test_numbers_are_printed_as_json_and_nothing_else(study: Path, capsys: Capture) -> None:
    assert main([str(study), "--json", "--threshold", "0.75"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert told.err == ""
    assert [run["ood_area"] for run in found["runs"]] == [2.0, 2.0, 1.0, 1.0]
    assert [run["rounds_to_threshold"] for run in found["runs"]] == [4, 4, None, None]
    assert found["runs"][0]["curves"]["ood"] == {
        "rounds": [1, 2, 3, 4, 5],
        "mean": [0, 0.25, 0.5, 0.75, 1],
    }
    assert found["pairs"][0]["difference"] == pytest.approx(0.25)
    assert not (study / "report").exists()


def test_warnings_come_with_the_table(write: Write, tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path / "study/whole.h5", RISING)
    write(tmp_path / "study/half.h5", RISING, done=2, completed=False)
    (tmp_path / "study/text.h5").write_text("text")
    assert main([str(tmp_path / "study"), "--csv"]) == 0
    told = capsys.readouterr().out
    assert "! half: The run is unfinished: 2 of 5 rounds." in told
    assert "text.h5 is not a results file of mpidl: it is not an HDF5 file." in told
    assert main([str(tmp_path / "study"), "--csv", "--quiet"]) == 0
    assert all(line.startswith("! ") for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["FOLDER/none.h5"], "Cannot read results from FOLDER/none.h5: it does not exist."),
        (["FOLDER"], "There is no results file of mpidl in FOLDER."),
        (["FOLDER/text.h5"], "FOLDER/text.h5 is not a results file of mpidl"),
        (["RUN", "--threshold", "0"], "--threshold 0: must be above 0 and at most 1."),
        (["RUN", "--threshold", "nan"], "--threshold nan: must be above 0 and at most 1."),
        (["RUN", "--watch", "0"], "--watch 0: must be from 0.1 to 86,400 seconds."),
        (["RUN", "--watch", "--json"], "--json: must not be given with --watch"),
        (["RUN", "--watch", "--quiet"], "--quiet: must not be given with --watch"),
        (["RUN", "--watch", "--format", "svg"], "--format: must not be given with --watch"),
        (["a" * 300], "file name too long"),
        (["RUN", "--format", "bmp"], "invalid choice: 'bmp'"),
        (["RUN", "--out", "RUN"], "Cannot write to RUN: it is not a folder."),
        ([], "the following arguments are required: PATH"),
    ],
)
def test_a_wrong_request_is_one_sentence(
    write: Write, tmp_path: Path, capsys: Capture, arguments: list[str], sentence: str
) -> None:
    run = str(write(tmp_path / "run.h5", RISING)) if "RUN" in arguments else ""
    folder = tmp_path / "folder"
    folder.mkdir()
    if arguments != ["FOLDER"]:
        (folder / "text.h5").write_text("text")
    put = [one.replace("FOLDER", str(folder)).replace("RUN", run) for one in arguments]
    assert main(put) == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert sentence.replace("FOLDER", str(folder)).replace("RUN", run).lower() in line.lower()


def test_a_run_without_ood_data_is_reported(write: Write, tmp_path: Path, capsys: Capture) -> None:
    nothing = np.full((5, 4), np.nan)
    path = write(tmp_path / "run.h5", nothing, RISING, sources=(), settings=["ood.name=none"])
    assert main([str(path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " 5/5 " in line]
    assert line.split()[3:] == ["1.000", "1.000", "0.500", "3"]
    assert main([str(path), "--animate"]) == 2
    assert "There is nothing to animate: no run" in capsys.readouterr().err


def test_runs_that_cannot_move_are_left_out_of_animations(
    write: Write, tmp_path: Path, capsys: Capture
) -> None:
    for folder in ("a/b", "a_b"):
        write(tmp_path / f"study/{folder}/run.h5", RISING)
    write(tmp_path / "study/begun.h5", RISING, done=0, completed=False)
    assert main([str(tmp_path / "study"), "--animate", "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("*.gif"))) == 2
    assert "The run is unfinished: 0 of 5 rounds." in capsys.readouterr().out


def test_names_are_no_markup(write: Write, tmp_path: Path, capsys: Capture) -> None:
    for seed in range(2):
        for odd in ("x[/y]", "[red]$\\\\frac$"):
            name = f"odd-{seed}-{len(odd)}"
            settings = ["strategy.name=degree", f"training.seed={seed}"]
            path = write(tmp_path / f"{name}.h5", RISING, settings=settings)
            with h5py.File(path, "r+") as file:
                text = file.attrs["run_file"].replace('"degree"', f'"{odd}"')
                file.attrs["run_file"] = text
    out = tmp_path / "out [red] [/x]"
    assert main([str(tmp_path), "--format", "png", "--html", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "x[/y]" in told
    assert "[red]$\\frac$" in told
    assert "out [red] [/x]" in told


def test_a_reader_that_leaves_ends_the_report_quietly(study: Path) -> None:
    command = [sys.executable, "-m", "mpidl.report", study, "--json"]
    report = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert report.stdout is not None
    report.stdout.close()
    _, told = report.communicate()
    assert told == b""
    assert report.returncode == 128 + signal.SIGPIPE


def test_a_file_counts_once_however_it_is_reached(
    study: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "link.h5").symlink_to(study / "run-degree-0.h5")
    places = [study, study / "run-degree-0.h5", tmp_path / "link.h5"]
    assert main([*map(str, places), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 4


def test_sparklines() -> None:
    assert sparkline(np.array([0, 0.125, 0.5, 1.0])) == "▁▂▅█"
    assert sparkline(np.array([np.nan, 1.0])) == " █"
    assert sparkline(np.empty(0)) == ""
    assert sparkline(np.repeat([0.0, 1.0], 50), width=4) == "▁▁██"


def test_the_command_starts_neither_mpi_nor_torch(study: Path) -> None:
    code = (
        "import sys\n"
        "from mpidl.report.__main__ import main\n"
        "main([sys.argv[1], '--csv'])\n"
        "assert 'torch' not in sys.modules and 'parsl' not in sys.modules\n"
        "assert 'matplotlib' not in sys.modules\n"
        "mpi = sys.modules.get('mpi4py.MPI')\n"
        "assert mpi is None or not mpi.Is_initialized()\n"
    )
    subprocess.run([sys.executable, "-c", code, study], check=True, stdout=subprocess.DEVNULL)


def test_a_run_imports_nothing_of_the_report() -> None:
    code = (
        "import sys, mpidl.run.command\n"
        "heavy = {'matplotlib', 'pandas', 'xarray', 'pyarrow', 'jinja2', 'mpidl.storage.reader'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_packages_that_are_not_there_are_named(tmp_path: Path) -> None:
    code = (
        "import importlib.util, runpy\n"
        "there = importlib.util.find_spec\n"
        "gone = ('matplotlib', 'pandas')\n"
        "importlib.util.find_spec = lambda name, *a: None if name in gone else there(name, *a)\n"
        "runpy.run_module('mpidl.report', run_name='__main__')\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 2
    assert told.stderr == (
        "mpidl: The report needs matplotlib, pandas: pip install 'mpidl[report]'.\n"
    )
