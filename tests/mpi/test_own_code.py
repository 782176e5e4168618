"""Code of one's own in runs: the same on all ranks, recorded, compared, and told where it fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import mpidl
from mpidl import plan
from mpidl.config import plugins
from mpidl.config.faults import Fault, OwnError
from mpidl.config.own_code import Code
from mpidl.ranks import host, world
from mpidl.run import command, own_code

pytestmark = [pytest.mark.dealt, pytest.mark.usefixtures("forget")]

EXAMPLES = Path(__file__).parents[2] / "examples"

SMALL = (
    "training.epochs=1",
    "training.accelerator=cpu",
    "data.train_samples=120",
    "data.test_samples=60",
)

IDEAS = """
import numpy as np
import mpidl
@mpidl.strategy
def alike(view, /):
    count = len(view.members)
    return np.full(count, 1 / count)
"""


@pytest.fixture
def start(comm, shared_path):
    """As ``start(file, *settings, options=())``: the command on all ranks, made small."""

    def call(file, *settings, options=()):
        words = [f"--set={setting}" for setting in (*SMALL, *settings)]
        code = command.main([os.fspath(file), *words, *options, f"--out={shared_path}"])
        comm.Barrier()
        return code

    return call


@pytest.fixture
def put(comm, shared_path):
    """As ``put(place, text)``: the path of a file, of all ranks."""

    def write(place, text):
        path = shared_path / place
        if comm.rank == 0:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        comm.Barrier()
        return path

    return write


def recorded(path):
    with h5py.File(path, "r") as file:
        return json.loads(file.attrs["code"]), file.attrs["run_file"], file.attrs["code_sha256"]


def run_file(comm, use):
    return f"""
