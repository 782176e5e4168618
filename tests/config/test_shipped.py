"""Where paths are looked for: beside a run file, in the current folder, in what is shipped."""

from pathlib import Path

import pytest

import mpidl
from mpidl import plan
from mpidl.config import runfile, shipped, toml
from mpidl.config.faults import Fault
from mpidl.ensemble import sites, study

ROOT = Path(mpidl.__file__).resolve().parents[1]
RUN_FILES = sorted(
    path.relative_to(ROOT)
    for path in ROOT.glob("launch/studies/*/*.toml")
    if path.name != "study.toml"
)
LINE = "0 1\n1 2\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with a folder ``own`` in it; what is shipped is beside it."""
    for folder in ("here/own", "package/launch", "package/topologies"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "package")
    (tmp_path / "here/own/run.toml").write_text('[topology]\nfile = "topologies/line.edges"\n')
    return tmp_path


def put(path: Path, text: str = LINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def devices(*overrides: str) -> int:
    return plan.make(plan.read(Path("own/run.toml"), overrides, 1), 1).devices


def test_beside_the_run_file_then_here_then_what_is_shipped(place):
    put(place / "package/topologies/line.edges", LINE)
    assert devices() == 3
    put(place / "here/topologies/line.edges", LINE + "2 3\n")
    assert devices() == 4
    put(place / "here/own/topologies/line.edges", LINE + "2 3\n3 4\n")
    assert devices() == 5
    # What the command line says is told from the current folder.
    assert devices("topology.file=topologies/line.edges") == 4


def test_a_graph_that_is_nowhere_is_told_with_all_places(place):
    with pytest.raises(Fault) as fault:
        devices()
    assert fault.value.sentences == (
        "topology.file = 'topologies/line.edges': there is no such file; looked for beside the run "
        f"file ({place}/here/own), in the current folder ({place}/here) and in what comes with "
        f"mpidl ({place}/package).",
    )
    with pytest.raises(Fault, match=r"^Cannot read the run file own/ruin.toml: .*; looked for in"):
        plan.read(Path("own/ruin.toml"), [], 1)
    absolute = f"{place}/nowhere.edges"
    with pytest.raises(Fault, match=r"nowhere.edges: No such file or directory\.$"):
        devices(f"topology.file={absolute}")


def test_data_and_the_base_of_matcha_are_looked_for_alike(place):
    put(place / "here/own/run.toml", '[data]\ndir = "digits"\n[topology]\nname = "matcha"\n')
    put(place / "here/own/digits/x")
    assert plan.read(Path("own/run.toml"), [], 1).data.dir == "own/digits"
    put(place / "here/own/run.toml", '[topology]\nname = "matcha"\nbase = "line.edges"\n')
    put(place / "here/own/line.edges")
    assert plan.read(Path("own/run.toml"), [], 1).topology.base == "own/line.edges"
    put(place / "here/own/run.toml", '[topology]\nname = "matcha"\nbase = "ring"\n')
    put(place / "here/own/ring")
    assert plan.read(Path("own/run.toml"), [], 1).topology.base == "ring"


def test_a_study_finds_graphs_beside_itself_and_calls_its_runs_the_same_everywhere(place):
    axis = '[[axes]]\nname = "graph"\nset = "topology.file"\nvalues = ["a.edges"]\n'
    names = set()
    for folder in ("own", "other"):
        put(place / f"here/{folder}/study.toml", f'base = "run.toml"\n{axis}')
        put(place / f"here/{folder}/run.toml", '[data]\nname = "digits"\n')
        put(place / f"here/{folder}/a.edges")
        [run] = study.read(Path(folder)).runs
        assert run.file.topology.file == f"{folder}/a.edges"
        names.add(run.name)
    assert len(names) == 1


@pytest.mark.parametrize("path", RUN_FILES, ids=str)
def test_a_shipped_run_file_works_from_any_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read = plan.read(path, [], 1)
    assert read.topology == runfile.read(ROOT / path, (), plan.KINDS).topology
    assert read.topology.file is None or shipped.find(Path(read.topology.file)).is_file()


def test_sites_are_those_that_are_shipped_and_those_that_are_here(place):
    put(place / "package/launch/sites/there.toml", "[node]\ncpus = 2\n")
    put(place / "here/launch/sites/here.toml", "[node]\ncpus = 3\n")
    assert (sites.read("there").node.cpus, sites.read("here").node.cpus) == (2, 3)
    with pytest.raises(Fault, match="known: here, there"):
        sites.read("xyz")


def test_without_an_installed_copy_the_checkout_has_it():
    assert shipped.folder() == ROOT
    assert toml.read(Path("launch/sites/local.toml"), "site file")
