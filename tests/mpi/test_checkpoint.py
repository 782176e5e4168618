"""A run that goes on from a checkpoint is the run that never stopped, bit for bit."""

import os
import shutil
import signal
from contextlib import contextmanager

from mpi4py import MPI

import h5py
import numpy as np
import pytest

from mpidl import plan
from mpidl.components.graphs import matcha
from mpidl.config.faults import Fault
from mpidl.config.outcome import Outcome
from mpidl.ranks import stopping
from mpidl.run import execution
from mpidl.storage import checkpoint
from tests.deal import slow_but

pytestmark = pytest.mark.dealt

ROUNDS, STOP = 7, 4
ASIDE = ("rows", "checksums")
"""Of a checkpoint: rows have times, and checksums follow from rows."""
SETTINGS = {
    "sgd": "checkpoint.every=3",
    "momentum": "training.momentum=0.9 checkpoint.every=1",
    "adam": "training.optimizer=adam checkpoint.keep=1",
    "reset": "training.optimizer=adamw training.optimizer_state=reset",
    "delayed": "exchange.mixing=delayed training.momentum=0.5",
    "sequential": "exchange.mixing=sequential strategy.name=random",
    "links": "topology.link_probability=0.6 training.participation=0.6 exchange.backend=mpi",
    "similarity": "strategy.name=degree_similarity schedule.name=cosine",
    "batched": "training.batched=yes training.optimizer=adam",
    "quasi_global": "algorithm.name=quasi_global_momentum training.participation=0.6",
    "consensus": "algorithm.order=consensus checkpoint.every=2",
    "combined_first": "algorithm.order=combine_then_adapt exchange.backend=mpi",
    "exact_diffusion": "algorithm.name=exact_diffusion strategy.name=metropolis_hastings",
    "tracking": "algorithm.name=gradient_tracking training.batched=yes",
    "push_sum": "algorithm.name=push_sum topology.link_probability=0.6 strategy.name=degree",
    "choco": "algorithm.name=choco algorithm.compressor=random_k schedule.name=oscillating",
    "relay_sum": "algorithm.name=relay_sum topology.name=star strategy.name=unweighted",
    "asynchronous": "algorithm.name=asynchronous strategy.name=random",
    "late": "network.delay=[0,3] network.leave=0.3 network.latency=1 network.jitter=0.5",
    "late_anew": "network.delay=[1,2] network.delay_draw=per_round training.batched=yes",
    "later_than_long": "network.delay=6 exchange.backend=mpi network.step_seconds=0.1",
    "attacked": "attack.name=noise network.delay=1 strategy.name=median attack.from_round=2",
    "late_momentum": "network.delay=2 algorithm.name=quasi_global_momentum exchange.backend=gloo",
    "epidemic": "topology.name=epidemic topology.degree=1 topology.link_probability=0.8",
    "matchings": "topology.name=random_matching exchange.backend=mpi training.momentum=0.5",
    "walk": "topology.name=mobility topology.refresh=3 exchange.mixing=delayed",
    "moment": "evaluation.moment=mixed",
    "by_place": "training.optimizer=torch.optim:Adagrad training.participation=0.6",
    "one_cycle": (
        "training.optimizer=torch.optim:Adam training.optimizer_settings={amsgrad=true} "
        "lr_schedule.name=torch.optim.lr_scheduler:OneCycleLR lr_schedule.max_lr=0.1 "
        "lr_schedule.total_steps=10000"
    ),
    "cycle_reset": (
        "training.optimizer=torch.optim:RMSprop training.optimizer_state=reset "
        "lr_schedule.name=torch.optim.lr_scheduler:CosineAnnealingWarmRestarts lr_schedule.T_0=9"
    ),
    "warmed": "lr_schedule.name=cosine lr_schedule.warmup=2 training.optimizer=adam",
    "reversed": "placement.hosts=round_robin record.writer=gather evaluation.every=3",
}


@pytest.fixture
def stop(monkeypatch):
    """Let the last rank be asked to stop, by a signal, while it is in a round."""
    near = stopping.Ends.near

    def after(round_):
        rounds = []

        def asked(self, saving):
            rounds.append(1)
            if len(rounds) == round_ and MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return near(self, saving)

        monkeypatch.setattr(stopping.Ends, "near", asked)

    return after


