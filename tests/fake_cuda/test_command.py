"""The command on the fake GPU: it stops, goes on, and says what it cannot have."""

import signal
from functools import cache

import pytest

from tests.faults import jobs
from tests.faults.jobs import Job

pytestmark = [pytest.mark.fake_cuda, pytest.mark.slow]

SETTINGS = (
    *(setting for setting in jobs.SAVED if "accelerator" not in setting),
    *("topology.devices=6", "training.optimizer=adam", "network.delay=1"),
)


@pytest.fixture(scope="module")
def begin(fake, entry):
    """As ``begin(folder, ranks, *settings, options)``: the command on the fake GPU, begun."""

    def start(folder, ranks, *settings, options=()):
        words = (str(entry), "mpidl.run")
        return Job(folder, ranks, (*SETTINGS, *settings), words, options, 0)

    return start


@pytest.fixture(scope="module")
def whole(begin, tmp_path_factory):
    """As ``whole(setting)``: the numbers of a run that nobody stopped."""

    @cache
    def numbers(setting):
        job = begin(tmp_path_factory.mktemp("whole"), 2, setting)
        assert job.ended() == 0, job.err
        return jobs.contents(job.file)

    return numbers


@pytest.mark.parametrize(("first", "then", "batched"), [(1, 2, "no"), (2, 3, "yes"), (3, 1, "no")])
def test_a_run_that_was_stopped_by_a_signal_goes_on_as_if_it_had_not_been(
    begin, whole, tmp_path, first, then, batched
):
    setting = f"training.batched={batched}"
    stopped = begin(tmp_path, first, setting)
    stopped.wait_for("round 4/")
    stopped.signal(stopped.process.pid, signal.SIGUSR1)
    assert stopped.ended() == 75, stopped.err
    assert jobs.contents(stopped.file)["rounds_done"] < jobs.ROUNDS
    resumed = begin(tmp_path, then, setting, options=["--resume"])
    assert resumed.ended() == 0, resumed.err
    assert "goes on after round" in resumed.out
    found, want = jobs.contents(resumed.file), whole(setting)
    for key in want:
        if not key.startswith("series/bytes_"):
            assert found[key].tobytes() == want[key].tobytes(), key


def test_ranks_of_which_one_finds_no_gpu_are_refused(on_fake, tmp_path):
    ended = on_fake(2, "mpidl.run", "--out", str(tmp_path), FAKE_CUDA_LOST="1")
    assert ended.returncode == 2, ended.stdout
    (told,) = [line for line in ended.stdout.splitlines() if line.startswith("mpidl: ")]
    assert "cpu" in told
    assert "cuda" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", ["FAKE_CUDA_UNSHARED", "FAKE_CUDA_UNMAPPED"])
def test_memory_that_cannot_be_mapped_on_one_rank_has_auto_take_mpi(on_fake, tmp_path, fault):
    small = [part for setting in SETTINGS for part in ("--set", setting)]
    words = ("mpidl.run", *small, "--set", "network.delay=0", "--out", str(tmp_path))
    ended = on_fake(3, *words, **{fault: "2"})
    assert ended.returncode == 0, ended.stdout
    assert "exchange neighborhoods (" in ended.stdout
    assert "the fake GPU was told so" in ended.stdout
    ended = on_fake(3, *words, "--overwrite", "--set", "exchange.backend=ipc", **{fault: "2"})
    assert ended.returncode == 2, ended.stdout
    assert "mpidl: exchange.backend = 'ipc': " in ended.stdout


def test_memory_of_a_gpu_that_is_too_small_for_its_ranks_is_told_before_any_work(on_fake, tmp_path):
    words = ("mpidl.run", "--set", "topology.devices=6", "--out", str(tmp_path))
    ended = on_fake(2, *words, "--set", "model.hidden=[3000,1000]", FAKE_CUDA_MEMORY="2e7")
    assert ended.returncode == 2, ended.stdout
    assert "MB for its cuda, which 2 ranks share." in ended.stdout


@pytest.mark.parametrize(("ranks", "gpus"), [(1, "1"), (2, "1"), (3, "own")])
def test_the_exchange_passes_its_own_tests(on_fake, ranks, gpus):
    words = ("tests/mpi/test_accelerator.py", "-k", "cuda", "--all", "-p", "no:cacheprovider")
    ended = on_fake(ranks, "pytest", *words, FAKE_CUDA=gpus)
    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout
