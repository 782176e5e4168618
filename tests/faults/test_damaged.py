"""Checkpoints, results files and data that are cut, flipped, or not what they should be."""

import gzip
import random
import shutil
import signal

from mpi4py import MPI

import numpy as np
import pytest

from tests.deal import slow_but
from tests.faults import jobs
from tests.faults.jobs import Job, Traces, at

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not jobs.MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

RANKS = 4


def killed_after_two_checkpoints(
    folder, settings=jobs.SAVED, name="mpidl.devices.device:Device.train"
):
    """Results of a run that was killed in round 9, with checkpoints after 3 and 6 rounds.

    The second one may not be whole in round 9 yet, where the disk is slow: then once more.
    """
    for attempt in range(5):
        place = folder / str(attempt)
        place.mkdir()
        job = Job(place, RANKS, settings, at(name, 3, 8, place))
        process = job.paused()
        job.signal(process, signal.SIGKILL)
        assert job.ended(jobs.SOON) != 0
        if (job.results / "default.checkpoints" / "00000006.hdf5").exists():
            return job.results
    pytest.fail("no checkpoint after 6 rounds")


@pytest.fixture(scope="session")
def killed(tmp_path_factory):
    """Results of a run that was killed."""
    return killed_after_two_checkpoints(tmp_path_factory.mktemp("killed"))


@pytest.fixture(scope="session")
def foreign(tmp_path_factory):
    """Results of a run with another seed that was killed."""
    settings = (*jobs.SAVED, "training.seed=9")
    return killed_after_two_checkpoints(tmp_path_factory.mktemp("foreign"), settings)


def flip(path, dice, first=0):
    """Turn one bit of a file around."""
    data = bytearray(path.read_bytes())
    place = dice.randrange(first, len(data))
    data[place] ^= 1 << dice.randrange(8)
    path.write_bytes(bytes(data))


