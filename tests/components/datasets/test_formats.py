"""Data sets that are read from files of one's own, and what is said of bad ones."""

import io
import json
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mpidl import plan
from mpidl.components.datasets import DATASETS, content
from mpidl.config.faults import Fault

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (30, 4, 4), dtype=np.uint8)
ROWS = RNG.random((30, 3))
KINDS = np.arange(30) % 3


def built(name, folder, **settings):
    parameters = DATASETS.settings(name)(**settings).model_dump()
    return DATASETS.build(SimpleNamespace(name=name, **parameters), folder, 0)


def npz(folder, **arrays):
    np.savez(folder / "mine.npz", **arrays)
    return {"file": "mine.npz"}


def table(folder, text, name="mine.csv"):
    (folder / name).write_text(text)
    return {"file": name}


def rows(labels=KINDS, values=ROWS, head="a,b,c,label"):
    lines = [",".join(map(str, [*row, label])) for row, label in zip(values, labels, strict=True)]
    return "\n".join([head, *lines]) + "\n"


def save(path, pixels, **more):
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(pixels).save(path, **more)


def pictured(folder, part="."):
    for place, (pixels, kind) in enumerate(zip(PIXELS, KINDS, strict=True)):
        save(folder / part / f"kind {kind}" / f"{place:02}.png", pixels)


def test_npz_gives_the_four_arrays(tmp_path):
    told = npz(tmp_path, x=PIXELS[:20], y=KINDS[:20], x_test=PIXELS[20:], y_test=KINDS[20:, None])
    data = built("npz", tmp_path, **told)
    np.testing.assert_array_equal(data.train_inputs, PIXELS[:20, None] / np.float32(255))
    np.testing.assert_array_equal(data.test_labels, KINDS[20:])
    assert (data.train_inputs.dtype, data.train_labels.dtype) == (np.float32, np.int64)
    assert (data.classes, data.span, data.owners) == (("0", "1", "2"), (0.0, 1.0), None)


def test_npz_of_medmnist_and_its_samples_for_validation(tmp_path):
    parts = {"train": slice(0, 15), "val": slice(15, 20), "test": slice(20, 30)}
    colours = RNG.integers(0, 256, (30, 5, 4, 3), dtype=np.uint8)
    arrays = {f"{key}_images": colours[part] for key, part in parts.items()}
    arrays |= {f"{key}_labels": KINDS[part, None] for key, part in parts.items()}
    told = npz(tmp_path, **arrays)
    sizes = {
        how: [
            len(getattr(built("npz", tmp_path, **told, validation=how), f"{part}_labels"))
            for part in ("train", "test")
        ]
        for how in ("left out", "train", "test")
    }
    assert sizes == {"left out": [15, 10], "train": [20, 10], "test": [15, 5]}
    data = built("npz", tmp_path, **told)
    assert data.shape == (3, 5, 4)
    np.testing.assert_array_equal(data.test_inputs[1, 2], colours[21, :, :, 2] / np.float32(255))


def test_a_share_for_testing_has_every_class_and_depends_on_its_seed(tmp_path):
    told = npz(tmp_path, x=ROWS, y=KINDS)
    one, again, other = (
        built("npz", tmp_path, **told, test_share=0.3, split_seed=seed) for seed in (1, 1, 2)
    )
    assert np.bincount(one.test_labels).tolist() == [3, 3, 3]
    both = np.concatenate([one.train_inputs, one.test_inputs])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(ROWS.astype("f4"), axis=0))
    assert content(one, "npz", None).digest == content(again, "npz", None).digest
    assert content(one, "npz", None).digest != content(other, "npz", None).digest


def test_owners_are_cut_with_the_samples_and_count_in_the_digest(tmp_path):
    marked = np.arange(30.0)[:, None]
    one, other = (
        built("npz", tmp_path, **npz(tmp_path, x=marked, y=KINDS, devices=owners))
        for owners in (np.arange(30) % 4, np.arange(30) % 5)
    )
    np.testing.assert_array_equal(one.owners, one.train_inputs[:, 0].astype(int) % 4)
    assert content(one, "npz", None).digest != content(other, "npz", None).digest


