"""The page as text: what is on it, that it stands alone, and that it runs nothing it is shown."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import islice

import h5py
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mpidl.report import figures, page, whole
from mpidl.report import shelf as room
from mpidl.report.collection import Collection
from mpidl.report.figures import Picture
from mpidl.report.page import table

VOID = {"meta", "input", "link", "img", "br", "hr", "base"}
EVIL = """<script>alert(1)</script>"'&{{ 7 * 7 }}</pre><img src=x onerror=alert(2)>"""


class Page(HTMLParser):
    """Holds tags against each other, and keeps what the tests look at."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words, self.scripts = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        """Open an element."""
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Keep an element."""
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        """Close the element that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Keep what is read, and apart from it what is run."""
        (self.scripts if self.open[-1:] == ["script"] else self.words).append(data)

    def all(self, key):
        """The values of an attribute."""
        return [value for _, found, value in self.attributes if found == key]


@pytest.fixture
def plain(monkeypatch):
    """No figures, which take most of the time."""
    monkeypatch.setattr(figures, "of_run", lambda run, threshold: iter(()))
    monkeypatch.setattr(figures, "of_runs", lambda collection: iter(()))


def curves(rounds=4, devices=4):
    return np.linspace(0.1, 0.9, rounds * devices).reshape(rounds, devices)


def one(write, path, **how):
    return room.read([write(path / "one.h5", how.pop("ood", curves()), **how)])