use = ["{use}"]
[topology]
name = "ring"
devices = {comm.size + 2}
[strategy]
name = "alike"
[checkpoint]
final = true
"""


def test_code_is_recorded_and_known_by_its_content(comm, shared_path, start, put, forget, capsys):
    put("ideas.py", IDEAS)
    file = put("mine.toml", run_file(comm, "ideas.py"))
    results = shared_path / "mine.h5"
    assert start(file, "training.rounds=1") == 0
    [code], text, digest = recorded(results)
    assert (code["name"], code["text"], code["round"]) == ("ideas.py", IDEAS, 0)
    assert 'use = [\n    "ideas.py",\n]' in text
    assert os.fspath(shared_path) not in text
    # The same code elsewhere is no difference.
    forget()
    put("more/ideas.py", IDEAS)
    put("mine.toml", run_file(comm, "more/ideas.py"))
    capsys.readouterr()
    assert start(file, "training.rounds=2", options=["--resume"]) == 0
    assert "before" not in capsys.readouterr().out
    assert recorded(results)[0] == [code]
    # Other code is told; the run goes on, and both are recorded.
    forget()
    put("more/ideas.py", f"{IDEAS}# and more\n")
    assert start(file, "training.rounds=3", options=["--resume"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    if comm.rank == 0:
        assert f"and was SHA-256 {code['sha256'][:12]}... before; the run goes on" in told
    [first, second], _, other = recorded(results)
    assert first == code
    assert (second["round"], second["text"]) == (2, f"{IDEAS}# and more\n")
    assert other != digest
    comm.Barrier()


def test_a_run_without_own_code_records_none(comm, shared_path, start):
    settings = "topology.name=ring", f"topology.devices={comm.size + 2}", "training.rounds=1"
    start(EXAMPLES / "own_strategy.toml", "strategy.name=unweighted", *settings, "name=used")
    assert len(recorded(shared_path / "used.h5")[0]) == 1
    code = command.main(
        [*(f"--set={s}" for s in (*SMALL, *settings, "name=plain")), f"--out={shared_path}"]
    )
    assert code == 0
    comm.Barrier()
    with h5py.File(shared_path / "plain.h5", "r") as file:
        assert not {"code", "code_sha256"} & {*file.attrs}
        assert "use" not in file.attrs["run_file"]
    comm.Barrier()


@pytest.mark.parametrize("name", ["own_strategy", "own_algorithm"])
def test_an_example_trains(comm, shared_path, start, name):
    devices = f"topology.devices={comm.size + 5}"
    assert start(EXAMPLES / f"{name}.toml", devices, "training.rounds=2") == 0
    with h5py.File(shared_path / f"{name}.h5", "r") as file:
        assert np.isfinite(file["series/iid_loss_mixed"][:]).all()
        assert json.loads(file.attrs["code"])[0]["name"] == f"{name}.py"
    comm.Barrier()


@pytest.mark.slow
def test_the_algorithm_of_the_example_is_dsgd_without_momentum(comm, shared_path, start):
    devices = f"topology.devices={comm.size + 2}"
    losses = []
    for name in ("slow_momentum", "dsgd"):
        plain = [f"name={name}", f"algorithm.name={name}"]
        plain += ["algorithm.beta=0"] * (name == "slow_momentum")
        start(EXAMPLES / "own_algorithm.toml", devices, "training.rounds=2", *plain)
        with h5py.File(shared_path / f"{name}.h5", "r") as file:
            losses.append(file["series/iid_loss_mixed"][:])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    comm.Barrier()


def test_code_that_differs_between_ranks_is_refused(comm):
    code = Code("ideas.py", "a" * 64), Code("pack", "b" * 64, version="1.0")
    own_code.check_same(comm, code)
    if comm.size == 1:
        return
    mine = code if comm.rank == 0 else (code[0], Code("pack", "b" * 64, version="1.1"))
    with pytest.raises(Fault) as fault:
        own_code.check_same(comm, mine)
    here = host.name()
    assert str(fault.value) == (
        f"pack is 1.0 (SHA-256 {'b' * 12}...) on {here} and 1.1 (SHA-256 {'b' * 12}...) on {here}; "
        "all nodes must have the same."
    )
    with pytest.raises(Fault, match=f"ideas.py is SHA-256 a+... on {here} and missing on {here}"):
        own_code.check_same(comm, code if comm.rank == 0 else ())


def test_a_check_from_a_program_refuses_code_that_differs(comm, monkeypatch):
    if comm.size == 1:
        pytest.skip("one rank does not differ")
    monkeypatch.setattr(plan, "codes", lambda file: [Code("ideas.py", str(comm.rank) * 64)])
    with pytest.raises(Fault, match=r"^ideas.py is SHA-256 0+... on .*; all nodes must have"):
        mpidl.check(communicator=comm, topology={"devices": comm.size})


def test_an_error_on_one_rank_is_an_error_on_all(comm, put):
    path = put("broken.py", "def call(): return 1 / 0\n")
    call = plugins.find(f"{path}:call")
    last = comm.rank == comm.size - 1
    with pytest.raises(OwnError) as error, world.agreed(comm):
        last and call()
    told = str(error.value).splitlines()
    assert told[1] == f'  File "{path}", line 1, in call'
    assert sum("ZeroDivisionError" in line for line in told) == 1


def test_an_error_in_a_builder_ends_the_command(comm, put, start, capsys):
    put("broken.py", "def net(shape, /):\n    raise KeyError('no net')\n")
    file = put("mine.toml", '[model]\nname = "broken.py:net"')
    with pytest.raises(SystemExit) as ended:
        start(file, f"topology.devices={comm.size + 2}")
    assert ended.value.code == 1
    told = comm.allgather(capsys.readouterr().err)
    assert told[0].splitlines()[0] == "mpidl: an error in code of one's own"
    assert told[0].splitlines()[-1] == "KeyError: 'no net'"
    assert not any(told[1:])


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True])
def test_a_file_is_run_once_for_all_ranks(comm, tmp_path, broken):
    if comm.size > 1:
        pytest.skip("starts its own ranks")
    (tmp_path / "ideas.py").write_text(f"print('read')\n{IDEAS}\n" + "1 / 0\n" * broken)
    words = ["mpiexec", "-n", "5", sys.executable, "-m", "mpidl.run", "--use", "ideas.py"]
    words += [f"--set={setting}" for setting in (*SMALL, "training.rounds=1")]
    ended = subprocess.run(
        [*words, "--set=topology.devices=5", "--set=strategy.name=alike"],
        cwd=tmp_path,
        env=host.unlaunched(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == int(broken), ended.stderr
    assert ended.stdout.splitlines().count("read") == 1
    assert ended.stderr.count("ZeroDivisionError") == int(broken)