def test_csv_has_classes_of_texts_and_of_any_whole_numbers(tmp_path):
    texts = np.array(["rye", "oat", "fig"])[KINDS]
    data = built("csv", tmp_path, **table(tmp_path, rows(texts)))
    assert data.classes == ("fig", "oat", "rye")
    assert data.shape == (3,)
    data = built("csv", tmp_path, **table(tmp_path, rows(KINDS * 10 - 10)))
    assert data.classes == ("-10", "0", "10")
    assert set(data.train_labels) == {0, 1, 2}


def test_csv_of_two_files_with_devices_ids_and_a_shape(tmp_path):
    values = np.column_stack([np.arange(30) % 4, PIXELS.reshape(30, 16)])
    head = ",".join(["ward", *(f"p{i}" for i in range(16)), "kind"])
    table(tmp_path, rows(KINDS[:9], values[:9], head).replace(",", ";"), "test.csv")
    told = table(tmp_path, rows(KINDS, values, head).replace(",", ";"))
    settings = {"label": "kind", "device_column": "ward", "test_file": "test.csv"}
    data = built("csv", tmp_path, **told, **settings, separator=";", shape=[1, 4, 4])
    np.testing.assert_array_equal(data.train_inputs, PIXELS[:, None].astype("f4"))
    np.testing.assert_array_equal(data.owners, np.arange(30) % 4)
    assert len(data.test_labels) == 9
    unit = built("csv", tmp_path, **told, **settings, separator=";", ignore=["p3"], scaling="unit")
    assert (unit.train_inputs.min(), unit.train_inputs.max(), unit.shape) == (0, 1, (15,))
    np.testing.assert_array_equal(unit.test_inputs, unit.train_inputs[:9])