def cut(path, share):
    """Leave only the beginning of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def hdf5_of_others(path):
    import h5py

    path.unlink()
    with h5py.File(path, "w") as file:
        file["temperature"] = np.arange(10.0)


CHECKPOINTS = {
    "empty": lambda path: cut(path, 0),
    "cut in its head": lambda path: cut(path, 0.02),
    "cut in its arrays": lambda path: cut(path, 0.9),
    "a bit of its head is flipped": lambda path: flip_at(path, 100),
    "a bit of its arrays is flipped": lambda path: flip_used(path),
    "of another program": hdf5_of_others,
    "text": lambda path: path.write_text("No checkpoint.\n" * 1000),
}


def flip_at(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def flip_used(path):
    """Turn around a bit in the middle of the largest array."""
    from mpidl.storage.checkpoint import heads

    head = heads.read(path)
    slab = max(head.saved.values(), key=lambda slab: slab.end(1) - slab.start)
    flip_at(path, (slab.start + slab.end(1)) // 2)


@pytest.mark.slow
@pytest.mark.parametrize("how", CHECKPOINTS)
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_taken(
    tmp_path, killed, resumed, table, how
):
    job = copied(killed, tmp_path)
    newest = job.results / "default.checkpoints" / "00000006.hdf5"
    CHECKPOINTS[how](newest)
    then = resumed(job, told=f"mpidl: {newest} ")
    assert "goes on after round 3" in job.out
    said = job.err.strip().replace(str(job.results), "DIR")
    table.add(f"newest checkpoint: {how}", "before `--resume`", RANKS, 0, then, None, said)


@pytest.mark.slow
def test_without_a_whole_checkpoint_the_run_begins(tmp_path, killed, resumed, table):
    job = copied(killed, tmp_path)
    for path in (job.results / "default.checkpoints").iterdir():
        cut(path, 0.5)
    then = resumed(job, told="mpidl: ")
    table.add(
        "all checkpoints: cut",
        "before `--resume`",
        RANKS,
        0,
        then,
        None,
        job.told()[0].replace(str(job.results), "DIR"),
    )


@pytest.mark.slow
def test_a_checkpoint_of_another_run_is_refused(tmp_path, killed, foreign, resumed, table):
    job = copied(killed, tmp_path)
    name = "default.checkpoints/00000006.hdf5"
    shutil.copy(killed / name, tmp_path / "kept")
    shutil.copy(foreign / name, job.results / name)
    refused = Job(tmp_path, RANKS, options=["--resume"])
    assert refused.ended() == 2
    (said,) = refused.told()
    assert said.startswith("mpidl: training.seed = 0: the run in ")
    shutil.copy(tmp_path / "kept", job.results / name)
    said = said.replace(str(job.results), "DIR")
    then = f"with the right one {resumed(job)}"
    table.add("newest checkpoint: of another run", "before `--resume`", RANKS, 2, then, None, said)


def copied(results, folder):
    """A copy of what a job left."""
    shutil.copytree(results, folder / "results")
    return Traces(folder, RANKS)


RESULTS = {
    "empty": lambda path: cut(path, 0),
    "cut": lambda path: cut(path, 0.5),
    "text": lambda path: path.write_text("No results.\n" * 1000),
    "of another program": hdf5_of_others,
    "its beginning is zeros": lambda path: path.write_bytes(bytes(512) + path.read_bytes()[512:]),
}


@pytest.mark.parametrize("how", slow_but(RESULTS, "cut"))
def test_a_damaged_results_file_is_moved_aside(tmp_path, killed, resumed, table, how):
    job = copied(killed, tmp_path)
    RESULTS[how](job.file)
    damaged = job.file.read_bytes()
    then = resumed(job)
    assert (job.results / "default.unfinished-1.h5").read_bytes() == damaged
    assert "goes on after round 6" in job.out
    then += ", and the old file is kept as `default.unfinished-1.h5`"
    table.add(f"results file: {how}", "before `--resume`", RANKS, 0, then)


@pytest.mark.slow
def test_a_results_file_of_another_run_is_moved_aside(tmp_path, killed, foreign, resumed, table):
    job = copied(killed, tmp_path)
    shutil.copy(foreign / "default.h5", job.file)
    then = resumed(job)
    assert (job.results / "default.unfinished-1.h5").exists()
    then += ", and the old file is kept as `default.unfinished-1.h5`"
    table.add("results file: of another run", "before `--resume`", RANKS, 0, then)


@pytest.mark.slow
def test_a_number_of_rounds_that_is_damaged_counts_no_row_that_nobody_wrote(
    tmp_path, killed, reference, table
):
    import h5py

    job = copied(killed, tmp_path)
    with h5py.File(job.file, "r+") as file:
        file["rounds_done"][()] = jobs.ROUNDS
    script = at("mpidl.devices.device:Device.train", 3, 0, tmp_path)
    again = Job(tmp_path, RANKS, script=script, options=["--resume"])
    again.paused()
    assert 6 <= jobs.check_rows(again.file, reference(RANKS)) < jobs.ROUNDS
    again.go()
    assert again.ended() == 0, again.err
    jobs.check_whole(again.file, reference(RANKS))
    then = "`--resume` counts only rows that were written: same numbers"
    table.add("results file: `rounds_done` is too high", "before `--resume`", RANKS, 0, then)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_whichever_bits_of_the_results_file_are_flipped(tmp_path, killed, resumed, table, seed):
    dice, job = random.Random(seed), copied(killed, tmp_path)
    for _ in range(1 + 20 * (seed % 2)):
        flip(job.file, dice)
    then = resumed(job)
    table.add("results file: 1 or 21 bits anywhere flipped", "before `--resume`", RANKS, 0, then)


def write_idx(folder):
    """Small files as MNIST has them."""
    dice = np.random.default_rng(0)
    for prefix, count in (("train", 80), ("t10k", 40)):
        pixels = dice.integers(256, size=(count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        size, side = count.to_bytes(4, "big"), (28).to_bytes(4, "big")
        images = folder / f"{prefix}-images-idx3-ubyte"
        images.write_bytes(b"\0\0\x08\x03" + size + side + side + pixels.tobytes())
        packed = gzip.compress(b"\0\0\x08\x01" + size + labels.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(packed)


@pytest.fixture(scope="session")
def mnist(tmp_path_factory):
    """The folder of the files, and the settings of a run on them."""
    folder = tmp_path_factory.mktemp("mnist")
    write_idx(folder)
    kept = [setting for setting in jobs.SAVED if not setting.startswith("data.")]
    return folder, (*kept, "data.name=mnist", f"data.dir={folder}")


@pytest.fixture(scope="session")
def killed_on_mnist(mnist, tmp_path_factory):
    """Results of a run on them that was killed."""
    return killed_after_two_checkpoints(tmp_path_factory.mktemp("on_mnist"), mnist[1])


DATA = {
    "training images: a pixel changes": ("train-images-idx3-ubyte", lambda p: flip_at(p, 5000)),
    "training images: cut": ("train-images-idx3-ubyte", lambda p: cut(p, 0.7)),
    "test images: a pixel changes": ("t10k-images-idx3-ubyte", lambda p: flip_at(p, 5000)),
    "training labels: a bit of the gzip file flips": (
        "train-labels-idx1-ubyte.gz",
        lambda p: flip_at(p, 20),
    ),
    "training labels: removed": ("train-labels-idx1-ubyte.gz", lambda p: p.unlink()),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", DATA)
def test_data_that_were_damaged_are_told_and_nothing_goes_on(
    tmp_path, mnist, killed_on_mnist, resumed, table, how
):
    (folder, settings), (name, damage) = mnist, DATA[how]
    job, kept = copied(killed_on_mnist, tmp_path), (folder / name).read_bytes()
    before = {p: p.read_bytes() for p in job.results.rglob("*") if p.is_file()}
    damage(folder / name)
    try:
        refused = Job(tmp_path, RANKS, settings, options=["--resume"])
        assert refused.ended() == 2
    finally:
        (folder / name).write_bytes(kept)
    assert all(line.startswith("mpidl: ") for line in refused.told())
    said = refused.told()[0]
    assert before == {p: p.read_bytes() for p in job.results.rglob("*") if p.is_file()}
    said = said.replace(str(job.results), "DIR").replace(str(folder), "DATA")
    then = f"with the right files {resumed(job, settings)}"
    table.add(f"data, {how}", "before `--resume`", RANKS, 2, then, None, said)


@pytest.mark.slow
@pytest.mark.parametrize("how", DATA)
def test_data_that_are_damaged_in_mid_run_change_nothing(tmp_path, mnist, reference, table, how):
    (folder, settings), (name, damage) = mnist, DATA[how]
    numbers, kept = reference(RANKS, settings), (folder / name).read_bytes()
    job = Job(tmp_path, RANKS, settings, at("mpidl.devices.device:Device.train", 3, 7, tmp_path))
    job.paused()
    damage(folder / name)
    try:
        job.go()
        assert job.ended() == 0, job.err
    finally:
        (folder / name).write_bytes(kept)
    assert job.told() == []
    jobs.check_whole(job.file, numbers)
    then = "goes on, as data are read once: same numbers"
    table.add(f"data, {how}", "mid-run", RANKS, 0, then)
