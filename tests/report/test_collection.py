"""Many runs side by side: in what they differ, found from their run files alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import networkx as nx
import numpy as np
import pytest

from mpidl.components import graphs
from mpidl.config.faults import Fault
from mpidl.report import collection, page, run_warnings, shelf, statistics, summary
from mpidl.report.shelf import Shelf
from mpidl.storage import reader, schema

Write = Callable[..., Path]
STORED = Path(__file__).parent.parent.parent / "topologies"
FLAT = np.full((4, 3), 0.5)


def study(write: Write, folder: Path, *runs: list[str]) -> collection.Collection:
    """Runs of these settings, in files whose names tell nothing."""
    paths = [write(folder / f"{k}.h5", FLAT, settings=one) for k, one in enumerate(runs)]
    return shelf.read(paths)


def test_strategies_cells_and_seeds_come_from_settings(write: Write, tmp_path: Path) -> None:
    found = study(
        write,
        tmp_path,
        ["strategy.name=degree", "training.seed=0", "training.lr=0.1"],
        ["strategy.name=degree", "training.seed=1", "training.lr=0.2"],
        ["strategy.name=unweighted", "training.seed=1", "training.lr=0.2"],
    )
    assert found.factors == ["strategy.name", "training.lr"]
    assert found.differing == ["strategy.name", "training.lr", "training.seed"]
    assert list(found.runs["strategy"]) == ["degree", "degree", "unweighted"]
    assert list(found.runs["cell"]) == ["lr 0.1", "lr 0.2", "lr 0.2"]
    assert list(found.runs["seed"]) == ["0", "1", "1"]
    assert list(found.runs["training.lr"]) == [0.1, 0.2, 0.2]


def test_a_parameter_of_one_strategy_only_is_no_factor(write: Write, tmp_path: Path) -> None:
    found = study(write, tmp_path, ["strategy.name=random"], ["strategy.name=degree"])
    assert found.factors == ["strategy.name"]
    assert list(found.runs["strategy"]) == ["random", "degree"]


def test_algorithms_are_compared_where_all_have_one_strategy(write: Write, tmp_path: Path) -> None:
    found = study(
        write,
        tmp_path,
        ["training.lr=0.1"],
        ["training.lr=0.1", "algorithm.name=choco", "algorithm.gamma=0.2"],
        ["training.lr=0.1", "algorithm.name=choco"],
        ["training.lr=0.2", "algorithm.name=exact_diffusion"],
    )
    labels = ["dsgd", "choco, gamma 0.2", "choco, gamma 0.3", "exact_diffusion"]
    assert list(found.runs["strategy"]) == labels
    assert list(found.runs["cell"]) == ["lr 0.1", "lr 0.1", "lr 0.1", "lr 0.2"]


def test_algorithms_tell_runs_of_one_strategy_apart(write: Write, tmp_path: Path) -> None:
    found = study(
        write, tmp_path, [], ["algorithm.name=gradient_tracking"], ["strategy.name=unweighted"]
    )
    labels = ["dsgd · degree", "gradient_tracking · degree", "dsgd · unweighted"]
    assert list(found.runs["strategy"]) == labels
    assert list(found.runs["cell"]) == ["-", "-", "-"]


def test_labels_name_what_a_run_has_and_what_it_could_have(write: Write, tmp_path: Path) -> None:
    ring, path = tmp_path / "ring.edges", nx.path_graph(3)
    nx.write_edgelist(path, ring, data=False)
    found = study(
        write,
        tmp_path,
        ["network.bandwidth=1000.0", "network.stragglers=[1]"],
        ["attack.name=sign_flip", "attack.devices=0"],
        [
            "topology.name=watts_strogatz",
            "topology.k=2",
            "topology.rewiring=0.1",
            "attack.name=sign_flip",
        ],
        ["topology.name=watts_strogatz", "topology.k=2", "topology.rewiring=0.2"],
        [f"topology.file={ring}"],
    )
    unset = "bandwidth unset, no stragglers"
    assert [{*cell.split(", ")} for cell in found.runs["cell"]] == [
        {"barabasi_albert", "bandwidth 1000", "stragglers [1]", "no attack"},
        {"barabasi_albert", *unset.split(", "), "sign_flip attack", "attackers 0"},
        {
            "watts_strogatz",
            "rewiring 0.1",
            *unset.split(", "),
            "sign_flip attack",
            "attackers random:1",
        },
        {"watts_strogatz", "rewiring 0.2", *unset.split(", "), "no attack"},
        {"ring", *unset.split(", "), "no attack"},
    ]


def test_what_tells_runs_of_one_strategy_apart_is_in_its_label(
    write: Write, tmp_path: Path
) -> None:
    found = study(
        write,
        tmp_path,
        ["strategy.name=degree", "strategy.temperature=0.1"],
        ["strategy.name=degree", "strategy.temperature=1.0"],
        ["strategy.name=unweighted"],
    )
    labels = ["degree, temperature 0.1", "degree, temperature 1.0", "unweighted"]
    assert list(found.runs["strategy"]) == labels
    assert set(found.runs["cell"]) == {"-"}


def test_what_decides_no_result_is_no_factor(write: Write, tmp_path: Path) -> None:
    found = study(write, tmp_path, ["record.every=5"], ["record.every=10", "data.dir=elsewhere"])
    assert found.factors == []


def test_several_seeds_are_told_as_one_where_they_are_the_same(
    write: Write, tmp_path: Path
) -> None:
    seeds = [["training.seed=3", "topology.seed=3"], ["training.seed=4", "topology.seed=5"]]
    found = study(write, tmp_path, *seeds)
    assert list(found.runs["seed"]) == ["3", "5, 4"]


@pytest.mark.parametrize("kind", ["ba_8_2", "ws_8", "sb_.05"])
def test_stored_graphs_of_the_paper_are_known_by_their_links(
    write: Write, tmp_path: Path, kind: str
) -> None:
    paths = []
    for seed in range(2):
        file = STORED / f"{kind}_{seed}.txt"
        graph = graphs.read(file).graph
        curve = np.full((2, len(graph)), 0.5)
        settings = [f"topology.file={file}", f"training.seed={seed}"]
        paths.append(write(tmp_path / f"{seed}.h5", curve, graph=graph, settings=settings))
    found = shelf.read(paths)
    assert found.factors == []
    assert found.settings["0"]["graph"] == kind


CHAIN, STAR = nx.path_graph(4), nx.star_graph(3)


def stored(write: Write, folder: Path, graph: nx.Graph, *settings: str) -> Path:
    """A run on the graph of a file, of which the results file knows the path and the links."""
    curve = np.full((2, len(graph)), 0.5)
    return write(folder, curve, graph=graph, settings=settings)


@pytest.mark.parametrize(
    ("paths", "called"),
    [
        (("chain.edges", "star.edges"), ["chain", "star"]),
        (("a/graph.edges", "b/graph.edges"), ["a/graph", "b/graph"]),
        (("graph.edges", "graph.edges"), ["graph ", "graph "]),
    ],
)
def test_graphs_from_files_are_told_apart_by_their_links(
    write: Write, tmp_path: Path, paths: tuple[str, str], called: list[str]
) -> None:
    runs = [
        stored(write, tmp_path / f"{k}.h5", graph, f"topology.file={path}", f"training.seed={k}")
        for k, (graph, path) in enumerate(zip((CHAIN, STAR), paths, strict=True))
    ]
    found = shelf.read(runs)
    assert [one[: len(it)] for one, it in zip(found.runs["graph"], called, strict=True)] == called
    assert found.factors == ["graph"]
    assert list(statistics.tables(found)["groups"]["runs"]) == [1, 1]


def test_one_graph_is_one_whatever_its_file_is_called(write: Write, tmp_path: Path) -> None:
    runs = [
        stored(write, tmp_path / f"{k}.h5", STAR, f"topology.file={k}.edges", f"training.seed={k}")
        for k in range(2)
    ]
    assert shelf.read(runs).differing == ["training.seed"]


def test_seeds_of_one_family_are_repetitions(write: Write, tmp_path: Path) -> None:
    settings = ["topology.name=watts_strogatz", "topology.k=2"]
    runs = [
        stored(write, tmp_path / f"{k}.h5", graph, *settings, f"topology.seed={k}")
        for k, graph in enumerate((CHAIN, STAR))
    ]
    assert shelf.read(runs).factors == []


def test_chances_of_links_are_part_of_a_graph_and_those_of_the_run_file_are_not(
    write: Write, tmp_path: Path
) -> None:
    file = "topology.file=star.edges"
    runs = [
        stored(write, tmp_path / "steady.h5", STAR, file),
        stored(write, tmp_path / "half.h5", STAR, file, "topology.link_probability=0.5"),
        stored(write, tmp_path / "own.h5", STAR, file),
    ]
    for path, chances in zip(runs[1:], (0.5, [0.5, 0.5, 1, 1, 1, 1]), strict=True):
        with h5py.File(path, "r+") as file:
            file["graph/probability"][...] = chances
    found = shelf.read(runs)
    steady, half, own = found.runs["graph"]
    assert steady == half != own
    assert found.factors == ["graph", "topology.link_probability"]


def test_a_published_graph_with_own_chances_is_another_one(write: Write, tmp_path: Path) -> None:
    file = STORED / "ba_8_2_0.txt"
    paths = [
        stored(write, tmp_path / f"{k}.h5", graphs.read(file).graph, f"topology.file={file}")
        for k in range(2)
    ]
    with h5py.File(paths[1], "r+") as changed:
        changed["graph/probability"][0] = 0.5
    assert list(shelf.read(paths).runs["graph"]) == ["ba_8_2", "ba_8_2_0"]


def data(path: Path, digest: str, published: str) -> Path:
    with h5py.File(path, "r+") as file:
        file.attrs.update({schema.DATA_DIGEST: digest, schema.DATA_PUBLISHED: published})
    return path


def test_data_are_told_apart_by_what_their_files_hold(write: Write, tmp_path: Path) -> None:
    runs = [write(tmp_path / f"{k}.h5", FLAT, settings=["data.dir=there"]) for k in range(4)]
    data(runs[0], "a" * 64, "yes")
    data(runs[1], "b" * 64, "no")
    data(runs[2], "c" * 64, "unknown")
    found = shelf.read(runs)
    # The last one is from before there were digests.
    cells = ["data published", "data bbbbbb", "data cccccc", "data published"]
    assert list(found.runs["cell"]) == cells
    assert found.factors == ["data.content"]
    assert shelf.read([runs[0], runs[3]]).factors == []


def test_devices_and_curves_have_a_line_for_each(write: Write, tmp_path: Path) -> None:
    ood = np.linspace(0, 1, 5)[:, None] * np.array([1.0, 0.5, 0.0])
    found = shelf.read([write(tmp_path / "a.h5", ood, np.ones((5, 3)))])
    assert list(found.devices["ood_area"]) == [2.0, 1.0, 0.0]
    assert list(found.devices["hops"]) == [0, 1, 1]
    curve = found.curves[found.curves["kind"] == "ood"]
    assert list(curve["round"]) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(curve["accuracy"], ood.mean(axis=1))
    np.testing.assert_allclose(curve["high"], ood[:, 0])


def test_what_cannot_be_read_is_told_and_the_rest_reported(write: Write, tmp_path: Path) -> None:
    good = write(tmp_path / "good.h5", FLAT)
    bad = tmp_path / "bad.h5"
    bad.write_bytes(good.read_bytes()[:5000])
    found = shelf.read([good, bad])
    assert list(found.summaries) == ["good"]
    assert len(found.skipped) == 1
    assert "bad.h5 is truncated" in found.skipped[0]
    with pytest.raises(Fault, match=r"bad\.h5 is truncated"):
        shelf.read([bad])


NEEDED = [f"{group}/{name}" for group, names in reader.REQUIRED.items() for name in names]
OTHERS = ["graph/W", "graph/eigenvalue", "placement/labels", "series/ood_accuracy_mixed"]


@pytest.mark.parametrize("part", ["graph", "placement", "series", *NEEDED, *OTHERS])
def test_a_file_that_lacks_a_part_is_read_or_refused(
    write: Write, tmp_path: Path, part: str
) -> None:
    good, odd = write(tmp_path / "good.h5", FLAT), write(tmp_path / "odd.h5", FLAT)
    with h5py.File(odd, "r+") as file:
        del file[part]
    found = shelf.read([good, odd])
    assert len(found.summaries) + len(found.skipped) == 2
    assert (len(found.summaries) == 2) == (part in OTHERS)
    assert all("odd.h5 is damaged: it lacks" in told for told in found.skipped)
    assert len(found.runs) == len(found.summaries)
    assert "groups" in statistics.tables(found)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rounds = 4", 'rounds = "four"'),
        ("epochs = 5", ""),
        ('name = "degree"', ""),
        ('name = "digits"', "name = 1"),
    ],
)
def test_a_run_file_that_lacks_a_setting_is_refused(
    write: Write, tmp_path: Path, setting: str, value: str
) -> None:
    path = write(tmp_path / "odd.h5", FLAT)
    with h5py.File(path, "r+") as file:
        text = file.attrs["run_file"]
        assert setting in text
        file.attrs["run_file"] = text.replace(setting, value)
    with pytest.raises(Fault, match="its run file has no valid"):
        shelf.read([path])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("graph/edges", 99),
        ("graph/edges", -5),
        ("graph/eigenvalue", np.inf),
        ("series/seconds_train", np.inf),
        ("series/ood_accuracy_mixed", -np.inf),
    ],
)
def test_values_that_cannot_be_are_refused(
    write: Write, tmp_path: Path, name: str, value: float
) -> None:
    path = write(tmp_path / "odd.h5", FLAT)
    with h5py.File(path, "r+") as file:
        file[name][0] = value
    with pytest.raises(Fault, match="damaged"):
        shelf.read([path])


def test_graphs_from_files_that_differ_only_by_chance_count_as_seeds(
    write: Write, tmp_path: Path
) -> None:
    paths = []
    for seed in range(3):
        file = STORED / f"ba_8_2_{seed}.txt"
        curve = np.full((2, 8), 0.5)
        graph = graphs.read(file).graph
        settings = [f"topology.file={file}"]
        paths.append(write(tmp_path / f"{seed}.h5", curve, graph=graph, settings=settings))
    found = shelf.read(paths)
    assert list(found.runs["seed"]) == ["0", "1", "2"]
    assert set(found.runs["cell"]) == {"-"}
    assert found.factors == []


def test_only_files_that_changed_are_read_again(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(tmp_path / f"{k}.h5", FLAT, done=2, completed=False) for k in "ab"]
    shelf = Shelf()
    shelf.read(paths)
    read: list[str] = []
    real = summary.read
    monkeypatch.setattr(summary, "read", lambda p, t: (read.append(p.name), real(p, t))[1])
    with h5py.File(paths[1], "r+") as file:
        file[schema.ROUNDS_DONE][()] = 3
    assert [one.done for one in shelf.read(paths).summaries.values()] == [2, 3]
    assert read == ["b.h5"]


def told(path: Path) -> str:
    return " ".join(run_warnings.of(reader.open(path)))


def test_warnings_say_what_a_reader_must_know(write: Write, tmp_path: Path) -> None:
    fine = np.linspace(0.3, 0.9, 4)[:, None] * np.ones(4)
    apart = nx.Graph([(0, 1), (2, 3)])
    lost = fine.copy()
    lost[:, 2] = 0.1
    loss = 1 - fine
    loss[2:, 1] = np.nan
    assert told(write(tmp_path / "a.h5", fine)) == ""
    assert "unfinished: 2 of 4 rounds" in told(
        write(tmp_path / "b.h5", fine, done=2, completed=False)
    )
    split = told(write(tmp_path / "c.h5", fine, graph=apart))
    assert "disconnected: it has 2 parts" in split
    assert "No path leads to devices 2, 3" in split
    everyone = write(tmp_path / "f.h5", fine, graph=apart, settings=["strategy.name=federated"])
    assert told(everyone) == ""
    alone = write(tmp_path / "g.h5", fine, graph=apart, sources=())
    assert "disconnected" in told(alone)
    assert "No path" not in told(alone)
    assert "device 2 never learned" in told(write(tmp_path / "d.h5", fine, lost))
    assert "train_loss of device 1 is not finite from round 3 on" in told(
        write(tmp_path / "e.h5", fine, series={"train_loss": loss})
    )


def test_names_of_devices_are_shown_where_devices_are(write: Write, tmp_path: Path) -> None:
    apart = nx.Graph([(0, 1), (2, 3)], names=["Ulm", "Bonn", "Zürich", "São Paulo"])
    fine = np.linspace(0.3, 0.9, 4)[:, None] * np.ones(4)
    paths = [
        write(tmp_path / f"{seed}.h5", fine, graph=apart, settings=[f"training.seed={seed}"])
        for seed in (0, 1)
    ]
    assert "No path leads to devices 2 (Zürich), 3 (São Paulo):" in told(paths[0])
    plain = write(tmp_path / "plain.h5", fine, settings=["training.seed=2"])
    found = shelf.read([*paths, plain])
    assert found.devices["name"].dropna().tolist() == 2 * apart.graph["names"]
    devices = statistics.seeded_devices(found)
    assert "name" not in devices
    assert devices["ood_last"].to_numpy() == pytest.approx(0.9)
    shown = page.text(shelf.read(paths[:1]))
    assert "They are 0 Ulm, 1 Bonn, 2 Zürich, 3 São Paulo." in shown
    assert "source 0 (Ulm)" in shown


def test_a_run_without_a_whole_round_is_summarized(write: Write, tmp_path: Path) -> None:
    found = summary.read(write(tmp_path / "a.h5", FLAT, done=0, completed=False))
    assert found.done == 0
    assert np.isnan(found.numbers["ood_area"])
    assert np.isnan(found.numbers["rounds_to_threshold"])
    assert len(found.curves["ood"].mean) == 0


def test_a_file_that_appears_twice_below_a_folder_keeps_the_longer(
    write: Write, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.h5", FLAT)
    shutil.copy(path, tmp_path / "a.unfinished-1.h5")
    with h5py.File(tmp_path / "a.unfinished-1.h5", "r+") as file:
        file[schema.ROUNDS_DONE][()] = 1
    found = shelf.read(sorted(tmp_path.glob("*.h5")))
    assert list(found.summaries) == ["a"]
    assert "left out" in found.skipped[0]