def test_scaling_is_that_of_the_samples_for_training(tmp_path):
    data = built("csv", tmp_path, **table(tmp_path, rows()), scaling="standard")
    np.testing.assert_allclose(data.train_inputs.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(data.train_inputs.std(axis=0), 1, atol=1e-6)
    assert abs(data.test_inputs.mean()) > 1e-3
    both = np.concatenate([data.train_inputs, data.test_inputs])
    assert data.span == (both.min(), both.max())


def test_numbers_to_predict(tmp_path):
    prices = ROWS.sum(axis=1)
    for name, told in (
        ("csv", table(tmp_path, rows(prices))),
        ("npz", npz(tmp_path, x=ROWS, y=prices[:, None])),
    ):
        data = built(name, tmp_path, **told, labels="numbers")
        assert (data.task, data.classes, data.train_labels.shape) == ("regression", (), (24,))
        np.testing.assert_allclose(data.test_labels, data.test_inputs.sum(axis=1), rtol=1e-6)


def test_parquet_reads_numbers_lists_and_categories(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    names = arrow.array(np.array(["b", "a", "c"])[KINDS]).dictionary_encode()
    columns = {"n": KINDS.astype("u1"), "x": list(ROWS), "label": names}
    parquet.write_table(arrow.table(columns), tmp_path / "mine.parquet")
    data = built("parquet", tmp_path, file="mine.parquet")
    assert data.classes == ("a", "b", "c")
    assert data.shape == (4,)
    np.testing.assert_array_equal(
        data.train_inputs[:, 0], [1, 0, 2] @ np.eye(3)[data.train_labels].T
    )
    only = built("parquet", tmp_path, file="mine.parquet", ignore=["n"], shape=[1, 3])
    assert only.shape == (1, 3)


def test_images_in_folders(tmp_path):
    pictured(tmp_path, "train")
    for kind in range(2):
        save(tmp_path / "test" / f"kind {kind}" / "deep" / "z.png", PIXELS[kind])
    (tmp_path / "train" / "kind 0" / "notes.txt").write_text("no image")
    data = built("images", tmp_path)
    order = np.argsort(KINDS, kind="stable")
    np.testing.assert_array_equal(data.train_inputs, PIXELS[order, None] / np.float32(255))
    np.testing.assert_array_equal(data.train_labels, KINDS[order])
    assert data.classes == ("kind 0", "kind 1", "kind 2")
    assert data.test_labels.tolist() == [0, 1]


def test_images_are_made_alike_where_settings_say_so(tmp_path):
    pictured(tmp_path)
    save(tmp_path / "kind 1" / "large.png", RNG.integers(0, 256, (9, 8, 3), dtype=np.uint8))
    first = tmp_path / "kind 0" / "00.png"
    large = tmp_path / "kind 1" / "large.png"
    with pytest.raises(Fault, match=f"^{first} is grey, and {large} has colours; data.channels"):
        built("images", tmp_path)
    with pytest.raises(Fault, match=f"^{large} has 9 x 8 pixels, and {first} 4 x 4; data.size"):
        built("images", tmp_path, channels=1)
    assert built("images", tmp_path, channels=3, size=[6, 5]).shape == (3, 6, 5)


@pytest.mark.slow
def test_huggingface_images_and_numbers(tmp_path):
    library = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    library.disable_progress_bars()
    features = library.Features(
        {
            "image": library.Image(),
            "label": library.ClassLabel(names=["x", "y", "z"]),
            "user": library.Value("string"),
        }
    )
    columns = {
        "image": [image.fromarray(pixels) for pixels in PIXELS],
        "label": KINDS.tolist(),
        "user": [f"u{place % 2}" for place in range(30)],
    }
    whole = library.Dataset.from_dict(columns, features=features)
    parts = {"train": whole.select(range(20)), "validation": whole.select(range(20, 30))}
    library.DatasetDict(parts).save_to_disk(tmp_path / "images")
    data = built("huggingface", tmp_path / "images", device_column="user")
    np.testing.assert_array_equal(data.test_inputs, PIXELS[20:, None] / np.float32(255))
    np.testing.assert_array_equal(data.owners, np.arange(20) % 2)
    assert data.classes == ("x", "y", "z")
    numbers = {"a": ROWS[:, 0], "b": ROWS[:, 1:].tolist(), "label": KINDS}
    library.Dataset.from_dict(numbers).save_to_disk(tmp_path / "numbers")
    assert built("huggingface", tmp_path / "numbers").shape == (3,)
    with pytest.raises(Fault, match="cannot be read as a data set of Hugging Face"):
        built("huggingface", tmp_path)


def users(folder, part, told):
    (folder / part).mkdir()
    text = json.dumps({"users": [*told], "num_samples": [1] * len(told), "user_data": told})
    (folder / part / "all.json").write_text(text)


def test_leaf_numbers_its_users(tmp_path):
    told = {
        f"f{user}": {"x": ROWS[user::3].tolist(), "y": KINDS[user::3].tolist()}
        for user in (2, 0, 1)
    }
    users(tmp_path, "train", told | {"idle": {"x": [], "y": []}})
    users(tmp_path, "test", {"f0": told["f0"]})
    data = built("leaf", tmp_path, shape=[1, 1, 3])
    np.testing.assert_array_equal(data.owners, np.repeat([0, 1, 2], 10))
    np.testing.assert_array_equal(data.train_labels, np.repeat([2, 0, 1], 10))
    assert (data.shape, len(data.test_labels)) == ((1, 1, 3), 10)


ARRAYS = {
    "unequal lengths": ({"x": ROWS, "y": KINDS[1:]}, r"y of .*: has the shape \(29,\); the 30 sam"),
    "negative": ({"x": ROWS, "y": KINDS - 1}, "y of .*: has the label -1; labels are numbers from"),
    "classes": ({"x": ROWS, "y": KINDS, "classes": ["a", "b"]}, "labels go to 2, classes are 2"),
    "many": ({"x": ROWS, "y": KINDS * 10**9}, "has labels for 2,000,000,001 classes"),
    "fractions": ({"x": ROWS, "y": KINDS + 0.5}, "has the value 0.5 in sample 1; must be whole"),
    "several": ({"x": ROWS, "y": np.eye(3)[KINDS]}, r"has the shape \(30, 3\)"),
    "not finite": ({"x": ROWS * np.inf, "y": KINDS}, "sample 1 has the value .*; must be finite"),
    "too large": ({"x": ROWS * 1e300, "y": KINDS}, "has the value inf; must be finite numbers of"),
    "complex": ({"x": ROWS * 1j, "y": KINDS}, "has the type complex128; must be numbers"),
    "texts": ({"x": ROWS.astype("U"), "y": KINDS}, "has the type .*; must be numbers"),
    "no label": ({"x": ROWS}, "has an array x, and none named y"),
    "names": ({"a": ROWS}, "must have arrays named x and y, with all samples; it has a"),
    "one": ({"x": ROWS[:1], "y": KINDS[:1]}, r"too few samples \(1\) to split some off"),
    "empty": ({"x": ROWS[:0], "y": KINDS[:0]}, "has no samples"),
    "no test": (
        {"x": ROWS, "y": KINDS, "x_test": ROWS[:0], "y_test": KINDS[:0]},
        "x_test of .*: has no samples",
    ),
    "shapes": (
        {"x": ROWS, "y": KINDS, "x_test": ROWS[:, 1:], "y_test": KINDS},
        r"x_test of .*: samples have the shape \(2,\), and those of x of .* \(3,\)",
    ),
    "objects": ({"x": np.array([1, None]), "y": KINDS}, "holds Python objects, which are not read"),
    "devices": ({"x": ROWS, "y": KINDS, "devices": KINDS - 2}, "have the number -2"),
    "few devices": ({"x": ROWS, "y": KINDS, "devices": KINDS[1:]}, "30 samples need one device"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_bad_arrays_are_refused_in_a_sentence(tmp_path, case):
    arrays, sentence = ARRAYS[case]
    with pytest.raises(Fault, match=sentence) as fault:
        built("npz", tmp_path, **npz(tmp_path, **arrays))
    assert len(str(fault.value).splitlines()) == 1


def damaged(whole):
    with io.BytesIO(whole) as file, zipfile.ZipFile(file) as pack:
        start = pack.getinfo("x.npy").header_offset
    spoilt = bytearray(whole)
    spoilt[start + 200] ^= 255
    return bytes(spoilt)


@pytest.mark.parametrize("spoil", [lambda whole: whole[:99], lambda whole: b"", damaged])
def test_a_damaged_npz_is_refused(tmp_path, spoil):
    told = npz(tmp_path, x=ROWS, y=KINDS)
    path = tmp_path / "mine.npz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(Fault, match=r"mine\.npz cannot be read as an npz file: .*\."):
        built("npz", tmp_path, **told)


TABLES = {
    "text": (
        rows().replace("\n", "\nx", 1),
        {},
        "column 'a' of .*: has 'x.*' in row 2; must",
    ),
    "gap": (rows() + "1,,3,0\n", {}, "column 'b' of .*: has no value in row 32"),
    "no label": (rows() + "1,2,3,\n", {}, "column 'label' of .*: has no value in row 32"),
    "ragged": (rows() + "1,2\n", {}, "cannot be read as a csv file: CSV parse error: Row #32"),
    "empty": ("", {}, "cannot be read as a csv file: Empty CSV file"),
    "no rows": ("a,label\n", {}, "has no rows"),
    "twice": ("a,a,label\n1,2,0\n", {}, "has two columns named 'a'"),
    "label": (rows(), {"label": "lable"}, "data.label: .* no column 'lable'; did you mean 'label'"),
    "ignore": (rows(), {"ignore": ["zz"]}, "data.ignore: .* 'zz'; it has a, b, c, label"),
    "none": (rows(), {"ignore": ["a", "b", "c"]}, "has no column beside labels"),
    "shape": (rows(), {"shape": [2, 2]}, r"data.shape = \[2, 2\]: a sample of .* has 3 values"),
    "number": (rows([*"ab"] * 15), {"labels": "numbers"}, "'label' of .*: has 'a' in row 2"),
    "no file": (rows(), {"test_file": "no.csv"}, "data.test_file = 'no.csv': there is no such"),
}


@pytest.mark.parametrize("case", TABLES)
def test_bad_tables_are_refused_in_a_sentence(tmp_path, case):
    text, settings, sentence = TABLES[case]
    with pytest.raises(Fault, match=sentence) as fault:
        built("csv", tmp_path, **table(tmp_path, text), **settings)
    assert len(str(fault.value).splitlines()) == 1


def test_bad_images_are_refused(tmp_path):
    with pytest.raises(Fault, match="must have a folder of images for each class"):
        built("images", tmp_path)
    pictured(tmp_path)
    path = tmp_path / "kind 2" / "no.png"
    path.write_bytes(b"no image")
    with pytest.raises(Fault, match=rf"{path} cannot be read as an image"):
        built("images", tmp_path)
    save(path, PIXELS[0].astype(np.uint16) * 256)
    with pytest.raises(Fault, match="more than 8 bits a pixel"):
        built("images", tmp_path)
    (tmp_path / "kind 3").mkdir()
    with pytest.raises(Fault, match="kind 3: is the folder of a class, and has no images"):
        built("images", tmp_path)


LEAF = {
    "texts": (
        {"u": {"x": ["to be"], "y": [0]}},
        "user 'u' of .* an x like 'to be'; must",
    ),
    "lengths": ({"u": {"x": [[1]], "y": []}}, "must have as many labels y as samples x"),
    "shapes": (
        {"u": {"x": [[1]], "y": [0]}, "v": {"x": [[1, 2]], "y": [0]}},
        r"samples of the shapes \(1,\) and \(2,\)",
    ),
    "keys": ({"u": {}}, "cannot be read as a file of LEAF: no users with x and y"),
    "labels": ({"u": {"x": [[1]], "y": [0.5]}}, "has labels like 0.5"),
}


@pytest.mark.parametrize("case", LEAF)
def test_bad_files_of_leaf_are_refused(tmp_path, case):
    told, sentence = LEAF[case]
    users(tmp_path, "train", told)
    with pytest.raises(Fault, match=sentence):
        built("leaf", tmp_path)


def test_a_missing_folder_is_told():
    with pytest.raises(Fault, match=r"data\.dir must be set: data.name = 'leaf' is read from that"):
        built("leaf", None)
    with pytest.raises(Fault, match=r"data\.dir = '/nowhere': there is no such folder"):
        built("images", Path("/nowhere"))


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("csv", "pyarrow.csv", "pyarrow"),
        ("images", "PIL.Image", "pillow"),
        ("huggingface", "datasets", "datasets"),
    ],
)
def test_a_library_that_is_not_installed_is_told(tmp_path, monkeypatch, name, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    told = table(tmp_path, rows()) if name == "csv" else {}
    with pytest.raises(Fault, match=rf"'{name}' needs {package}: pip install 'mpidl\[data\]'"):
        built(name, tmp_path, **told)


def test_files_lie_beside_the_run_file_and_may_be_elsewhere_when_a_run_goes_on(tmp_path):
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        npz(tmp_path / folder, x=ROWS, y=KINDS)
        (tmp_path / folder / "run.toml").write_text('[data]\nname = "npz"\nfile = "mine.npz"\n')
    one, other = (plan.read(tmp_path / folder / "run.toml", [], 2) for folder in ("one", "other"))
    assert one.data.file == str(tmp_path / "one" / "mine.npz")
    assert one.data.file != other.data.file
    assert plan.differences(one.text(), other) == []
