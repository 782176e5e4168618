"""Results files as labelled arrays: whole, unfinished, damaged, and of every released schema."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import mpidl
from mpidl.config.faults import Fault
from mpidl.report import summary
from mpidl.storage import reader, runs, schema

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of the file of the newest schema: 4 devices, 3 rounds."""
    return Path(shutil.copy(GOLDEN / f"schema-{schema.VERSION}.h5", tmp_path / "run.h5"))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("schema-*.h5")), ids=lambda path: path.stem)
def test_every_released_schema_opens(path: Path) -> None:
    run = mpidl.open(path)
    assert run.attrs["schema"] == int(path.stem.rpartition("-")[2])
    assert run.sizes["round"] == run.attrs["training.rounds"] == 3
    assert run.sizes["device"] == run.attrs["topology.devices"] == 4
    last = run.ood_accuracy_mixed.isel(round=-1)
    assert float(last.groupby("hops").mean().sel(hops=0)) == float(last[run.source == 1].mean())


def test_there_is_a_file_of_every_schema() -> None:
    assert len(list(GOLDEN.glob("schema-*.h5"))) == schema.VERSION


def test_everything_in_the_file_is_there_with_names_and_units(golden: Path) -> None:
    run = mpidl.open(golden)
    with h5py.File(golden) as file:
        for group, layouts in schema.GROUPS.items():
            for name in set(file[group]) & set(layouts):
                found = run[name]
                np.testing.assert_array_equal(found.to_numpy(), file[group][name][()])
                assert found.dims == layouts[name].dims
                assert found.attrs == {
                    "long_name": layouts[name].text,
                    "units": layouts[name].unit,
                }
    assert list(run["class"].to_numpy()) == [str(digit) for digit in range(10)]
    assert {"hops", "source", "rank"} <= set(run.coords)


def test_settings_are_attributes(golden: Path) -> None:
    run = mpidl.open(golden)
    assert run.attrs["strategy.name"] == "degree"
    assert run.attrs["training.betas"] == [0.9, 0.999]
    assert run.attrs["path"] == str(golden)
    assert run.attrs["completed"] == 1
    assert reader.settings(golden)[0]["topology.allow_disconnected"] is False


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_a_dataset_can_be_saved_as_netcdf(golden: Path, tmp_path: Path, engine: str) -> None:
    import xarray as xr

    with h5py.File(golden, "r+") as file:
        file.attrs["run_file"] += "\n[network]\noutages = [[1, 0, 2]]\n"
        names = [f"Zürich {device}" for device in range(len(file["graph/hops"]))]
        file["graph"].create_dataset("name", data=names, dtype=h5py.string_dtype())
    run = mpidl.open(golden)
    assert run["name"].to_numpy().tolist() == names
    run.to_netcdf(tmp_path / "run.nc", engine=engine)
    with xr.open_dataset(tmp_path / "run.nc", engine=engine) as again:
        xr.testing.assert_equal(run, again.load())


def test_only_whole_rounds_are_read(golden: Path) -> None:
    with h5py.File(golden, "r+") as file:
        file[schema.ROUNDS_DONE][()] = 2
        file[schema.COMPLETED][()] = 0
    run = mpidl.open(golden)
    assert run.sizes["round"] == 2
    assert (run.attrs["rounds_done"], run.attrs["completed"]) == (2, 0)
    with h5py.File(golden, "r+") as file:
        file[schema.ROUNDS_DONE][()] = 0
    assert mpidl.open(golden).sizes["round"] == 0


def test_some_variables_can_be_chosen(golden: Path) -> None:
    run = reader.open(golden, ["edges"])
    assert list(run.data_vars) == ["edges"]
    assert "round" not in run.dims


