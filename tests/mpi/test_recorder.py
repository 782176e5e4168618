"""Results files: the same by either writer, whole after each write, open to xarray, never lost."""

import shutil
import time

import h5py
import numpy as np
import pytest

from mpidl.components import placement
from mpidl.config.runfile import RecordSettings
from mpidl.ranks.node import Node
from mpidl.run.command import main
from mpidl.storage import layout, recorder, schema

pytestmark = pytest.mark.dealt

ROUNDS, CLASSES = 7, 3
WRITERS = ["parallel", "gather"] if h5py.get_config().mpi else ["gather"]


def value(key, round_, device):
    """What a device records: another number in each place, and never a number that fills."""
    variable = schema.SERIES[key]
    number = 1 + list(schema.SERIES).index(key) + 100 * device + 10_000 * round_
    return number + 0.25 * np.arange(CLASSES) if variable.dims[2:] else number


def create(comm, path, devices, series=tuple(schema.SERIES)):
    if comm.rank == 0:
        sizes = {"round": ROUNDS, "device": devices, "class": CLASSES}
        graph = {"W": np.eye(devices), "hops": np.arange(devices)}
        labels = {"class": ["cat", "dog", "äöü"]}
        chosen = {key: schema.SERIES[key] for key in series}
        contents = layout.Contents(sizes, chosen, {"graph": graph}, labels, {"note": "a test"})
        layout.create(path, contents)
    comm.Barrier()


def rows(devices):
    return [
        {key: np.array([value(key, r, d) for d in range(devices)], float) for key in schema.SERIES}
        for r in range(ROUNDS)
    ]


def record(comm, path, hosts, writer, every=3, series=tuple(schema.SERIES), rounds=ROUNDS, nodes=1):
    """Write a whole file in one way, on so many nodes."""
    create(comm, path, len(hosts), series)
    inner = comm.Split(comm.rank % nodes, comm.rank)
    node = Node(comm, inner)
    book = recorder.Recorder(
        node, path, hosts, RecordSettings(every=every, seconds=1e9), writer == "parallel"
    )
    for row in rows(len(hosts))[:rounds]:
        book.record(row, now=False)
    book.close(completed=rounds == ROUNDS)
    node.close()
    inner.Free()


def everything(path):
    """Every attribute and every byte of a file, by path."""
    found = {}

    def keep(key, item):
        for name, attribute in item.attrs.items():
            if name not in ("DIMENSION_LIST", "REFERENCE_LIST"):
                found[f"{key}@{name}"] = np.asarray(attribute).tolist()
        if isinstance(item, h5py.Dataset):
            dims = [[scale.name for scale in dim.values()] for dim in item.dims]
            found[key] = str(item.dtype), item.shape, dims, np.asarray(item[()]).tobytes()
            if item.dtype == object:
                found[key] = item.asstr()[()].tolist()

    with h5py.File(path, "r") as file:
        keep("", file)
        file.visititems(keep)
    return found


@pytest.mark.parametrize("series", [tuple(schema.SERIES), ("train_loss", "bytes_sent")], ids=len)
@pytest.mark.parametrize("every", [3, 100])
@pytest.mark.parametrize("hosting", ["blocks", "round_robin"])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("nodes", [1, 3])
def test_every_value_is_in_its_place(
    comm, shared_path, read, nodes, writer, hosting, every, series
):
    devices = 2 * comm.size + 1
    path, hosts = shared_path / "run.h5", placement.hosts(hosting, devices, comm.size)
    record(comm, path, hosts, writer, every, series, nodes=nodes)
    found = read(path)
    assert (found["rounds_done"], found["completed"]) == (ROUNDS, 1)
    assert {key.removeprefix("series/") for key in found if key.startswith("series/")} == {
        *series,
        *(dim for key in series for dim in schema.SERIES[key].dims),
    }
    for key in series:
        want = [[value(key, r, d) for d in range(devices)] for r in range(ROUNDS)]
        np.testing.assert_array_equal(found[f"series/{key}"], want)


@pytest.mark.skipif("parallel" not in WRITERS, reason="this h5py was built without MPI")
def test_either_writer_makes_the_same_file(comm, shared_path):
    hosts = placement.hosts("round_robin", 2 * comm.size + 1, comm.size)
    files = {}
    for writer in WRITERS:
        record(comm, shared_path / f"{writer}.h5", hosts, writer)
        files[writer] = everything(shared_path / f"{writer}.h5")
    assert files["parallel"] == files["gather"]
    assert len(files["parallel"]) > 3 * len(schema.SERIES)


