"""Ranks that are killed or stopped in each phase of a run, really."""

import os
import random
import shutil
import signal
import time

from mpi4py import MPI

import pytest

from tests.faults import jobs
from tests.faults.jobs import Job, at

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not jobs.MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

PLACES = {
    "start-up: before MPI": ("mpidl.ranks.mpi_library:started", 0),
    "start-up: data": ("mpidl.devices.data:cut", 0),
    "start-up: models": ("mpidl.devices.building:make_devices", 0),
    "start-up: results file is laid out": ("mpidl.storage.layout:_variable", 20),
    "start-up: results file is put in place": ("os:replace", 0),
    "training": ("mpidl.devices.device:Device.train", 7),
    "evaluation": ("mpidl.run.rounds:test", 15),
    "exchange: at the gate": ("mpidl.exchange.slab:Shared.arrive", 7),
    "exchange: sharing": ("mpidl.exchange.slab:Shared.share", 7),
    "exchange: mixing": ("mpidl.exchange.slab:Shared.mix", 7),
    "recording: before a row": ("mpidl.storage.recorder:Recorder.record", 7),
    "recording: a series": ("mpidl.storage.recorder:Recorder._write", 40),
    "recording: before rows are counted": ("mpidl.storage.recorder:Recorder._mark", 3),
    "checkpointing: copying": ("mpidl.run.snapshot:Snapshot.take", 1),
    "checkpointing: laying out": ("mpidl.storage.checkpoint.sealed:lay_out", 1),
    "checkpointing: writing": ("mpidl.storage.checkpoint.sealed:write", 1),
    "checkpointing: before it is named": ("mpidl.storage.checkpoint.saver:Saver._publish", 1),
    "checkpointing: before old ones go": ("mpidl.storage.checkpoint.finder:sync", 1),
    "closing: before the last rows": ("mpidl.storage.recorder:Recorder.close", 0),
    "closing: before it is completed": ("mpidl.storage.recorder:Recorder._mark", 6),
    "closing: before checkpoints go": ("mpidl.storage.checkpoint.saver:Saver.discard", 0),
    "closing: after checkpoints went": ("mpidl.exchange.slab:Shared.close", 0),
}
"""Where a rank is hit: what it is about to call, and for which time."""

LEADER = {
    "start-up: results file is laid out",
    "start-up: results file is put in place",
    "recording: a series",
    "recording: before rows are counted",
    "checkpointing: laying out",
    "checkpointing: before it is named",
    "checkpointing: before old ones go",
    "closing: before it is completed",
}
"""Where only rank 0 comes along."""


def cases(usual):
    """Each place on rank 0 and on the last rank; those that are not usual are slow."""
    found = [(where, rank, 4) for where in PLACES for rank in (0, 3)]
    found += [("training", 4, 6), ("checkpointing: writing", 5, 6)]
    return [
        pytest.param(*case, marks=[] if case[:2] in usual else [pytest.mark.slow])
        for case in found
        if case[1] == 0 or case[0] not in LEADER
    ]


KILL = {("checkpointing: before it is named", 0)}


def in_words(where, rank):
    return f"{where}, rank {rank}"


@pytest.mark.parametrize(("where", "rank", "ranks"), cases(KILL))
def test_a_killed_rank_ends_the_job_and_the_run_goes_on(
    tmp_path, reference, resumed, table, where, rank, ranks
):
    place, call = PLACES[where]
    job = Job(tmp_path, ranks, script=at(place, rank, call, tmp_path))
    process = job.paused()
    # The others come as far as they can without it.
    time.sleep(0.5)
    struck = job.signal(process, signal.SIGKILL)
    code = job.ended(jobs.SOON)
    took = time.monotonic() - struck
    assert code != 0
    assert "Traceback" not in job.err
    said = job.told()
    assert len(said) <= 1
    if job.file.exists():
        jobs.check_rows(job.file, reference(ranks))
    table.add(
        "SIGKILL of a rank", in_words(where, rank), ranks, code, resumed(job), took, " ".join(said)
    )


STOP = {("training", 3)}

PATIENCE = 4.0


@pytest.mark.parametrize(
    ("where", "rank", "ranks"),
    [case for case in cases(STOP) if "before MPI" not in case.values[0]],
)
def test_a_stopped_rank_is_told_by_name_and_ends_the_job(
    tmp_path, reference, resumed, table, where, rank, ranks
):
    place, call = PLACES[where]
    script = at(place, rank, call, tmp_path)
    job = Job(tmp_path, ranks, script=script, options=["--patience", str(PATIENCE)])
    process = job.paused()
    struck = job.signal(process, signal.SIGSTOP)
    code = job.ended(PATIENCE + jobs.SOON)
    took = time.monotonic() - struck
    assert code != 0
    (said,) = job.told()
    assert said.startswith(f"mpidl: rank {rank} (process {process}, stopped by a signal) is late")
    assert said.endswith("; the job ends.")
    if job.file.exists():
        jobs.check_rows(job.file, reference(ranks))
    words = said.replace(str(process), "N")
    fault = f"SIGSTOP of a rank (`--patience {PATIENCE:.0f}`)"
    table.add(fault, in_words(where, rank), ranks, code, resumed(job), took - PATIENCE, words)


