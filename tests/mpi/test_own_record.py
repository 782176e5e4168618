"""What a loop of the caller's own records is a results file as any other."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import mpidl
from mpidl import Fault, Gossip
from mpidl.components.loggers import LOGGERS
from mpidl.ranks import claims
from mpidl.report import summary
from tests.mpi.test_library import handles

ROUNDS = 12


def loop(comm, path, rounds=None, every=2, turns=ROUNDS, **arguments):
    """Rounds of a loop, of which each second is recorded; the open Gossip."""
    model = np.full(5, float(comm.rank))
    gossip = Gossip(model, out=path, rounds=rounds, communicator=comm, **arguments)
    for turn in range(turns):
        gossip.mix()
        if turn % every == 0:
            gossip.record(loss=turn + comm.rank, accuracy=0.5, ood_accuracy=0.25, mine=-turn)
    return gossip


@pytest.mark.parametrize("rounds", [ROUNDS, None])
def test_rounds_are_rows_of_a_results_file(comm, shared_path, read, rounds):
    path = shared_path / "results" / "loop.h5"
    loop(comm, path, rounds).close()
    comm.Barrier()
    found = read(path)
    assert (found["rounds_done"], found["completed"]) == (ROUNDS, 1)
    assert len(found["series/round"]) >= ROUNDS
    own = np.arange(0.0, ROUNDS, 2)
    mine, loss = found["series/mine"][:ROUNDS], found["series/iid_loss_mixed"][:ROUNDS]
    np.testing.assert_array_equal(mine[::2], -own[:, None] + np.zeros(comm.size))
    np.testing.assert_array_equal(loss[::2], own[:, None] + np.arange(comm.size))
    assert np.isnan(mine[1::2]).all()
    assert np.isnan(loss[1::2]).all()
    assert (found["series/ood_accuracy_mixed"][:ROUNDS:2] == 0.25).all()
    assert (found["series/bytes_sent"][:ROUNDS] > 0).all() == (comm.size > 1)
    assert np.isfinite(found["series/consensus_distance"][:ROUNDS]).all()


def test_a_file_of_devices_that_share_ranks_has_the_distances_of_dense_mixing(
    comm, shared_path, read
):
    start = np.arange(2.0 * comm.size)[:, None]
    models = {i: start[i].copy() for i in (comm.rank, comm.size + comm.rank)}
    path = shared_path / "many.h5"
    with Gossip(models, out=path, communicator=comm) as gossip:
        gossip.mix()
        gossip.record(mine={number: number for number in models}, other=[1, 2])
        mixed = gossip._parts.mixing.matrix() @ start
    comm.Barrier()
    found = read(path)
    apart = np.abs(mixed - mixed.mean(axis=0))[:, 0]
    np.testing.assert_allclose(found["series/consensus_distance"][0], apart, atol=1e-12)
    np.testing.assert_array_equal(found["series/mine"][0], np.arange(2 * comm.size))
    np.testing.assert_array_equal(found["series/other"][0], np.repeat([1, 2], comm.size))


def test_wrong_values_and_files_are_refused_in_a_sentence(comm, shared_path):
    path = shared_path / "loop.h5"
    gossip = loop(comm, path, turns=1)
    for values, sentence in (
        ({"loss": 1.0}, r"was given loss; must be given accuracy, loss, mine, ood_accuracy"),
        ({"loss": "a", "accuracy": 1, "ood_accuracy": 1, "mine": 1}, "loss = 'a': must be a num"),
    ):
        with pytest.raises(Fault, match=sentence):
            gossip.record(**values)
    gossip.close()
    with pytest.raises(Fault, match="holds a completed run; give overwrite=True or another file"):
        Gossip(np.ones(3), out=path, communicator=comm)
    gossip = Gossip(np.ones(3), communicator=comm)
    with pytest.raises(Fault, match=r"^record\(\): Gossip was made without out"):
        gossip.record(loss=1)
    gossip.close()
    with Gossip(np.ones(3), out=path, overwrite=True, communicator=comm) as gossip:
        with pytest.raises(Fault, match=r"^record\(\): mix\(\) must be called before it"):
            gossip.record(loss=1)
        gossip.mix()
        with pytest.raises(Fault, match="'edges' as the name of a series: mpidl has that name"):
            gossip.record(edges=1)


@pytest.mark.slow
def test_an_interrupted_loop_leaves_a_file_that_readers_and_reports_take(comm, shared_path):
    path = shared_path / "loop.h5"
    with pytest.raises(Fault, match="enough"), loop(comm, path, every=1, turns=35):
        raise Fault("enough")
    comm.Barrier()
    run = mpidl.open(path)
    assert (run.attrs["rounds_done"], run.attrs["completed"], run.sizes["round"]) == (35, 0, 35)
    assert run["mine"].to_numpy()[:, 0].tolist() == [-turn for turn in range(35)]
    assert summary.read(path).numbers["iid_last"] == 0.5


def test_a_file_that_another_run_holds_is_refused_at_once(comm, shared_path):
    path, told = shared_path / "held.h5", "Another run writes"

    def lose():
        with pytest.raises(Fault, match=told):
            Gossip(np.zeros(3), out=path, communicator=comm)

    with claims.Hold(path) as other:
        if comm.rank == 0:
            other.take(False, print)
        comm.Barrier()
        lose()
        taken = handles()
        lose()
        assert handles() == taken
    assert not path.exists()


def test_a_loop_goes_on_where_another_run_took_its_file_meanwhile(comm, shared_path):
    path, told = shared_path / "new" / "held.h5", "Another run writes"

    def lose(hold):
        gossip = Gossip(np.zeros(3), out=path, communicator=comm)
        gossip.mix()
        if comm.rank == 0:
            hold.take(False, print)
        comm.Barrier()
        with pytest.raises(Fault, match=told):
            gossip.record(loss=1.0)
        gossip.mix()
        with pytest.raises(Fault, match=told):
            gossip.close()
        gossip.close()
        if comm.rank == 0:
            hold.release()
            path.parent.rmdir()
        comm.Barrier()

    lose(claims.Hold(path))
    taken = handles()
    lose(claims.Hold(path))
    assert handles() == taken


class Kept:
    """A logger that keeps what it gets."""

    def __init__(self, run):
        self.run, self.rounds, self.completed = run, {}, None

    def log(self, round_, values):
        """Keep values."""
        self.rounds[round_] = values

    def close(self, completed):
        """Keep how it ended."""
        self.completed = completed


def made_here(run, /):
    """A logger of this program."""
    made_here.made.append(Kept(run))
    return made_here.made[-1]


@pytest.mark.parametrize("given", ["name", "function"])
def test_rows_are_logged_on_the_first_rank(comm, shared_path, monkeypatch, given):
    made = []
    monkeypatch.setitem(LOGGERS, "kept", lambda run, /: made.append(Kept(run)) or made[-1])
    log = [made_here] if given == "function" else ["kept"]
    monkeypatch.setattr(made_here, "made", made, raising=False)
    loop(comm, shared_path / "logged.h5", turns=4, log=log).close()
    assert len(made) == (comm.rank == 0)
    for kept in made:
        assert (kept.run.name, kept.completed, [*kept.rounds]) == ("logged", True, [1, 2, 3, 4])
        assert kept.run.settings["topology.name"] == "ring"
        assert kept.rounds[3]["mine/mean"] == -2.0
        assert "mine/mean" not in kept.rounds[4]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"log": ["tensorbord"]}, "'tensorbord' is no logger; did you mean 'tensorboard'"),
        ({"log": "tensorboard"}, "record.log = 'tensorboard'"),
        ({"log": ["mlflow"], "out": None}, "^log: Gossip was made without out"),
    ],
)
def test_wrong_loggers_are_refused(comm, shared_path, arguments, sentence):
    given = {"out": shared_path / "logged.h5", **arguments}
    with pytest.raises(Fault, match=sentence):
        Gossip(np.zeros(3), **given, communicator=comm)


def test_a_file_in_the_home_folder_is_there(comm, shared_path, monkeypatch):
    monkeypatch.setenv("HOME", str(shared_path))
    with Gossip(np.zeros(3), out="~/mine.h5", communicator=comm) as gossip:
        gossip.mix()
        gossip.record(loss=1.0)
    comm.Barrier()
    assert (shared_path / "mine.h5").exists()


def level(view, /):
    """Equal weights."""
    return [1 / len(view.members)] * len(view.members)


@pytest.mark.usefixtures("forget")
def test_code_of_ones_own_is_recorded_as_of_a_run(comm, shared_path):
    source, text = shared_path / "ideas_of_a_loop.py", "def rate(round_, /):\n    return 1.0\n"
    if comm.rank == 0:
        source.write_text(text)
    comm.Barrier()
    path, plain = shared_path / "own.h5", shared_path / "plain.h5"
    loop(comm, path, strategy=level, schedule=f"{source}:rate", turns=2).close()
    loop(comm, plain, turns=2).close()
    comm.Barrier()
    codes = json.loads(mpidl.open(path).attrs["code"])
    found = {code["name"]: (code["sha256"], code["text"], code["round"]) for code in codes}
    here = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert found == {
        __name__: (here, "", 0),
        source.name: (hashlib.sha256(text.encode()).hexdigest(), text, 0),
    }
    assert len(mpidl.open(path).attrs["code_sha256"]) == 64
    assert not {"code", "code_sha256"} & {*mpidl.open(plain).attrs}
    comm.Barrier()