def test_a_file_is_read_while_it_is_written(golden: Path) -> None:
    # A second process, as HDF5 shares what one process has open.
    code = "import sys, mpidl; print(mpidl.open(sys.argv[1]).sizes['round'])"
    with h5py.File(golden, "r+", locking=True) as file:
        file[schema.ROUNDS_DONE][()] = 1
        file.flush()
        told = subprocess.run(
            [sys.executable, "-c", code, str(golden)], capture_output=True, text=True, check=True
        )
        file[schema.ROUNDS_DONE][()] = 3
    assert told.stdout.strip() == "1"
    assert mpidl.open(golden).sizes["round"] == 3


def refused(path: Path) -> str:
    with pytest.raises(Fault) as caught:
        mpidl.open(path)
    (sentence,) = caught.value.sentences
    assert str(path) in sentence
    return sentence


def test_what_is_no_results_file_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.h5"
    text.write_text("text")
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["x"] = 1
    empty = tmp_path / "empty.h5"
    empty.touch()
    assert "is not an HDF5 file" in refused(text)
    assert "is another HDF5 file" in refused(other)
    assert "is not an HDF5 file" in refused(empty)
    assert "does not exist" in refused(tmp_path / "none.h5")
    assert "is not a file" in refused(tmp_path)


def test_a_newer_schema_is_refused(golden: Path) -> None:
    with h5py.File(golden, "r+") as file:
        file.attrs["schema"] = schema.VERSION + 1
    assert f"schema {schema.VERSION + 1}" in refused(golden)
    with h5py.File(golden, "r+") as file:
        file.attrs["schema"] = "new"
    assert "schema 'new'" in refused(golden)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(golden: Path, kept: float) -> None:
    content = golden.read_bytes()
    golden.write_bytes(content[: int(len(content) * kept)])
    assert "truncated" in refused(golden)


def test_a_claim_larger_than_the_file_is_refused(golden: Path) -> None:
    with h5py.File(golden, "r+") as file:
        del file["series/train_loss"]
        file["series"].create_dataset("train_loss", (10**6, 10**6), "f8", chunks=(1, 10**4))
    assert "claims the shape (1000000, 1000000)" in refused(golden)


def test_a_run_file_that_is_damaged_is_refused(golden: Path) -> None:
    with h5py.File(golden, "r+") as file:
        file.attrs["run_file"] = "[[["
    assert "not TOML" in refused(golden)


@pytest.mark.parametrize("names", [["a"], [b"\xff"], [1]])
def test_names_that_are_none_are_refused(golden: Path, names: list[Any]) -> None:
    with h5py.File(golden, "r+") as file:
        devices = len(file["graph/hops"])
        kind = np.int64 if names == [1] else h5py.string_dtype()
        many = devices - 1 if names == ["a"] else devices
        file["graph"].create_dataset("name", data=names * many, dtype=kind)
    assert "is damaged and cannot be read" in refused(golden)


def test_shapes_that_do_not_fit_are_refused(golden: Path) -> None:
    with h5py.File(golden, "r+") as file:
        del file["placement/source"]
        file["placement/source"] = np.zeros(7, np.int64)
    assert "damaged" in refused(golden)


@pytest.mark.parametrize("place", range(0, 4000, 211))
def test_a_flipped_byte_never_ends_in_a_traceback(golden: Path, place: int) -> None:
    content = bytearray(golden.read_bytes())
    content[place] ^= 0xFF
    golden.write_bytes(content)
    told: tuple[str, ...] = ("",)
    try:
        mpidl.open(golden)
    except Fault as fault:
        told = fault.sentences
    assert len(told) == 1
    assert "\n" not in told[0]


def test_a_study_is_read_run_by_run(golden: Path, tmp_path: Path) -> None:
    for name, setting in {"a": "degree", "b/c": "random"}.items():
        path = tmp_path / f"study/{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(golden, path)
        with h5py.File(path, "r+") as file:
            text = file.attrs["run_file"].replace('name = "degree"', f'name = "{setting}"')
            file.attrs["run_file"] = text
    (tmp_path / "study/notes.h5").write_text("no results")
    study = mpidl.open_study(tmp_path / "study")
    assert list(study) == ["a", "c"]
    assert study.settings["strategy.name"].to_dict() == {"a": "degree", "c": "random"}
    assert list(study.settings) == ["strategy.name"]
    assert study["c"].attrs["strategy.name"] == "random"
    assert [sentence for sentence in study.skipped if "notes.h5" in sentence]
    with pytest.raises(KeyError):
        study["nothing"]