@pytest.fixture
def start(comm, shared_path, planned):
    """As ``start(name, *settings)``: collective; a run, on all ranks or the first; its code."""

    def go(name, *settings, resume=None, alone=False, rounds=ROUNDS):
        made = planned(f"training.rounds={rounds}", "checkpoint.final=true", *settings)
        path = shared_path / name / "run.h5"
        if comm.rank == 0:
            path.parent.parent.mkdir(exist_ok=True)
        comm.Barrier()
        code = None
        if not alone:
            code = execution.run(comm, made, path, overwrite=False, resume=resume)
        elif comm.rank == 0:
            made = plan.make(made.file, 1)
            code = execution.run(MPI.COMM_SELF, made, path, overwrite=False, resume=resume)
        comm.Barrier()
        return comm.bcast(code)

    return go


def test_a_completed_run_without_its_last_state_cannot_go_on_and_says_so(
    comm, start, shared_path, read, capsys
):
    path = shared_path / "done" / "run.h5"
    assert start("done", "checkpoint.final=false", rounds=2) == 0
    capsys.readouterr()
    with pytest.raises(Fault) as fault:
        start("done", resume="", rounds=3)
    (sentence,) = fault.value.sentences
    assert sentence.startswith(f"{path} holds the completed run of 2 rounds, without a checkpoint")
    assert "training.rounds = 3: checkpoint.final = true keeps one" in sentence
    assert capsys.readouterr().out == ""
    comm.Barrier()
    assert read(path)["rounds_done"] == 2


@pytest.mark.parametrize("who", ["first", "last"])
def test_a_rank_that_is_asked_while_it_starts_stops_all_and_touches_nothing(
    comm, start, shared_path, monkeypatch, who
):
    if comm.rank == {"first": 0, "last": comm.size - 1}[who]:
        monkeypatch.setattr(stopping, "asked", [signal.SIGTERM])
    assert start("early") == Outcome.STOPPED.code
    assert not (shared_path / "early").exists()


def test_a_rank_that_is_asked_while_parts_are_built_stops_all_before_a_round(
    comm, start, shared_path, monkeypatch, read
):
    from mpidl.run import build

    parts = build.parts

    @contextmanager
    def ask(*given):
        with parts(*given) as built:
            if comm.rank == comm.size - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            yield built

    with monkeypatch.context() as asking, stopping.listening(*stopping.WARNINGS):
        asking.setattr(build, "parts", ask)
        assert start("late") == Outcome.STOPPED.code
    comm.Barrier()
    assert read(shared_path / "late" / "run.h5")["rounds_done"] == 0
    assert start("late", resume="") == 0
    assert read(shared_path / "late" / "run.h5")["rounds_done"] == ROUNDS


def equal(first, second, ranks_too=True):
    """Compare all that does not depend on time in two folders of results."""
    with h5py.File(first / "run.h5") as one, h5py.File(second / "run.h5") as two:
        assert one["completed"][()] == two["completed"][()] == 1
        assert one["rounds_done"][()] == two["rounds_done"][()] == ROUNDS
        for key in one["series"]:
            if key.startswith("seconds_") or (key.startswith("bytes_") and not ranks_too):
                continue
            assert one[f"series/{key}"][()].tobytes() == two[f"series/{key}"][()].tobytes(), key
    last = f"run.checkpoints/{ROUNDS:08}.hdf5"
    with h5py.File(first / last) as one, h5py.File(second / last) as two:
        assert set(one) == set(two)
        for key in set(one) - set(ASIDE):
            assert one[key][()].tobytes() == two[key][()].tobytes(), key


QUICK = (
    "adam",
    "batched",
    "delayed",
    "late",
    "links",
    "push_sum",
    "reversed",
    "similarity",
    "sgd",
    "walk",
)


@pytest.mark.parametrize("name", slow_but(SETTINGS, *QUICK))
def test_a_continued_run_is_the_uninterrupted_one(comm, shared_path, start, stop, name):
    settings = [f"topology.devices={2 * comm.size + 1}", *SETTINGS[name].split()]
    settings.append("topology.allow_disconnected=true")
    assert start("whole", *settings) == 0
    stop(STOP)
    assert start("parts", *settings) == 75
    if comm.rank == 0:
        with h5py.File(shared_path / "parts/run.h5") as file:
            assert (file["rounds_done"][()], file["completed"][()]) == (STOP, 0)
    assert start("parts", *settings, resume="") == 0
    if comm.rank == 0:
        equal(shared_path / "whole", shared_path / "parts")
        with h5py.File(shared_path / "parts/run.h5") as file:
            assert file.attrs["resumed"] == str(STOP)
    comm.Barrier()


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("one_peer_exponential", ["strategy.name=unweighted"]),
        ("random_matching", ["strategy.name=unweighted"]),
        ("random_matching", ["strategy.name=federated", "network.delay=[0, 2]"]),
    ],
)
def test_a_run_on_a_graph_that_changes_goes_on_for_more_rounds(
    comm, shared_path, start, name, others
):
    """One round of it has fewer links than seven, and is the same graph all the same."""
    settings = [f"topology.devices={2 * comm.size + 3}", f"topology.name={name}", *others]
    settings.append("topology.allow_disconnected=true")
    assert start("whole", *settings) == 0
    assert start("parts", *settings, rounds=1) == 0
    assert start("parts", *settings, resume="") == 0
    if comm.rank == 0:
        equal(shared_path / "whole", shared_path / "parts")
    comm.Barrier()


