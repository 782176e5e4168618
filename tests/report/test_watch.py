"""A report that follows its runs."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpidl.report.products import Wanted
from mpidl.report.shelf import Shelf
from mpidl.report.watch import Watch
from mpidl.storage import schema

Write = Callable[..., Path]
CURVE = np.linspace(0, 1, 4)[:, None] * np.ones(3)


def test_page_and_tables_follow_a_run(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    out = tmp_path / "out"
    watch = Watch([folder], out, Wanted(), Shelf())
    assert not watch.look(5)
    assert "no results yet" in capsys.readouterr().out
    path = write(folder / "run.h5", CURVE, done=2, completed=False)
    assert watch.look(5)
    assert "0 of 1 runs completed, 2 rounds" in capsys.readouterr().out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "2 of 4 rounds" in page
    assert not watch.look(5)
    with h5py.File(path, "r+") as file:
        file["series/ood_accuracy_mixed"][2:] = CURVE[2:]
        file[schema.ROUNDS_DONE][()] = 4
        file[schema.COMPLETED][()] = 1
    assert watch.look(5)
    assert "1 of 1 runs completed, 4 rounds" in capsys.readouterr().out
    assert "2 of 4 rounds" not in (out / "report.html").read_text(encoding="utf-8")
    assert len((out / "tidy.csv").read_text(encoding="utf-8").splitlines()) == 1 + 4 * 3


@pytest.mark.slow
def test_a_watch_over_a_going_run_disturbs_neither(tmp_path: Path) -> None:
    # The report opens the file again and again while its run writes after every round.
    report = subprocess.Popen(
        [sys.executable, "-m", "mpidl.report", tmp_path, "--watch", "0.1", "--out", tmp_path / "o"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Tests that run behind a shell have Ctrl-C turned off, and so what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        settings = ["training.rounds=12", "topology.devices=4", "record.every=1", "name=going"]
        command = [sys.executable, "-m", "mpidl.run", "--out", str(tmp_path)]
        for setting in settings:
            command += ["--set", setting]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        deadline = time.monotonic() + 60
        page = tmp_path / "o/report.html"
        # What is waited for is the page of the whole run, however long that takes to be made.
        while time.monotonic() < deadline and not (
            page.exists() and re.search("12(/| of )12", page.read_text(encoding="utf-8"))
        ):
            time.sleep(0.2)
        assert report.poll() is None
    finally:
        report.send_signal(signal.SIGINT)
        told, _ = report.communicate(timeout=60)
    assert "1 of 1 runs completed, 12 rounds" in told
    assert "Traceback" not in told
    assert report.returncode == 128 + signal.SIGINT


def test_ctrl_c_lets_a_look_be_finished_and_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a destructor Python would print KeyboardInterrupt and go on."""
    # Other tests of this process need not give way.
    monkeypatch.setattr("os.nice", lambda _: 0)
    watch = Watch([tmp_path], tmp_path, Wanted(), Shelf())
    ends: list[int] = []

    class Struck:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def look(seconds: float) -> bool:
        Struck()
        ends.append(1)
        return True

    monkeypatch.setattr(watch, "look", look)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            watch.go_on(60)
        assert ends == [1]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
