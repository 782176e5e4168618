"""Results files from anywhere: what they claim, where they lead, and what would end the process."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpidl import plan
from mpidl.config import resolved
from mpidl.config.faults import Fault
from mpidl.storage import reader, results_file, runs, schema, untrusted_texts

GOLDEN = Path(__file__).parents[1] / "golden" / f"schema-{schema.VERSION}.h5"
COLLECTION = GOLDEN.read_bytes().index(untrusted_texts.COLLECTION)
LABELS = GOLDEN.read_bytes().index(untrusted_texts.COLLECTION, COLLECTION + 1)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return Path(shutil.copy(GOLDEN, tmp_path / "run.h5"))


def refused(path: Path) -> str:
    with pytest.raises(Fault) as caught:
        reader.open(path)
    (sentence,) = caught.value.sentences
    assert str(path) in sentence
    return sentence


def change(path: Path, place: int, data: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)
    return path


# What libhdf5 1.10.8 died of or never came back from; the first three found by tests.fuzz.bits.
DEADLY = {
    "a shorter object, SIGSEGV": (4136, b"\0"),
    "a longer object, SIGSEGV": (4988, b"\xff" * 4 + b"\x0c"),
    "free space of no size, no end": (20988, b"\0"),
    "objects of no size": (COLLECTION + 16, bytes(16)),
    "a collection beyond the file": (COLLECTION + 8, b"\xff" * 6),
    "a collection of no size": (COLLECTION + 8, bytes(8)),
    "an object of 2^63 bytes": (LABELS + 24, (2**63).to_bytes(8, "little")),
}


@pytest.mark.parametrize("case", DEADLY)
def test_a_damaged_heap_of_texts_is_told_and_never_given_to_hdf5(golden: Path, case: str) -> None:
    # A process of its own, as it would take this one with it.
    change(golden, *DEADLY[case])
    code = "import sys; from tests.fuzz import bits; print(bits.read(sys.argv[1]))"
    told = subprocess.run(
        [sys.executable, "-c", code, str(golden)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert (told.returncode, told.stdout.strip()) == (0, "a sentence"), told.stderr


def test_a_deadly_file_is_one_sentence_among_many_runs(golden: Path) -> None:
    deadly = change(
        Path(shutil.copy(golden, golden.with_name("bad.h5"))), COLLECTION + 16, bytes(16)
    )
    found = runs.open_study(golden.parent)
    assert list(found) == ["run"]
    assert found.skipped == [
        f"{deadly} is damaged and cannot be read: the collection of texts at byte {COLLECTION} is "
        "damaged."
    ]


def test_flipped_bytes_of_texts_never_end_the_process(golden: Path) -> None:
    content = GOLDEN.read_bytes()
    stream = random.Random(1)
    for _ in range(60):
        place = stream.choice((COLLECTION, LABELS)) + stream.randrange(untrusted_texts.LEAST)
        golden.write_bytes(content)
        change(golden, place, bytes([content[place] ^ 1 << stream.randrange(8)]))
        try:
            reader.settings(golden)
            reader.open(golden, ["labels"])
        except Fault as fault:
            assert len(fault.sentences) == 1  # noqa: PT017


def test_numbers_that_look_like_texts_are_no_damage(golden: Path) -> None:
    with h5py.File(golden, "r+") as file:
        at = file["series/train_loss"].id.get_offset()
    change(golden, at, untrusted_texts.COLLECTION + b"\x3f\xd1\x22" + b"\x3f" * 8)
    assert reader.open(golden).sizes["round"] == 3


def test_texts_are_read_as_h5py_reads_them(golden: Path) -> None:
    labels = ["", "a", "Käfer 🪲", "x" * 300, *"012345"]
    with h5py.File(golden, "r+") as file:
        for group in ("series", "placement"):
            del file[f"{group}/class"]
            file[group].create_dataset("class", data=labels, dtype=h5py.string_dtype())
    assert list(reader.open(golden)["class"].to_numpy()) == labels


def replace(path: Path, name: str, *shape: int, **how: object) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, shape, **{"dtype": "i8", "chunks": (1,) * len(shape), **how})


HUGE = 10**12


@pytest.mark.parametrize("name", ["rounds_done", "completed", "series/round", "graph/edges"])
def test_a_claim_of_a_million_million_is_refused_before_memory_is_taken(
    golden: Path, name: str
) -> None:
    replace(golden, name, HUGE, *([2] if name == "graph/edges" else []))
    assert "damaged" in refused(golden)


def test_a_huge_piece_of_a_small_data_set_is_refused(golden: Path) -> None:
    replace(golden, "placement/rank", 4, maxshape=(None,), chunks=(2**28,), compression="gzip")
    assert "claims the shape (4,)" in refused(golden)


@pytest.mark.parametrize(
    "kind", [h5py.string_dtype(), "S4", "c16", "V8", "f8", h5py.vlen_dtype("i8"), h5py.ref_dtype]
)
def test_other_types_are_refused(golden: Path, kind: object) -> None:
    replace(golden, "placement/rank", 4, dtype=kind)
    assert "holds" in refused(golden)
    shutil.copy(GOLDEN, golden)
    replace(golden, "rounds_done", dtype=kind, chunks=None)
    assert "rounds_done is not one integer" in refused(golden)


def outside(path: Path, folder: Path) -> dict[str, object]:
    secret = folder / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.arange(4)
    layout = h5py.VirtualLayout((4,), "i8")
    layout[:] = h5py.VirtualSource(secret, "x", (4,))
    return {
        "external link": h5py.ExternalLink(secret, "/x"),
        "soft link": h5py.SoftLink("/graph/hops"),
        "external data": {"external": [(str(secret), 0, 32)], "chunks": None},
        "virtual data": layout,
    }


@pytest.mark.parametrize("way", ["external link", "soft link", "external data", "virtual data"])
def test_nothing_leads_out_of_a_file(golden: Path, tmp_path: Path, way: str) -> None:
    (tmp_path / "aside").mkdir()
    how = outside(golden, tmp_path / "aside")[way]
    with h5py.File(golden, "r+") as file:
        del file["placement/rank"]
        if isinstance(how, dict):
            file.create_dataset("placement/rank", (4,), "i8", external=how["external"])
        elif isinstance(how, h5py.VirtualLayout):
            file.create_virtual_dataset("placement/rank", how)
        else:
            file["placement/rank"] = how
    told = refused(golden)
    assert "rank is no data set of this file" in told or "rank is stored outside this file" in told
    with h5py.File(golden, "r+") as file:
        del file["graph"]
        file["graph"] = h5py.ExternalLink(GOLDEN, "/graph")
    assert "damaged" in refused(golden)


def test_a_data_set_in_place_of_a_group_is_refused(golden: Path) -> None:
    replace(golden, "graph", HUGE)
    assert "graph is no group of this file" in refused(golden)


def test_attributes_are_numbers_and_texts_and_harmless(golden: Path) -> None:
    with h5py.File(golden, "r+") as file:
        file.attrs["hosts"] = "a\x1b[2Jb"
        file.attrs["many"] = np.zeros(9)
        file.attrs["none"] = h5py.Empty("f8")
    found = reader.open(golden).attrs
    assert found["hosts"] == r"a\x1b[2Jb"
    assert not {"many", "none"} & {*found}
    with h5py.File(golden, "r+") as file:
        file.attrs["run_file"] = np.zeros(3)
    assert "is damaged" in refused(golden)


def written_anew(path: Path, libver: object, listed: bool = False, **how: object) -> Path:
    """What a tool makes of a results file: as h5repack packs it, or with netCDF's attributes."""
    with h5py.File(GOLDEN) as file, h5py.File(path, "w", libver=libver) as new:
        for key, value in file.attrs.items():
            new.attrs[key] = [value] if listed else value

        def put(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                packed = how if item.shape else {}
                new.create_dataset(name, data=item[()], dtype=item.dtype, **packed)

        file.visititems(put)
        if listed:
            new.attrs["_NCProperties"] = "version=2"
    return path


@pytest.mark.parametrize(
    ("libver", "listed", "how"),
    [
        ("earliest", False, {}),
        ("latest", False, {"compression": "gzip", "shuffle": True}),
        (("v108", "v110"), True, {"chunks": True}),
    ],
    ids=["h5repack", "h5repack -L -f GZIP", "nccopy"],
)
def test_a_file_that_another_program_wrote_anew_is_read(
    tmp_path: Path, libver: object, listed: bool, how: dict[str, object]
) -> None:
    path = written_anew(tmp_path / "anew.h5", libver, listed, **how)
    found, expected = reader.open(path), reader.open(GOLDEN)
    assert found.identical(expected.assign_attrs(path=str(path)))
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_written_anew_can_claim_and_lead_to_no_more_than_another(tmp_path: Path) -> None:
    path = written_anew(tmp_path / "anew.h5", "earliest")
    replace(path, "placement/rank", HUGE, compression="gzip", chunks=(4,))
    assert "claims to unpack to 8,000,000,00" in refused(path)
    with h5py.File(path, "r+") as file:
        del file["placement/rank"]
        file["placement/rank"] = h5py.ExternalLink(GOLDEN, "/placement/rank")
    assert "rank is no data set of this file" in refused(path)


def test_what_ends_the_process_over_a_file_written_anew_ends_another(tmp_path: Path) -> None:
    path = written_anew(tmp_path / "anew.h5", "earliest")
    # SIGSEGV in libhdf5 1.10.8.
    change(path, path.read_bytes().index(untrusted_texts.COLLECTION) + 24, b"\xff" * 6)
    assert "is damaged and cannot be read: " in refused(path)


def test_another_hdf5_file_is_none_of_mpidl(tmp_path: Path) -> None:
    path = tmp_path / "old.h5"
    for libver in ("earliest", ("v108", "v110")):
        with h5py.File(path, "w", libver=libver) as file:
            file["a"] = 1
        assert "it is another HDF5 file" in refused(path)


def test_completed(golden: Path) -> None:
    assert results_file.status(golden)[2]
    with h5py.File(golden, "r+") as file:
        file[schema.COMPLETED][()] = 0
    assert not results_file.status(golden)[2]
    with pytest.raises(Fault, match="does not exist"):
        results_file.status(golden.with_name("none.h5"))


RUN = 'name = "a"\n[data]\nname = "d"\n[strategy]\nname = "s"\n[training]\nrounds = 4\nepochs = 1\n'


@pytest.mark.parametrize(
    "setting",
    [
        *(
            "x = 2020-01-01",
            "x = {a = {b = 1}}",
            "x = [[[1]]]",
            "x = [{}]",
            "x = 99999999999999999999",
        ),
    ],
)
def test_a_setting_that_no_table_can_show_is_refused(setting: str) -> None:
    assert resolved.flat(Path("a"), RUN)["training.rounds"] == 4
    with pytest.raises(Fault, match=r"its run file has training.x(.a)? = .*; a setting is text"):
        resolved.flat(Path("a"), RUN + setting)


def test_a_setting_may_be_a_list_of_lists() -> None:
    text = plan.read(None, ["network.outages=[[1, 0, 2], [3, 1, 2]]"], 8).text()
    assert resolved.flat(Path("a"), text)["network.outages"] == [[1, 0, 2], [3, 1, 2]]


@pytest.mark.parametrize("value", ["0", "-1", "true", "1.0", '"4"'])
def test_numbers_of_rounds_make_sense(value: str) -> None:
    with pytest.raises(Fault, match=r"has no valid training.rounds"):
        resolved.flat(Path("a"), RUN.replace("= 4", f"= {value}"))


def test_what_would_do_something_to_a_terminal_is_escaped() -> None:
    found = resolved.flat(Path("a"), RUN + 'x = ["\\u001b[2J"]\n"a\\nb" = "\\u009b"\n')
    assert found["training.x"] == [r"\x1b[2J"]
    assert found[r"training.a\nb"] == r"\x9b"


def test_settings_of_an_optimizer_by_its_place_are_flat_too() -> None:
    found = resolved.flat(Path("a"), RUN + "optimizer_settings = {alpha = 0.9}")
    assert found["training.optimizer_settings.alpha"] == 0.9
