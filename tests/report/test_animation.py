"""The animation has a frame for each round, and never more than 3 MB."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mpidl.config.faults import Fault
from mpidl.report import animation
from mpidl.storage import reader
from tests.report.conftest import Write


def curve(rounds: int, devices: int) -> np.ndarray:
    return np.linspace(0, 1, rounds)[:, None] * np.linspace(1, 0.5, devices)


def test_there_is_a_frame_for_each_measured_round(tmp_path: Path, write: Write) -> None:
    run = reader.open(write(tmp_path / "run.h5", curve(5, 6)))
    path = animation.animate(run, tmp_path / "new/run.gif", seconds=2.0)
    with Image.open(path) as gif:
        assert gif.n_frames == 5
        frames, durations = [], []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            frames.append(np.asarray(gif.convert("RGB"), int))
            durations.append(gif.info["duration"])
        assert gif.info["loop"] == 0
    assert durations == [400] * 4 + [400 * animation.PAUSE]
    assert all(np.abs(one - two).sum() > 0 for one, two in itertools.pairwise(frames))
    again = animation.animate(run, tmp_path / "again.gif", seconds=2.0)
    assert again.read_bytes() == path.read_bytes()


def test_long_runs_keep_the_first_round_the_last_and_few_between(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(animation, "SIZES", ((7, 40),))
    run = reader.open(write(tmp_path / "run.h5", curve(200, 3)))
    with Image.open(animation.animate(run, tmp_path / "run.gif")) as gif:
        assert gif.n_frames == 7


def test_a_file_that_grows_too_large_is_made_smaller(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = reader.open(write(tmp_path / "run.h5", curve(4, 5)))
    sizes = ((4, 60), (2, 40))
    monkeypatch.setattr(animation, "SIZES", sizes[:1])
    large = animation.animate(run, tmp_path / "large.gif").stat().st_size
    monkeypatch.setattr(animation, "SIZES", sizes)
    monkeypatch.setattr(animation, "LIMIT", large - 1)
    path = animation.animate(run, tmp_path / "small.gif")
    assert path.stat().st_size < large
    with Image.open(path) as gif:
        assert gif.n_frames == 2


def test_many_devices_that_all_change_stay_under_three_megabytes(
    tmp_path: Path, write: Write
) -> None:
    knows = np.random.default_rng(0).random((6, 60))
    run = reader.open(write(tmp_path / "run.h5", knows))
    path = animation.animate(run, tmp_path / "run.gif")
    # With 80 frames of this kind instead of 6 it is still below.
    assert path.stat().st_size * 80 / 6 < animation.LIMIT == 3_000_000


def test_one_round_of_one_device_is_a_picture(tmp_path: Path, write: Write) -> None:
    run = reader.open(write(tmp_path / "run.h5", [[0.5]]))
    with Image.open(animation.animate(run, tmp_path / "run.gif")) as gif:
        assert gif.n_frames == 1


def test_what_was_not_measured_is_the_users_fault(tmp_path: Path, write: Write) -> None:
    none = reader.open(write(tmp_path / "none.h5", np.full((3, 4), np.nan), curve(3, 4)))
    with pytest.raises(Fault, match=r"none\.h5 has no OOD accuracy"):
        animation.animate(none, tmp_path / "run.gif")
    begun = reader.open(write(tmp_path / "begun.h5", curve(3, 4), done=0))
    with pytest.raises(Fault, match=r"begun\.h5 has no complete round,"):
        animation.animate(begun, tmp_path / "run.gif")
    run = reader.open(write(tmp_path / "run.h5", curve(3, 4)))
    with pytest.raises(Fault, match="-1 seconds"):
        animation.animate(run, tmp_path / "run.gif", seconds=-1)
    assert not list(tmp_path.glob("*.gif"))