@pytest.mark.skipif("parallel" not in WRITERS, reason="this h5py was built without MPI")
def test_either_writer_makes_the_same_file_of_a_run(comm, shared_path, program):
    """All but when and how long, and what the run file says of the writer."""
    found = []
    for writer in WRITERS:
        settings = [f"topology.devices={2 * comm.size + 1}", "training.rounds=3", "record.every=2"]
        program(*settings, f"record.writer={writer}", name=writer)
        whole = everything(shared_path / f"{writer}.h5")
        assert f'writer = "{writer}"' in whole.pop("@run_file")
        del whole["@started"]
        found.append({k: v for k, v in whole.items() if "seconds_" not in k or "@" in k})
    assert found[0] == found[1]


@pytest.mark.parametrize("writer", WRITERS)
def test_only_whole_rows_are_counted(comm, shared_path, read, writer):
    """What is on the disk after each round, seen through a copy, as after a power cut."""
    path, copy = shared_path / "run.h5", shared_path / "copy.h5"
    create(comm, path, comm.size)
    node = Node(comm)
    book = recorder.Recorder(
        node, path, np.arange(comm.size), RecordSettings(every=3, seconds=1e9), writer == "parallel"
    )
    for done, row in enumerate(rows(comm.size), start=1):
        book.record(row, now=done == 5)
        comm.Barrier()
        if comm.rank == 0:
            shutil.copy(path, copy)
            found = read(copy)
            whole = {1: 0, 2: 0, 3: 3, 4: 3, 5: 5, 6: 5, 7: 5}[done]
            assert (found["rounds_done"], found["completed"]) == (whole, 0)
            for key in schema.SERIES:
                want = [[value(key, r, d) for d in range(comm.size)] for r in range(whole)]
                written = found[f"series/{key}"]
                np.testing.assert_array_equal(written[:whole].tolist(), want)
                rest, integers = written[whole:], written.dtype.kind == "i"
                empty = rest == -1 if integers else np.isnan(rest)
                assert empty.all()
        comm.Barrier()
    book.close(completed=True)
    node.close()
    found = read(path)
    assert (found["rounds_done"], found["completed"]) == (ROUNDS, 1)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_run_that_stops_early_is_readable_and_not_completed(comm, shared_path, read, writer):
    path = shared_path / "run.h5"
    record(comm, path, np.arange(comm.size), writer, every=3, rounds=5)
    found = read(path)
    assert (found["rounds_done"], found["completed"]) == (5, 0)
    assert np.isfinite(found["series/train_loss"][:5]).all()
    assert np.isnan(found["series/train_loss"][5:]).all()


def test_a_recorder_says_when_rows_wait_too_long(comm, shared_path):
    create(comm, shared_path / "run.h5", comm.size)
    node = Node(comm)
    book = recorder.Recorder(
        node,
        shared_path / "run.h5",
        np.arange(comm.size),
        RecordSettings(every=100, seconds=0.05),
        False,
    )
    book.write()
    assert not book.overdue
    time.sleep(0.06)
    assert book.overdue == (comm.rank == 0)
    book.record(rows(comm.size)[0], now=True)
    assert not book.overdue
    book.close(completed=False)
    node.close()


def test_rows_are_written_when_the_seconds_are_over(comm, parts, read):
    """Every round is overdue here, so every round is written although ten make a write."""
    from mpidl.run import rounds

    seen = []
    with parts(
        f"topology.devices={comm.size + 1}", "training.rounds=3", "record.seconds=1e-9"
    ) as made:
        rounds.run_rounds(
            made, lambda *_: seen.append(int(read(made.path)["rounds_done"])), lambda _: None
        )
    if comm.rank == 0:
        assert seen == [1, 2, 3]


# The layout --------------------------------------------------------------------------------------


def test_every_variable_has_its_unit_text_size_and_named_axes(comm, program, shared_path):
    devices, rounds = comm.size + 2, 3
    settings = f"topology.devices={devices}", f"training.rounds={rounds}"
    values = program(*settings, "topology.link_probability=0.5")
    path = shared_path / "run.h5"
    with h5py.File(path, "r") as file:
        edges = len(file["graph/edges"])
        sizes = {"round": rounds, "device": devices, "member": devices, "mode": devices}
        sizes |= {"class": 10, "edge": edges, "end": 2}
        assert file.attrs["schema"] == schema.VERSION
        assert {name for name in file if isinstance(file[name], h5py.Group)} == set(schema.GROUPS)
        for group, variables in schema.GROUPS.items():
            variables = usual(variables)
            scales = {dim for variable in variables.values() for dim in variable.dims}
            assert set(file[group]) == {*variables, *scales}
            for key, variable in variables.items():
                dataset = file[group][key]
                assert dataset.shape == tuple(sizes[dim] for dim in variable.dims)
                assert dataset.dtype == np.dtype(variable.dtype)
                assert dataset.attrs["units"] == variable.unit
                assert dataset.attrs["long_name"] == variable.text
                assert dataset.chunks is None
                for axis, dim in enumerate(variable.dims):
                    (scale,) = dataset.dims[axis].values()
                    assert scale.name == f"/{group}/{dim}"
                    assert len(scale) == sizes[dim]
    if comm.rank == 0:
        for group in schema.GROUPS:
            open_with_xarray(path, group, devices, values)