def test_runs_of_one_name_are_told_apart_by_their_folders(golden: Path, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        shutil.copy(golden, tmp_path / folder / "run.h5")
    found = mpidl.open_study(tmp_path)
    assert sorted(found) == sorted([f"{tmp_path.name}/run", "x/run", "y/run"])


def test_of_an_interrupted_run_the_file_with_most_rounds_is_taken(
    golden: Path, tmp_path: Path
) -> None:
    aside = tmp_path / "run.unfinished-1.h5"
    shutil.copy(golden, aside)
    with h5py.File(aside, "r+") as file:
        file[schema.ROUNDS_DONE][()] = 1
        file[schema.COMPLETED][()] = 0
    study = mpidl.open_study(tmp_path)
    assert list(study) == ["run"]
    assert study.skipped == [f"{aside} is left out: another file beside it has more of its run."]


@pytest.mark.parametrize("name", schema.DIGESTS)
def test_a_run_on_another_graph_or_other_data_is_another_run(
    golden: Path, tmp_path: Path, name: str
) -> None:
    for file, digest in (("run.unfinished-1", "b"), ("run.unfinished-2", None), ("run", "a")):
        if file != "run":
            shutil.copy(golden, tmp_path / f"{file}.h5")
        with h5py.File(tmp_path / f"{file}.h5", "r+") as stored:
            stored.attrs.pop(name, None)
            stored.attrs.update({name: digest} if digest else {})
            stored[schema.ROUNDS_DONE][()] = 1 if "2" in file else 2
    study = mpidl.open_study(tmp_path)
    assert sorted(study) == ["run", "run.unfinished-1"]
    assert study.settings[name].to_dict() == {"run": "a", "run.unfinished-1": "b"}


def test_links_to_folders_are_followed_once(golden: Path, tmp_path: Path) -> None:
    study, scratch = tmp_path / "study", tmp_path / "scratch"
    (scratch / "deep").mkdir(parents=True)
    (study / "z").mkdir(parents=True)
    for path in (scratch / "deep/a.h5", study / "z/b.h5"):
        shutil.copy(golden, path)
    (study / "a").symlink_to(scratch)
    (study / "again").symlink_to(study / "z")
    (study / "round").symlink_to(study)
    (scratch / "back").symlink_to(study / "z")
    (scratch / "gone").symlink_to(tmp_path / "nowhere")
    assert runs.files(study) == [study / "a/deep/a.h5", study / "z/b.h5"]


def test_an_empty_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Fault, match="holds no results file"):
        mpidl.open_study(tmp_path)
    with pytest.raises(Fault, match="does not exist"):
        mpidl.open_study(tmp_path / "none")


@pytest.mark.parametrize("script", ["curve", "hops", "influence", "classes", "compare"])
def test_the_scripts_beside_the_first_studies_run(golden: Path, script: str) -> None:
    place = Path(__file__).parents[2] / f"launch/studies/first/{script}.py"
    read = golden.parent if script == "compare" else golden
    told = subprocess.run(
        [sys.executable, place, read], capture_output=True, text=True, check=True
    ).stdout
    run = mpidl.open(golden)
    mean = float(run.iid_accuracy_mixed.isel(round=-1).mean())
    expected = {
        "curve": f"{mean:6.3f}",
        "hops": "degree weights",
        "influence": f"{float(run.stationary.max()):.4f}  OOD source",
        "classes": "samples",
        "compare": f"{round(summary.read(golden).numbers['ood_level'], 3)}",
    }
    assert expected[script] in told