def test_a_schedule_has_the_rounds_it_began_with(comm, shared_path, start):
    cosine = [f"topology.devices={comm.size}", "lr_schedule.name=cosine"]
    assert start("whole", *cosine) == 0
    assert start("parts", *cosine, rounds=2) == 0
    with pytest.raises(Fault, match=r"lr_schedule.rounds = 7 .* has 2"):
        start("parts", *cosine, resume="")
    assert start("longer", *cosine, "lr_schedule.rounds=7", rounds=2) == 0
    assert start("longer", *cosine, resume="") == 0
    if comm.rank == 0:
        equal(shared_path / "whole", shared_path / "longer")
    comm.Barrier()


@pytest.mark.parametrize("first_alone", [True, False])
@pytest.mark.parametrize("extra", ["training.optimizer=adam", "network.delay=[0,3]"])
def test_a_run_goes_on_with_another_number_of_ranks(
    comm, shared_path, start, stop, first_alone, extra
):
    if comm.size == 1:
        pytest.skip("takes two ranks")
    settings = [f"topology.devices={comm.size + 2}", extra]
    assert start("whole", *settings) == 0
    if first_alone:
        assert start("parts", *settings, alone=True, rounds=STOP) == 0
    else:
        stop(STOP)
        assert start("parts", *settings) == 75
    assert start("parts", *settings, resume="", alone=not first_alone) == 0
    if comm.rank == 0:
        equal(shared_path / "whole", shared_path / "parts", ranks_too=False)
    comm.Barrier()


def test_the_newest_are_kept_and_those_of_a_completed_run_removed(comm, shared_path, start, stop):
    settings = [f"topology.devices={comm.size}", "checkpoint.every=1", "checkpoint.keep=3"]
    stop(6)
    assert start("kept", *settings) == 75
    folder = shared_path / "kept/run.checkpoints"
    if comm.rank == 0:
        rounds = sorted(int(path.stem) for path in folder.iterdir())
        # While one is written, those that are due are left out.
        assert rounds[-1] == 6
        assert 1 <= len(rounds) <= 3
    comm.Barrier()
    assert start("kept", *settings, "checkpoint.final=false", resume="") == 0
    assert not folder.exists()


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_taken(
    comm, shared_path, start, stop, capfd
):
    settings = [f"topology.devices={comm.size}"]
    assert start("whole", *settings) == 0
    assert start("parts", *settings, rounds=2) == 0
    assert start("parts", *settings, rounds=5, resume="") == 0
    newest = shared_path / "parts/run.checkpoints/00000005.hdf5"
    capfd.readouterr()
    if comm.rank == 0:
        with h5py.File(newest) as file:
            at = file["vector"].id.get_offset() + 5
        whole = newest.read_bytes()
        newest.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
    comm.Barrier()
    assert start("parts", *settings, resume="") == 0
    err = capfd.readouterr().err
    if comm.rank == 0:
        told = "has a damaged vector of device 0; the checkpoint before it is tried."
        assert err == f"mpidl: {newest} {told}\n"
        equal(shared_path / "whole", shared_path / "parts")
        with h5py.File(shared_path / "parts/run.h5") as file:
            assert file.attrs["resumed"] == "2"
    comm.Barrier()


def test_a_checkpoint_alone_makes_the_results_file_again(comm, shared_path, start):
    settings = [f"topology.devices={comm.size}"]
    assert start("whole", *settings) == 0
    assert start("first", *settings, rounds=STOP) == 0
    for damage in ("removed", "truncated", "foreign", "of another run"):
        path = shared_path / damage / "run.h5"
        if comm.rank == 0:
            shutil.copytree(shared_path / "first", path.parent)
            if damage == "removed":
                path.unlink()
            elif damage == "truncated":
                path.write_bytes(path.read_bytes()[:-1000])
            elif damage == "foreign":
                path.write_bytes(b"nothing of ours")
            else:
                with h5py.File(path, "r+") as file:
                    file.attrs["run_file"] = file.attrs["run_file"].replace("lr = 0.1", "lr = 0.2")
                    file["completed"][()] = 0
        comm.Barrier()
        assert start(damage, *settings, resume="") == 0
        if comm.rank == 0:
            equal(shared_path / "whole", path.parent)
            aside = path.with_name("run.unfinished-1.h5")
            assert aside.exists() == (damage != "removed")
        comm.Barrier()