def usual(variables):
    """Those that are recorded whatever the algorithm; graphs here have no names and weights."""
    special = {*schema.SPECIAL, "name", "weight"}
    return {key: variable for key, variable in variables.items() if key not in special}


def open_with_xarray(path, group, devices, values):
    """One call for each group gives arrays with named axes, units and labels."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    with xarray.open_dataset(path, group=group, engine="h5netcdf") as found:
        assert set(found.data_vars) == set(usual(schema.GROUPS[group]))
        assert found["device"].values.tolist() == list(range(devices))
        for key, variable in usual(schema.GROUPS[group]).items():
            assert found[key].dims == variable.dims
            assert found[key].attrs["units"] == variable.unit
            assert found[key].attrs["long_name"] == variable.text
            np.testing.assert_array_equal(found[key], values[f"{group}/{key}"])
        if group != "graph":
            assert found["class"].values.tolist() == list("0123456789")
        if group == "series":
            accuracy = found["iid_class_accuracy_mixed"]
            chosen = accuracy.sel({"class": "7", "device": 1, "round": 0})
            assert float(chosen) == values["series/iid_class_accuracy_mixed"][0, 1, 7]


# Files that are there already --------------------------------------------------------------------


def command(comm, folder, *arguments):
    settings = ["training.rounds=2", "training.steps=1", "data.train_samples=60"]
    settings += ["data.test_samples=20", f"topology.devices={comm.size + 3}"]
    arguments = [*arguments, "--out", str(folder)]
    return main([*arguments, *(part for s in settings for part in ("--set", s))])


def uncomplete(comm, path, rounds=1):
    """What a run leaves that was killed."""
    if comm.rank == 0:
        with h5py.File(path, "r+") as file:
            file[schema.COMPLETED][()] = 0
            file[schema.ROUNDS_DONE][()] = rounds
    comm.Barrier()


def test_a_completed_file_is_refused_and_overwritten_when_told(comm, shared_path, read, capsys):
    assert command(comm, shared_path) == 0
    before = everything(shared_path / "default.h5")
    with pytest.raises(SystemExit) as exit_:
        command(comm, shared_path, "--set", "training.seed=1")
    assert exit_.value.code == 2
    if comm.rank == 0:
        (sentence,) = capsys.readouterr().err.splitlines()
        assert str(shared_path / "default.h5") in sentence
        assert "--overwrite" in sentence
    assert [p.name for p in shared_path.iterdir()] == ["default.h5"]
    assert everything(shared_path / "default.h5") == before
    comm.Barrier()
    assert command(comm, shared_path, "--set", "training.seed=1", "--overwrite") == 0
    assert [p.name for p in shared_path.iterdir()] == ["default.h5"]
    assert read(shared_path / "default.h5")["completed"] == 1
    after = everything(shared_path / "default.h5")
    assert after["series/train_loss"] != before["series/train_loss"]


def test_an_unfinished_file_is_moved_aside_and_not_lost(comm, shared_path, read):
    path = shared_path / "default.h5"
    losses = []
    for attempt in range(3):
        assert command(comm, shared_path, "--set", f"training.seed={attempt}") == 0
        losses.append(read(path)["series/train_loss"])
        comm.Barrier()
        uncomplete(comm, path)
    names = ["default.h5", "default.unfinished-1.h5", "default.unfinished-2.h5"]
    assert sorted(p.name for p in shared_path.iterdir()) == names
    order = [losses[2], losses[0], losses[1]]
    for name, loss in zip(names, order, strict=True):
        found = read(shared_path / name)
        assert (found["rounds_done"], found["completed"]) == (1, 0)
        np.testing.assert_array_equal(found["series/train_loss"], loss)


def test_a_file_of_something_else_is_moved_aside_too(comm, shared_path, read):
    if comm.rank == 0:
        (shared_path / "default.h5").write_bytes(b"a diary")
    comm.Barrier()
    assert command(comm, shared_path) == 0
    assert read(shared_path / "default.h5")["completed"] == 1
    assert (shared_path / "default.unfinished-1.h5").read_bytes() == b"a diary"