def many(write, path, count):
    """Many runs from a few files."""
    files = [
        write(path / f"{name}.h5", curves(), settings=[f"strategy.name={name}"])
        for name in ("degree", "unweighted")
    ]
    kinds = list(room.read(files).summaries.values())
    return Collection(
        {
            f"run-{at}": replace(
                kinds[at % 2], settings={**kinds[at % 2].settings, "training.seed": at // 2}
            )
            for at in range(count)
        }
    )


def check(text):
    """Well-formed, whole by itself, and allowed to run its own script only."""
    found = Page(text)
    ids = found.all("id")
    assert len(ids) == len(set(ids))
    for _, key, value in found.attributes:
        assert not key.startswith("on")
        if key in ("href", "src", "xlink:href", "action", "data"):
            assert value.startswith(("#", "data:image/png;base64,"))
            assert not value.startswith("#") or value[1:] in ids
    for target in re.findall(r"url\(\s*['\"]?([^)]*)", text):
        assert target.startswith("#")
    assert not {"link", "base", "iframe", "object", "embed", "img"} & {*found.tags}
    assert "@import" not in text
    (script,) = found.scripts
    assert found.tags.count("script") == 1
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [value for value in found.all("content") if "default-src" in value]
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; ")
    return found


def test_one_run_with_its_figures(write, tmp_path, monkeypatch):
    drawn = figures.of_run
    monkeypatch.setattr(figures, "of_run", lambda *given: islice(drawn(*given), 3))
    text = page.text(one(write, tmp_path))
    found = check(text)
    assert len(text) < 500_000
    assert "figure-accuracy" in found.all("id")
    assert found.tags.count("svg") == found.tags.count("figcaption") == 3
    assert "batch_size = 16" in "".join(found.words)


def test_the_same_runs_give_the_same_page(write, tmp_path, plain):
    runs = one(write, tmp_path)
    assert page.text(runs) == page.text(room.read([tmp_path / "one.h5"]))


def test_several_runs(write, tmp_path, monkeypatch):
    drawn = figures.of_runs
    monkeypatch.setattr(figures, "of_runs", lambda runs: islice(drawn(runs), 1))
    runs = many(write, tmp_path, 6)
    found = check(page.text(runs))
    names = [value for value in found.all("id") if value.endswith("-table")]
    assert names[-1] == "runs-table"
    assert {"groups-table", "ranking-table", "pairs-table"} <= {*names}
    assert [value for value in found.all("href") if value == "#file-5"]
    assert found.all("scope").count("row") >= 6


def test_three_hundred_runs(write, tmp_path, plain):
    runs = many(write, tmp_path, 300)
    warned = {
        name: replace(run, warnings=(f"The run is unfinished: {at} of 400 rounds.",))
        for at, (name, run) in enumerate(runs.summaries.items())
    }
    text = page.text(Collection(warned))
    found = check(text)
    assert len(text) < 1_000_000
    assert found.tags.count("pre") == 1
    assert "300 warnings" in found.words
    assert "300 like this:" in found.words


@pytest.mark.parametrize(
    "how",
    [
        {"ood": np.full((3, 1), 0.5)},
        {"ood": np.full((3, 3), np.nan), "iid": curves(3, 3), "sources": ()},
        {"done": 2, "completed": False},
        {"done": 0, "completed": False},
        {"series": {"train_loss": np.full((4, 4), np.nan)}},
        {"ood": np.full((1, 2), np.nan), "sources": ()},
    ],
    ids=["one device", "no OOD", "unfinished", "not begun", "NaN", "nothing"],
)
def test_runs_with_little_to_show(write, tmp_path, how, plain):
    runs = one(write, tmp_path, **how)
    found = check(page.text(runs))
    assert "nan" not in {word.strip().lower() for word in found.words}
    text = " ".join(found.words)
    assert all(warning in text for run in runs.summaries.values() for warning in run.warnings)


def test_several_runs_of_which_none_is_finished(write, tmp_path, plain):
    files = [
        write(tmp_path / f"{name}.h5", curves(), done=done, completed=False)
        for name, done in (("a", 0), ("b", 2))
    ]
    found = check(page.text(room.read(files)))
    assert "2 warnings" in found.words


def test_all_that_is_shown_is_escaped(write, tmp_path, monkeypatch):
    def pictures(_):
        figure = Figure()
        figure.subplots().set_title(EVIL)
        yield Picture("name", EVIL, EVIL, figure)

    monkeypatch.setattr(figures, "of_runs", pictures)
    runs = many(write, tmp_path, 2)
    for run in runs.summaries.values():
        with h5py.File(run.path, "r+") as file:
            file.attrs["run_file"] += f"\n# {EVIL}\n"
    evil = {
        f"{EVIL}{name}": replace(
            run,
            settings={**run.settings, "model.name": f"{EVIL}{name}", "strategy.name": EVIL + name},
            made={**run.made, "mpidl": EVIL, "hosts": EVIL},
            warnings=(EVIL,),
        )
        for name, run in runs.summaries.items()
    }
    beside = pd.DataFrame({EVIL: [1.0], "measure": [EVIL]})
    text = page.text(Collection(evil, [f"{EVIL} is not a file."]), comparison=beside, refresh=5)
    found = check(text)
    assert "".join(found.words).count("alert(1)") > 20
    assert "7 * 7" in "".join(found.words)


@pytest.mark.parametrize("count", [1, 2])
def test_names_of_files_runs_and_graphs_are_shown_and_not_run(write, tmp_path, monkeypatch, count):
    name = "<script>alert(1)<"
    graph = tmp_path / f"{name}.txt"
    graph.write_text("0 1 0 1\n1 0 1 0\n0 1 0 1\n1 0 1 0\n")
    drawn = figures.of_run, figures.of_runs
    monkeypatch.setattr(figures, "of_run", lambda *given: islice(drawn[0](*given), 2))
    monkeypatch.setattr(figures, "of_runs", lambda runs: islice(drawn[1](runs), 2))
    files = [
        write(
            tmp_path / f"{name}script>" / f"{name}{number}.h5",
            curves(),
            settings=[f"topology.file={graph}", f"data.dir={name}", f"training.seed={number}"],
        )
        for number in range(count)
    ]
    text = page.text(room.read(files))
    found = check(text)
    assert "".join(found.words).count(name) > count
    assert "<script>alert" not in text


def test_a_page_that_refreshes_says_when(write, tmp_path, plain):
    runs = one(write, tmp_path)
    words = " ".join(check(page.text(runs, refresh=2.5)).words)
    assert re.search(r"Refreshes every 2\.5 s, last at\s+\d\d:\d\d:\d\d", words)
    assert "Refreshes" not in page.text(runs)


def test_the_comparison_is_there(write, tmp_path, plain):
    beside = pd.DataFrame({"strategy": ["degree"], "published": [12.345], "here": [np.nan]})
    found = check(page.text(one(write, tmp_path), comparison=beside))
    assert "paper-table" in found.all("id")
    assert {"12.3", table.DASH} <= {*found.words}
    found = check(page.text(one(write, tmp_path), comparison=beside.iloc[:0]))
    assert "None of these runs speaks" in " ".join(found.words)


def test_the_file_is_replaced_whole(write, tmp_path, plain, monkeypatch):
    runs = one(write, tmp_path)
    path = tmp_path / "new" / "report.html"
    assert page.write(runs, path) == path
    first = path.read_bytes()
    assert first.decode() == page.text(runs)
    monkeypatch.setattr(whole.os, "replace", _fails)
    with pytest.raises(OSError, match="disk"):
        page.write(runs, path, refresh=1)
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


def _fails(*_):
    raise OSError("disk")