def test_rounds_beyond_the_checkpoint_stay(comm, shared_path, start, stop, monkeypatch):
    """Killed right after it went on, a run has lost no row that was there before."""
    settings = [f"topology.devices={comm.size}"]
    assert start("rows", *settings, rounds=5) == 0
    folder = shared_path / "rows/run.checkpoints"
    if comm.rank == 0:
        (folder / "00000005.hdf5").unlink()
    comm.Barrier()
    # An older checkpoint of the same run.
    assert start("older", *settings, rounds=2) == 0
    if comm.rank == 0:
        shutil.copy(shared_path / "older/run.checkpoints/00000002.hdf5", folder)
    comm.Barrier()
    stop(1)
    assert start("rows", *settings, resume="") == 75
    if comm.rank == 0:
        with h5py.File(shared_path / "rows/run.h5") as file:
            assert file["rounds_done"][()] == 5
            assert np.isfinite(file["series/train_loss"][:5]).all()
            assert np.isnan(file["series/train_loss"][5:]).all()
    comm.Barrier()


def test_without_a_checkpoint_the_run_begins_and_says_so(comm, shared_path, start, capfd):
    assert start("none", resume="") == 0
    out = capfd.readouterr().out
    if comm.rank == 0:
        folder = shared_path / "none/run.checkpoints"
        assert f"no complete checkpoint in {folder}; the run begins\n" in out
    assert start("none", resume="") == 0
    if comm.rank == 0:
        assert "nothing is left to do" in capfd.readouterr().out


def test_a_run_that_begins_moves_older_checkpoints_aside(comm, shared_path, start, stop):
    stop(2)
    assert start("anew") == 75
    assert start("anew") == 0
    if comm.rank == 0:
        names = {path.name for path in (shared_path / "anew").iterdir()}
        assert names == {
            *("run.h5", "run.checkpoints", "run.unfinished-1.h5", "run.unfinished-1.checkpoints")
        }
    comm.Barrier()


FAULTS = [
    (["training.lr=0.5"], "training.lr = 0.5: the run in {path} has 0.1; give the run file of"),
    (["strategy.name=random"], "strategy.name = 'random': the run in {path} has 'degree'; give"),
    (["topology.devices={more}"], "{path} is a checkpoint of another number of devices than"),
    (["training.rounds=2"], "training.rounds = 2: {path} has 4 rounds already."),
]


def test_a_checkpoint_of_another_run_is_refused(comm, shared_path, start, stop):
    stop(STOP)
    assert start("one", f"topology.devices={comm.size}") == 75
    path = shared_path / f"one/run.checkpoints/{STOP:08}.hdf5"
    before = sorted(shared_path.rglob("*"))
    for settings, sentence in FAULTS:
        given = [setting.format(more=comm.size + 1) for setting in settings]
        with pytest.raises(Fault) as fault:
            start("one", f"topology.devices={comm.size}", *given, resume="")
        (told,) = fault.value.sentences
        assert told.startswith(sentence.format(path=path))
        comm.Barrier()
        assert sorted(shared_path.rglob("*")) == before


def test_more_rounds_of_a_graph_that_changes_are_refused_where_links_are_late(comm, start, stop):
    settings = ["topology.devices=12", "topology.name=epidemic", "network.delay=1"]
    assert start("late", *settings, rounds=1) == 0
    with pytest.raises(Fault, match=r"another graph; .* its links are late, the same training.rou"):
        start("late", *settings, resume="")


def test_a_graph_that_another_version_drew_is_refused(start, stop, monkeypatch):
    """As MATCHA before its links were colored by rustworkx."""
    settings = ["topology.name=matcha", "strategy.name=given", "topology.devices=12"]
    stop(2)
    assert start("drawn", *settings) == 75
    colored = matcha.matchings
    monkeypatch.setattr(matcha, "matchings", lambda base: colored(base)[::-1])
    with pytest.raises(Fault, match=r"another graph; .* the version that drew it, mpidl [0-9.]+"):
        start("drawn", *settings, resume="")


