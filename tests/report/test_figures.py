"""Figures show the numbers of the files they are made from, whatever is in them."""

import itertools
import math
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib.colors
import networkx as nx
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from mpidl import plan
from mpidl.components.algorithms import ALGORITHMS
from mpidl.components.strategies import STRATEGIES
from mpidl.config.faults import Fault
from mpidl.report import collection, figures, labels, measures, shelf, style, summary
from mpidl.report.figures import axes as drawn
from mpidl.report.figures import drawing, mixing, sides, spreading
from mpidl.storage import reader
from tests.deal import slow_but
from tests.report.conftest import Write, write_file

RISING = np.linspace(0, 1, 6)[:, None] * np.ones(5)

OF_RUN = [
    *("accuracy", "simulated", "graph", "heat", "hops", "passage", "moments", "consensus"),
    *("mixing", "labels", "seconds", "bytes"),
]

DRAWN = [draw for draw in figures.RUN if draw is not figures.learning.values]
"""What draws each of them; a task without values of its own has no figure of these."""

OF_RUNS = [
    *(
        "curves-ood",
        "curves-iid",
        "simulated-ood",
        "simulated-iid",
        "levels",
        "differences",
        "thresholds",
    ),
    "distances",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """Five devices on a ring, six rounds; the OOD accuracy of device i is late by i rounds."""
    late = np.clip(np.arange(6)[:, None] - np.arange(5) / 2, 0, 5) / 5
    return reader.open(write_file(tmp_path_factory.mktemp("run") / "run.h5", late, 0.5 * RISING))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> collection.Collection:
    """Two strategies, two graphs and two seeds."""
    folder = tmp_path_factory.mktemp("study")
    chosen = itertools.product(("unweighted", "degree"), (4, 6), (0, 1))
    paths = [
        write_file(
            folder / f"{strategy}-{devices}-{seed}.h5",
            np.full((4, devices), 0.2 + 0.1 * seed + 0.4 * (strategy == "degree"))
            + np.arange(devices) / 50,
            np.full((4, devices), 0.5),
            graph=nx.cycle_graph(devices) if devices == 4 else nx.star_graph(devices - 1),
            settings=[f"strategy.name={strategy}", f"training.seed={seed}"],
        )
        for strategy, devices, seed in chosen
    ]
    return shelf.read(paths)


def one_of(run: xr.Dataset, name: str) -> figures.Picture:
    """The figure of a run with this name."""
    with style.context():
        picture = DRAWN[OF_RUN.index(name)](run)
    assert picture is not None
    return picture


def pixels(picture: figures.Picture) -> np.ndarray:
    picture.figure.set_dpi(50)
    canvas = picture.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    with style.context():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def first(picture: figures.Picture) -> Axes:
    return picture.figure.axes[0]


def labelled(axes: Axes, label: str) -> Line2D:
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    return line


def test_every_figure_of_a_run_is_made_once_and_is_not_blank(run: xr.Dataset) -> None:
    found = list(figures.of_run(run))
    assert [picture.name for picture in found] == OF_RUN
    for picture in found:
        assert pixels(picture)[..., :3].std() > 5, picture.name
        assert len(picture.figure.findobj()) > 30, picture.name
        assert picture.caption.endswith("."), picture.name
        assert picture.title, picture.name


def test_every_figure_of_many_runs_is_made_once_and_is_not_blank(
    study: collection.Collection,
) -> None:
    found = list(figures.of_runs(study))
    assert [picture.name for picture in found] == OF_RUNS
    for picture in found:
        assert pixels(picture)[..., :3].std() > 5, picture.name
        assert picture.caption.endswith("."), picture.name


def test_figures_are_made_one_at_a_time(run: xr.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    draw = figures.RUN[0]
    monkeypatch.setattr(figures, "RUN", (lambda run: counted.append(1) or draw(run),) * 3)
    found = figures.of_run(run)
    next(found)
    assert len(counted) == 1


def test_accuracy_shows_means_percentiles_and_each_device(run: xr.Dataset) -> None:
    axes = first(one_of(run, "accuracy"))
    ood = run["ood_accuracy_mixed"].to_numpy()
    mean = labelled(axes, "OOD mean")
    np.testing.assert_array_equal(mean.get_xdata(), [1, 2, 3, 4, 5, 6])
    np.testing.assert_allclose(mean.get_ydata(), ood.mean(axis=1))
    np.testing.assert_allclose(labelled(axes, "IID mean").get_ydata(), np.arange(6) / 10)
    assert mean.get_color() == style.KINDS["ood"]
    thin = [one for one in axes.collections if isinstance(one, LineCollection)]
    curves = {tuple(np.asarray(part)[:, 1].round(6)) for part in thin[1].get_segments()}
    assert curves == {tuple(curve.round(6)) for curve in ood.T}
    band = axes.collections[-1].get_paths()[0].vertices[:, 1]
    assert {*np.percentile(ood, 10, axis=1).round(6)} <= {*np.asarray(band).round(6)}


def test_rounds_are_those_that_were_measured(tmp_path: Path, write: Write) -> None:
    curve = np.full((10, 4), np.nan)
    curve[[2, 5, 8, 9]] = np.array([0.1, 0.4, 0.7, 0.9])[:, None]
    run = reader.open(write(tmp_path / "run.h5", curve))
    np.testing.assert_array_equal(
        labelled(first(one_of(run, "accuracy")), "OOD mean").get_xdata(), [3, 6, 9, 10]
    )
    titles = [axes.get_title("center") for axes in one_of(run, "graph").figure.axes]
    assert [title.split(",")[0] for title in titles if title] == [
        *("after round 3", "after round 6", "after round 9", "after round 10")
    ]
    (image,) = first(one_of(run, "heat")).get_images()
    assert np.shape(image.get_array()) == (4, 4)


def test_chosen_rounds_cut_the_rise_into_thirds() -> None:
    assert spreading.chosen(np.linspace(0, 0.9, 10)) == [0, 3, 6, 9]
    assert spreading.chosen(np.array([0, 0, 0, 0.4, 0.5, 1, 0.2])) == [0, 3, 5, 6]
    assert spreading.chosen(np.full(7, 0.5)) == [0, 1, 3, 6]
    assert spreading.chosen(np.array([0.9, 0.5, 0.1])) == [0, 1, 2]
    assert spreading.chosen(np.array([0.3])) == [0]


def test_the_graph_colours_devices_by_their_accuracy(run: xr.Dataset) -> None:
    panels = one_of(run, "graph").figure.axes[:4]
    others, sources = panels[-1].collections
    last = run["ood_accuracy_mixed"].to_numpy()[-1]
    np.testing.assert_allclose(others.get_array(), last[1:])
    np.testing.assert_allclose(sources.get_array(), last[:1])
    assert others.get_clim() == (0, 1)


def test_the_graph_tells_devices_attackers_and_stragglers(run: xr.Dataset) -> None:
    liars = run.assign_coords(attacker=("device", [0, 0, 1, 0, 0]))
    liars = liars.assign_attrs({"network.stragglers": ["random:2", 4], "training.seed": 3})
    slow = plan.read(None, ["network.stragglers=['random:2', 4]", "training.seed=3"], 5)
    (*_, squares, rings) = one_of(liars, "graph").figure.axes[0].collections
    places = drawing.of(run).places
    np.testing.assert_array_equal(squares.get_offsets(), places[[2]])
    np.testing.assert_array_equal(rings.get_offsets(), places[plan.make(slow, 5).stragglers])
    picture = one_of(liars, "graph")
    (legend,) = picture.figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told == ["source", "attacker", "straggler"]
    assert [text.get_text() for text in first(picture).texts] == [*"01234"]
    for odd in ({"network.stragglers": "random:9"}, {"training.seed": "x"}, {"training.seed": -1}):
        assert not drawing.of(run.assign_attrs({"network.stragglers": "random:2", **odd})).marked


def test_half_of_a_link_is_as_wide_as_the_weight_at_its_device(run: xr.Dataset) -> None:
    weights = np.zeros((5, 5))
    weights[1, 0], weights[0, 1] = 0.8, 0.2
    sketch = drawing.of(run.assign(W=(("device", "member"), weights)))
    ends = run["edges"].to_numpy()
    wide = sketch.widths.argmax()
    assert ends[wide].tolist() == [0, 1]
    np.testing.assert_allclose(sketch.halves[wide, 0], sketch.places[1])
    thin = sketch.widths[(ends == [1, 0]).all(axis=1)][0]
    least = sketch.widths.min()
    assert (thin - least) / (sketch.widths[wide] - least) == pytest.approx(0.25)
    assert len({*drawing.of(run.drop_vars("W")).widths}) == 1


@pytest.mark.parametrize(
    "graph",
    [
        nx.path_graph(2),
        nx.empty_graph(7),
        nx.complete_graph(9),
        nx.disjoint_union(nx.cycle_graph(12), nx.empty_graph(3)),
        nx.barabasi_albert_graph(30, 2, seed=0),
        nx.barabasi_albert_graph(150, 1, seed=0),
    ],
    ids=str,
)
def test_devices_are_put_apart_in_the_square(graph: nx.Graph) -> None:
    edges = tuple(sorted(graph.edges))
    places = drawing.layout(edges, len(graph))
    assert places.shape == (len(graph), 2)
    assert np.abs(places).max() <= 1 + 1e-9
    distance = np.linalg.norm(places[:, None] - places[None, :], axis=2)
    assert distance[~np.eye(len(graph), dtype=bool)].min() > 0.005
    drawing.layout.cache_clear()
    np.testing.assert_array_equal(places, drawing.layout(edges, len(graph)))


def test_the_heat_map_is_ordered_by_hops_and_then_by_what_devices_know(
    tmp_path: Path, write: Write
) -> None:
    curve = np.array([[0.9, 0.1, 0.5, 0.0, 0.3, 0.0]])
    graph = nx.path_graph(5)
    graph.add_node(5)
    run = reader.open(write(tmp_path / "run.h5", curve, graph=graph, sources=[1]))
    axes = first(one_of(run, "heat"))
    (image,) = axes.get_images()
    np.testing.assert_allclose(
        np.asarray(image.get_array()).ravel(), [0.1, 0.9, 0.5, 0.0, 0.3, 0.0]
    )
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["source", "1 hop", "2 hops", "3 hops", "unreached"]


def test_labels_are_moved_apart_and_stay_inside() -> None:
    np.testing.assert_allclose(drawn.spread(np.array([0, 0.5, 9.8]), 2, 0, 10), [0, 2, 9.8])
    np.testing.assert_allclose(drawn.spread(np.array([9.0, 9.5]), 2, 0, 10), [8, 10])
    assert drawn.ticks(1, 10) == [1, 2, 4, 6, 8, 10]
    assert drawn.ticks(1, 1) == [1]
    assert drawn.ticks(3, 4) == [3, 4]


def test_accuracy_over_simulated_time_is_that_when_the_last_device_is_there(
    tmp_path: Path, write: Write
) -> None:
    curve = np.array([[0.2, 0.4], [0.6, 0.8]])
    ends = np.array([[1.0, 3.0], [4.0, 5.5]])
    path = write(tmp_path / "run.h5", curve, series={"simulated_seconds": ends})
    line = labelled(first(one_of(reader.open(path), "simulated")), "OOD mean")
    np.testing.assert_allclose(line.get_xdata(), [3.0, 5.5])
    np.testing.assert_allclose(line.get_ydata(), [0.3, 0.7])
    numbers = summary.read(path, 0.5).numbers
    assert (numbers["rounds_to_threshold"], numbers["simulated_to_threshold"]) == (2, 5.5)
    assert numbers["iid_simulated_to_threshold"] == 5.5
    found = {one.name: one for one in figures.of_runs(shelf.read([path]))}
    for kind in ("ood", "iid"):
        (line,) = first(found[f"simulated-{kind}"]).get_lines()
        np.testing.assert_allclose(line.get_xydata(), [[3.0, 0.3], [5.5, 0.7]])


def test_without_a_network_there_is_no_simulated_time(run: xr.Dataset) -> None:
    run = run.assign(simulated_seconds=0 * run["simulated_seconds"])
    assert DRAWN[OF_RUN.index("simulated")](run) is None
    found = summary.of(run)
    assert math.isnan(found.numbers["simulated_to_threshold"])
    names = [one.name for one in figures.of_runs(collection.Collection({"run": found}))]
    assert not {"simulated-ood", "simulated-iid"} & {*names}


def test_what_attackers_know_counts_nowhere(tmp_path: Path, write: Write) -> None:
    curve = np.array([[0.2, 0.4, 0.0], [0.6, 0.8, 0.0]])
    run = reader.open(write(tmp_path / "run.h5", curve))
    run = run.assign_coords(attacker=("device", [0, 0, 1]))
    found = summary.of(run)
    np.testing.assert_allclose(found.curves["ood"].mean, [0.3, 0.7])
    assert found.numbers["ood_worst"] == 0.6
    assert not any("device 2 never learned" in told for told in found.warnings)
    assert list(figures.of_run(run))


def test_accuracy_by_hops_is_the_mean_of_each_group(run: xr.Dataset) -> None:
    axes = first(one_of(run, "hops"))
    last = run["ood_accuracy_mixed"].to_numpy()[-1]
    line = labelled(axes, "round 6")
    np.testing.assert_allclose(
        line.get_ydata(), [last[0], (last[1] + last[4]) / 2, (last[2] + last[3]) / 2]
    )


def test_consensus_is_the_root_mean_square(tmp_path: Path, write: Write) -> None:
    apart = np.array([[3.0, 4.0], [0.3, 0.4]])
    told = write(tmp_path / "run.h5", np.ones((2, 2)), series={"consensus_distance": apart})
    axes = first(one_of(reader.open(told), "consensus"))
    root = labelled(axes, "root mean square")
    np.testing.assert_allclose(root.get_ydata(), np.sqrt([12.5, 0.125]))
    np.testing.assert_allclose(labelled(axes, "source 0").get_ydata(), [3.0, 0.3])
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["source 0", "root mean square", "a device"]


def test_cells_of_a_large_matrix_are_the_greatest_of_their_block(
    run: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixing, "CELLS", 3)
    picture = one_of(run, "mixing")
    (image,) = first(picture).get_images()
    # On a ring of five, device 4 has none but itself in its block, and hears 3 and 0.
    third = np.nan_to_num(np.asarray(image.get_array())) * 3
    np.testing.assert_allclose(third, [[1, 1, 1], [1, 1, 1], [1, 1, 1]])
    assert "among 2 by 2 devices" in picture.caption


def test_the_mixing_matrix_and_its_gap_are_those_of_the_file(run: xr.Dataset) -> None:
    left, _, right = one_of(run, "mixing").figure.axes
    (image,) = left.get_images()
    weights = run["W"].to_numpy()
    np.testing.assert_allclose(np.nan_to_num(image.get_array()), weights)
    assert right.get_title("right") == f"gap {1 - run['eigenvalue'].to_numpy()[1]:.3f}"


def test_bytes_are_summed_over_devices(tmp_path: Path, write: Write) -> None:
    bytes_ = np.full((3, 4), 2_000_000)
    run = reader.open(write(tmp_path / "run.h5", np.ones((3, 4)), series={"bytes_sent": bytes_}))
    each, all_ = one_of(run, "bytes").figure.axes
    np.testing.assert_allclose(each.get_lines()[0].get_ydata(), [8, 8, 8])
    np.testing.assert_allclose(all_.get_lines()[0].get_ydata(), [8, 16, 24])
    assert each.get_ylabel() == "sent in a round (MB)"


def test_curves_of_strategies_are_means_over_runs(study: collection.Collection) -> None:
    picture = next(figures.of_runs(study))
    pixels(picture)
    small = picture.figure.axes[0]
    lines = {line.get_color(): line for line in small.get_lines()}
    assert {*lines} == {style.color("unweighted"), style.color("degree")}
    mean = 0.25 + 0.4 + np.mean(np.arange(4) / 50)
    np.testing.assert_allclose(lines[style.color("degree")].get_ydata(), np.full(4, mean))


def test_bars_are_levels_of_all_devices(study: collection.Collection) -> None:
    picture = {one.name: one for one in figures.of_runs(study)}["levels"]
    heights = sorted(bar.get_height() for bar in first(picture).patches)
    own = [base + np.mean(np.arange(devices) / 50) for base in (0.25, 0.65) for devices in (4, 6)]
    np.testing.assert_allclose(heights, own)
    assert first(picture).get_title("right") == sides.WHISKERS


def test_relations_are_drawn_where_a_number_has_three_values(tmp_path: Path, write: Write) -> None:
    ring = nx.cycle_graph(5)
    paths = [
        write(tmp_path / f"{at}.h5", np.full((2, len(graph)), 0.1 * at), graph=graph)
        for at, graph in enumerate([nx.path_graph(4), ring, nx.path_graph(6), ring])
    ]
    told = {one.name: one for one in figures.of_runs(shelf.read(paths))}["relations"]
    names = [axes.get_xlabel() for axes in told.figure.axes]
    assert "devices" in names
    assert "source stationary weight" not in names
    assert told.caption.endswith("as two values decide no line: source stationary weight.")
    two = figures.of_runs(shelf.read(paths[:2]))
    assert "relations" not in [one.name for one in two]


def test_a_figure_grows_with_its_legend() -> None:
    heights = []
    for count in (2, 8):
        names = [f"gradient_tracking · metropolis_hastings, temperature {k}" for k in range(count)]
        figure, _ = sides.grouped(["-"], names, 24)
        sides.legend(figure, sides.lined(names))
        heights.append(figure.get_figheight())
    assert heights[1] - heights[0] == pytest.approx(6 * sides.LINE)


def test_a_strategy_has_one_colour_in_all_figures(study: collection.Collection) -> None:
    known = {style.color("unweighted"), style.color("degree")}
    neutral = {*map(matplotlib.colors.to_hex, (style.INK, style.FAINT, style.PAPER))}
    for picture in figures.of_runs(study):
        (legend,) = picture.figure.legends
        names = [text.get_text() for text in legend.get_texts()]
        colors = [_color(handle) for handle in legend.legend_handles]
        assert names == ["unweighted", "degree"], picture.name
        assert colors == [style.color(name) for name in names], picture.name
        lines = picture.figure.findobj(Line2D)
        plain = [line for axes in picture.figure.axes for line in axes.get_lines()]
        used = {matplotlib.colors.to_hex(line.get_color()) for line in lines if line in plain}
        assert used <= known | neutral, picture.name


def _color(handle: object) -> str:
    if isinstance(handle, Line2D):
        return matplotlib.colors.to_hex(handle.get_color())
    return matplotlib.colors.to_hex(handle.get_facecolor())  # type: ignore[attr-defined]


def test_all_strategies_have_colours_and_markers_of_their_own() -> None:
    names = list(STRATEGIES)
    assert len({style.color(name) for name in names}) == len(names)
    assert len({style.marker(name) for name in names}) == len(names)
    assert not {*map(style.color, names)} & {*style.KINDS.values()}


def test_all_algorithms_have_colours_and_markers_of_their_own() -> None:
    names = sorted(ALGORITHMS)
    assert not {*names} & {*STRATEGIES}
    assert len({style.color(name) for name in names}) == len(names)
    assert len({style.marker(name) for name in names}) == len(names)


def test_variants_of_a_strategy_share_its_colour_and_differ_in_line_and_marker() -> None:
    told = ["degree, temperature 0.1", "degree, temperature 0.05", "degree, temperature 1", "none"]
    variants = [one for one in labels.ordered(told) if one != "none"]
    assert variants == [f"degree, temperature {one}" for one in ("0.05", "0.1", "1")]
    assert {style.color(one) for one in variants} == {style.color("degree")}
    assert len({str(style.line(one, told)) for one in variants}) == 3
    assert len({style.marker(one, told) for one in variants}) == 3
    assert style.line("degree") == "-"
    assert style.line("degree, temperature 0.05") != "-"
    assert style.color("of_ones_own") == style.color("of_ones_own, power 2")


def test_algorithms_with_strategies_have_the_colour_of_one_and_a_line_for_the_other() -> None:
    pairs = [("dsgd", "degree"), ("dsgd", "unweighted"), ("choco", "degree")]
    told = [f"{algorithm} · {strategy}" for algorithm, strategy in pairs]
    assert [style.color(one) for one in told] == [style.color(one) for one, _ in pairs]
    lines = [style.line(one, told) for one in told]
    assert lines[0] == lines[2] != lines[1]


@pytest.mark.parametrize(("name", "format_"), [("heat", "png"), ("graph", "svg"), ("hops", "pdf")])
def test_the_same_figure_is_the_same_bytes(
    name: str, format_: str, run: xr.Dataset, tmp_path: Path
) -> None:
    paths = [figures.save(one_of(run, name), tmp_path / again, format_) for again in ("1", "2")]
    one, two = (path.read_bytes() for path in paths)
    assert one == two
    assert not re.search(rb"20\d\d-\d\d|D:20\d\d", one)


def test_a_format_that_is_none_is_the_users_fault(run: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"'gif'; formats: png, svg, pdf"):
        figures.save(next(figures.of_run(run)), tmp_path, "gif")


def test_an_embedded_figure_belongs_to_its_page(
    run: xr.Dataset, study: collection.Collection
) -> None:
    seen: set[str] = set()
    chosen = (one_of(run, "graph"), one_of(run, "heat"), one_of(run, "bytes"))
    for picture in (*chosen, next(figures.of_runs(study))):
        text = figures.svg(picture)
        assert text.startswith("<svg")
        assert text.endswith("</svg>")
        assert len(text) < 150_000
        assert "<style" not in text
        assert "var(--ink" in text
        root = ElementTree.fromstring(text)
        assert root.get("role") == "img"
        title = root[0]
        assert (title.tag.endswith("title"), title.text) == (True, picture.title)
        assert root.get("aria-labelledby") == title.get("id")
        ids = re.findall(r' id="([^"]+)"', text)
        assert len(ids) == len({*ids})
        assert not seen & {*ids}
        seen |= {*ids}
        assert {*re.findall(r'(?:href="#|url\(#)([^")]+)', text)} <= {*ids}
        plain = re.sub(r"var\([^)]*\)", "", text)
        assert not {style.INK, style.FAINT, style.PAPER} & {*re.findall("#[0-9a-f]{6}", plain)}


def arrivals(picture: figures.Picture) -> dict[float, float]:
    """What was measured by what was predicted."""
    points = [dots.get_offsets() for dots in first(picture).collections]
    return {round(x, 6): y for found in points for x, y in np.asarray(found).tolist()}


def test_arrival_is_shown_against_its_prediction(tmp_path: Path, write: Write) -> None:
    # A ring of five, the source 0: 3/2 d (5 - d) rounds are predicted. Devices 1 and 4 reach a
    # half in round 2, device 2 in round 5, device 3 never.
    knows = np.zeros((6, 5))
    knows[1:, [1, 4]], knows[4:, 2] = 0.5, 1.0
    run = reader.open(write(tmp_path / "run.h5", knows))
    (picture,) = (one for one in figures.of_run(run) if one.name == "passage")
    axes = first(picture)
    assert arrivals(picture) == {6.0: 2.0, 9.0: pytest.approx(1.12 * 6)}
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "not in\n6 rounds"
    # Ranks 1.5 1.5 3.5 3.5 against 1.5 1.5 3 4, of prediction as of hops.
    rank = measures.spearman(np.array([6, 9, 9, 6.0]), np.array([2, 5, math.nan, 2]))
    assert rank == pytest.approx(0.9428, abs=1e-4)
    assert axes.get_title(loc="right") == "Spearman: prediction 0.94, hops 0.94"
    labels = {text.get_text() for text in picture.figure.legends[0].get_texts()}
    assert labels == {"1 hop", "2 hops"}


def test_arrival_follows_the_threshold(tmp_path: Path, write: Write) -> None:
    run = reader.open(write(tmp_path / "run.h5", RISING))
    for threshold, want in ((0.2, 2), (0.9, 6)):
        (picture,) = (one for one in figures.of_run(run, threshold) if one.name == "passage")
        assert set(arrivals(picture).values()) == {want}
        assert first(picture).get_ylabel() == f"rounds to OOD accuracy {threshold:g}"
        assert first(picture).get_title(loc="right") == ""


def test_predictions_far_apart_are_on_a_logarithmic_axis(tmp_path: Path, write: Write) -> None:
    knows = np.linspace(0, 1, 4)[:, None] * np.ones(12)
    run = reader.open(write(tmp_path / "run.h5", knows, graph=nx.path_graph(12), sources=[1]))
    assert first(one_of(run, "passage")).get_xscale() == "log"


@pytest.mark.slow
def test_embedded_figures_of_many_devices_stay_small(tmp_path: Path, write: Write) -> None:
    knows = np.random.default_rng(0).random((40, 110))
    graph = nx.barabasi_albert_graph(110, 4, seed=0)
    run = reader.open(write(tmp_path / "run.h5", knows, graph=graph))
    for name in ("graph", "hops"):
        assert len(figures.svg(one_of(run, name))) < 150_000, name


def edge_cases() -> dict[str, tuple[dict[str, object], set[str], set[str]]]:
    """What is written, the figures that have nothing to show, and those to draw."""
    some = np.array(RISING)
    some[2:4, 1] = np.nan
    apart = nx.disjoint_union(nx.cycle_graph(3), nx.empty_graph(2))
    grown = np.geomspace(1, 1e30, 30).reshape(6, 5)
    measured = {"accuracy", "heat", "hops", "passage", "moments"}
    return {
        "one device": (
            {"ood": RISING[:, :1]},
            {"heat", "hops", "passage", "moments", "consensus", "mixing"},
            {"accuracy", "graph", "labels", "seconds"},
        ),
        "one round": ({"ood": RISING[3:4]}, set(), {*OF_RUN} - {"mixing", "labels"}),
        "no whole round": (
            {"ood": RISING, "done": 0, "completed": False},
            measured | {"simulated", "consensus", "seconds", "bytes"},
            {"graph"},
        ),
        "no OOD data": (
            {"ood": np.full((6, 5), np.nan), "iid": RISING, "sources": ()},
            {"heat", "hops", "passage"},
            {"accuracy", "graph", "moments"},
        ),
        "devices never reached": ({"ood": RISING, "graph": apart}, {"passage"}, {"heat", "hops"}),
        "some not measured": ({"ood": some}, set(), measured),
        "one moment": ({"ood": RISING, "moments": ("trained",)}, {"moments"}, {"accuracy"}),
        "no links": (
            {"ood": RISING, "graph": nx.empty_graph(5)},
            {"hops", "passage"},
            {"graph", "mixing"},
        ),
        "all on one rank": (
            {"ood": RISING, "series": {"bytes_sent": np.zeros((6, 5))}},
            {"bytes"},
            set(),
        ),
        "models that blow up": (
            {"ood": RISING, "series": {"consensus_distance": grown}},
            set(),
            {"consensus"},
        ),
        "models gone": (
            {"ood": RISING, "series": {"consensus_distance": np.full((6, 5), np.inf)}},
            {"consensus"},
            set(),
        ),
    }


@pytest.mark.parametrize(
    "case", slow_but(edge_cases(), "one round", "no links", "no OOD data", "models that blow up")
)
def test_only_what_can_be_shown_is_drawn(case: str, tmp_path: Path, write: Write) -> None:
    told, missing, drawn_ = edge_cases()[case]
    found = list(figures.of_run(reader.open(write(tmp_path / "run.h5", **told))))
    assert {*OF_RUN} - {picture.name for picture in found} == missing
    for picture in found:
        assert not re.search(r"\bnan\b", picture.caption), picture.name
        if picture.name in drawn_:
            pixels(picture)


def test_a_run_without_weights_has_its_graph(run: xr.Dataset) -> None:
    bare = run.drop_vars(["W", "eigenvalue", "stationary"])
    found = {picture.name: picture for picture in figures.of_run(bare)}
    assert {*OF_RUN} - {*found} == {"mixing", "passage"}
    alone = one_of(run.drop_vars("eigenvalue"), "mixing")
    assert len(alone.figure.axes) == 2
    assert "half of a link" not in found["graph"].caption


def test_runs_without_ood_data_or_rounds_have_fewer_figures(tmp_path: Path, write: Write) -> None:
    nothing = np.full((4, 4), np.nan)
    paths = [
        write(tmp_path / f"{seed}.h5", nothing, RISING[:4, :4], settings=[f"training.seed={seed}"])
        for seed in range(2)
    ]
    found = [one.name for one in figures.of_runs(shelf.read(paths))]
    assert found == ["curves-iid", "simulated-iid", "levels", "thresholds"]
    empty = [
        write(tmp_path / f"empty/{seed}.h5", RISING, done=0, settings=[f"training.seed={seed}"])
        for seed in range(2)
    ]
    assert not list(figures.of_runs(shelf.read(empty)))


def test_a_single_run_is_a_collection_too(tmp_path: Path, write: Write) -> None:
    found = list(figures.of_runs(shelf.read([write(tmp_path / "run.h5", RISING)])))
    for picture in found:
        pixels(picture)
    assert "curves-ood" in [picture.name for picture in found]


def test_runs_that_never_reach_the_threshold_are_told(tmp_path: Path, write: Write) -> None:
    low, high = np.full((4, 3), 0.1), np.full((4, 3), 0.1)
    high[2:] = 0.8
    paths = [
        write(tmp_path / f"{seed}.h5", curve, settings=[f"training.seed={seed}"])
        for seed, curve in enumerate((low, low, high))
    ]
    told = {one.name: one for one in figures.of_runs(shelf.read(paths))}["thresholds"]
    pixels(told)
    axes = first(told)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[-1] == "not in\n4 rounds"
    assert drawn.missed([4, 5]) == "not\nreached"
    hollow = [line for line in axes.get_lines() if line.get_markerfacecolor() == "none"]
    assert sum(len(np.asarray(line.get_xdata())) for line in hollow) == 2


def test_panels_are_capped_and_the_figure_says_so(tmp_path: Path, write: Write) -> None:
    paths = [
        write(
            tmp_path / f"{many}.h5", np.full((2, 4), 0.5), settings=[f"training.batch_size={many}"]
        )
        for many in range(1, 14)
    ]
    picture = next(figures.of_runs(shelf.read(paths)))
    assert len(picture.figure.axes) == 12
    assert "1 more cell is left out." in picture.caption
    titles = [axes.get_title("left") for axes in picture.figure.axes]
    assert titles == [f"batch size {many}" for many in range(1, 13)]


def test_labels_of_cells_are_wrapped() -> None:
    assert sides.wrapped("ba_16_2, published:1", 12) == "ba_16_2,\npublished:1"
    assert sides.wrapped("no attack, lr 0.1, k 2", 16) == "no attack,\nlr 0.1, k 2"


def test_the_style_is_this_packages_whatever_the_users(run: xr.Dataset) -> None:
    with matplotlib.rc_context({"font.size": 30.0, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        text = figures.svg(next(figures.of_run(run)))
        assert dict(matplotlib.rcParams) == before
    assert "<text" in text
    assert "30px" not in text


def test_a_run_loads_no_plotting() -> None:
    code = "import sys, mpidl.run.command; assert not {'matplotlib', 'PIL'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