@pytest.mark.slow
def test_a_rank_that_is_stopped_and_goes_on_in_time_changes_nothing(tmp_path, reference, table):
    job = Job(
        tmp_path,
        4,
        script=at("mpidl.devices.device:Device.train", 3, 7, tmp_path),
        options=["--patience", "30"],
    )
    process = job.paused()
    job.signal(process, signal.SIGSTOP)
    job.go()
    time.sleep(5)
    job.signal(process, signal.SIGCONT)
    assert job.ended() == 0
    assert job.told() == []
    jobs.check_whole(job.file, reference(4))
    table.add("SIGSTOP of a rank for 5 s", "training, rank 3", 4, 0, "goes on: same numbers")


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["a stand-in", "the importer", "the importer's parent"])
def test_a_killed_helper_ends_the_job_and_the_run_goes_on(
    tmp_path, reference, resumed, table, victim
):
    job = Job(tmp_path, 4, script=at("mpidl.devices.device:Device.train", 3, 7, tmp_path))
    job.paused()
    struck = job.signal(max(jobs.roles(job)[victim]), signal.SIGKILL)
    code = job.ended(jobs.SOON)
    took = time.monotonic() - struck
    assert code != 0
    jobs.check_rows(job.file, reference(4))
    table.add(f"SIGKILL of {victim}", "training", 4, code, resumed(job), took, " ".join(job.told()))


@pytest.mark.slow
def test_a_killed_launcher_takes_all_ranks_along(tmp_path, reference, resumed, table):
    job = Job(tmp_path, 4, script=at("mpidl.devices.device:Device.train", 3, 7, tmp_path))
    job.paused()
    struck = job.signal(job.process.pid, signal.SIGKILL)
    job.go()
    code = job.ended(jobs.SOON)
    took = time.monotonic() - struck
    jobs.check_rows(job.file, reference(4))
    table.add("SIGKILL of mpiexec", "training", 4, code, resumed(job), took, " ".join(job.told()))


LONG = (*jobs.SMALL, "training.rounds=60", "checkpoint.every=2")


@pytest.mark.slow
def test_a_run_killed_at_random_moments_again_and_again_comes_to_the_same_end(
    request, tmp_path, reference, table
):
    # Where more than this folder is run, its options are not known.
    wanted = request.config.getoption("--cycles", default=3)
    dice, ranks, whole, kept = random.Random(1), 4, 0, 0
    kills: list[tuple[int, float]] = []
    numbers = reference(ranks, LONG)
    while len(kills) < wanted or not whole:
        last = len(kills) == wanted
        job = Job(tmp_path, ranks, LONG, options=["--resume"])
        began, moment = time.monotonic(), dice.uniform(0.1, 3.0)
        while job.process.poll() is None and (last or time.monotonic() - began < moment):
            time.sleep(0.01)
        if job.process.poll() is None:
            job.shared |= jobs.segments(tmp_path)
            own = set()
            try:
                found = jobs.roles(job)
                victim = dice.choice(found["a rank"] + found["a stand-in"])
                # What it is about to share, nobody else knows of.
                own = {name for name in jobs.segments_of(victim) if os.path.exists(name)}
                os.kill(victim, signal.SIGKILL)
            except (OSError, IndexError):
                # One has ended just now, or none has begun.
                os.kill(job.process.pid, signal.SIGKILL)
            struck = time.monotonic()
            job.shared -= own
            code = job.ended(jobs.SOON)
            took = time.monotonic() - struck
            stayed = {name for name in own if os.path.exists(name)}
            for name in stayed:
                os.unlink(name)
            kept += bool(stayed)
            assert "Traceback" not in job.err, job.err
            if job.file.exists():
                jobs.check_rows(job.file, numbers)
            # Else the kill came when all was done.
            assert code or jobs.contents(job.file)["completed"]
            kills.append((code, took))
            continue
        assert job.ended() == 0, job.err
        jobs.check_whole(job.file, numbers)
        left = sorted(entry.name for entry in job.results.iterdir() if entry != job.file)
        assert [name for name in left if not name.startswith("default.unfinished-")] == []
        shutil.rmtree(job.results)
        whole += 1
    fault = "SIGKILL of any rank at a random moment, then `--resume`, again and again"
    for code, took in kills:
        then = f"`--resume`: {whole} runs came to their end in between, each with the same numbers"
        behind = f"in {kept} of them shared memory of a rank killed while MPI started"
        table.add(fault, "anywhere", ranks, code, then, took, left=behind if kept else "nothing")