def test_other_data_are_refused(comm, shared_path, start, stop, monkeypatch):
    from mpidl.devices import data

    stop(2)
    assert start("data") == 75
    cut = data.cut

    def other(*given):
        own, *rest = cut(*given)
        return {n: (inputs + 1, labels, mask) for n, (inputs, labels, mask) in own.items()}, *rest

    monkeypatch.setattr(data, "cut", other)
    with pytest.raises(Fault, match="its run had other data on device 0"):
        start("data", resume="")


def test_rows_of_other_series_are_refused(start, stop, monkeypatch):
    """As a version of mpidl that records more of them would leave."""
    from mpidl.run import build

    stop(2)
    assert start("rows") == 75
    width = build.width
    monkeypatch.setattr(build, "width", lambda of_run: width(of_run) + 1)
    with pytest.raises(Fault, match="the version of mpidl of its run"):
        start("rows", resume="")


def test_a_folder_without_checkpoints_is_refused(comm, shared_path, start):
    if comm.rank == 0:
        (shared_path / "empty").mkdir()
        (shared_path / "file").write_text("")
    comm.Barrier()
    for where in ("nowhere", "empty", "file"):
        with pytest.raises(Fault) as fault:
            start("out", resume=str(shared_path / where))
        wanted = "must hold a complete checkpoint" if where == "empty" else "must be a folder"
        assert wanted in str(fault.value)


def test_a_folder_may_be_named(comm, shared_path, start, stop):
    stop(STOP)
    assert start("here") == 75
    for where in ("here", "here/run.checkpoints"):
        name = f"there {len(where)}/new"
        assert start(name, resume=str(shared_path / where)) == 0
        if comm.rank == 0:
            with h5py.File(shared_path / name / "run.h5") as file:
                assert file.attrs["resumed"] == str(STOP)
        comm.Barrier()


def test_a_walltime_stops_the_run_in_time(comm, shared_path, planned):
    made = planned("training.rounds=1000000")
    path = shared_path / "run.h5"
    assert execution.run(comm, made, path, limit=stopping.CLOSING + 1.5) == 75
    comm.Barrier()
    assert list(checkpoint.folder(path).glob("*.hdf5"))


def lost(comm, shared_path, planned, *settings):
    """A run whose loss is not finite from some round on."""
    made = planned("training.lr=1e30", "training.rounds=5", *settings)
    code = execution.run(comm, made, shared_path / "run.h5")
    comm.Barrier()
    return code


def test_a_loss_that_is_not_finite_stops_the_run(comm, shared_path, planned, read, capfd):
    assert lost(comm, shared_path, planned) == 3
    found = read(shared_path / "run.h5")
    done = found["rounds_done"]
    assert 1 <= done < 5
    assert found["completed"] == 0
    finite = found["series/finite"]
    assert (finite[: done - 1] == 1).all()
    assert (finite[done - 1] == 0).any()
    assert (finite[done:] == -1).all()
    np.testing.assert_array_equal(
        np.isfinite(found["series/train_loss"][:done]), finite[:done] == 1
    )
    out = capfd.readouterr().out
    if comm.rank == 0:
        assert out.count("is not finite") == 1
        assert f"round {done}: the training loss of device" in out
        assert "stopped, as training.nonfinite says; the rounds so far are in" in out


def test_or_goes_on(comm, shared_path, planned, read, capfd):
    assert lost(comm, shared_path, planned, "training.nonfinite=continue") == 0
    found = read(shared_path / "run.h5")
    assert (found["rounds_done"], found["completed"]) == (5, 1)
    assert (found["series/finite"][-1] == 0).any()
    if comm.rank == 0:
        assert capfd.readouterr().out.count("is not finite") == 1


def test_who_does_not_take_part_is_not_lost(comm, shared_path, planned, read):
    made = planned("training.participation=0.5", "training.rounds=4")
    assert execution.run(comm, made, shared_path / "run.h5") == 0
    comm.Barrier()
    assert (read(shared_path / "run.h5")["series/finite"] == 1).all()


def test_a_run_that_cannot_save_its_state_stops_and_says_why(comm, planned, shared_path, capfd):
    """A file lies where the folder of its checkpoints should be."""
    path = shared_path / "run.h5"
    if comm.rank == 0:
        checkpoint.folder(path).write_text("")
    made = planned("training.rounds=5", "checkpoint.every=2")
    assert execution.run(comm, made, path) == Outcome.UNSAVED.code
    told = comm.bcast(capfd.readouterr().out)
    assert f"no checkpoint can be written ({checkpoint.folder(path)}: File exists)" in told
