"""The pages say what is true: sizes, counts, rooms, settings, links."""

import re
import sys
import tomllib

from mpi4py import MPI

import pytest

from mpidl.plan import KINDS
from tests.docs.markdown import PAGES, ROOT

sys.path.append(str(ROOT / "docs/scripts"))
import run_file

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="reads files alone")

README = (ROOT / "README.md").read_text()

LINK = re.compile(r"\]\((?!https?:)([^)\s]*)\)|^\[\w+\]: (\S+)$", re.MULTILINE)

SECTIONS = {
    "topologies": "topology",
    "strategies": "strategy",
    "schedules": "schedule",
    "learning-rate schedules": "lr_schedule",
    "algorithms": "algorithm",
    "data sets": "data",
    "OOD data": "ood",
    "placements": "placement",
    "models": "model",
    "tasks": "task",
    "backends": "exchange",
    "attacks": "attack",
    "loggers": "record",
}
"""The section of the run file for each line of README's table."""


def test_readme_is_one_screen():
    lines = README.splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 120


def test_readme_counts_what_can_be_named():
    rows = re.findall(r"^\| \[([\w -]+)\]\([^)]*\) \| (\d+) \| (.*) \|$", README, re.MULTILINE)
    # Loggers are in docs/reports.md, as no result depends on them.
    assert {SECTIONS[kind]: int(count) for kind, count, _ in rows} == {
        section: len(KINDS[section]) for section in KINDS
    }
    for kind, _, names in rows:
        assert {*re.findall("`([^`]*)`", names)} <= {*KINDS[SECTIONS[kind]]}


@pytest.mark.parametrize("page", ["README.md", "docs/house.md"])
def test_floors_are_those_of_the_import_contract(page):
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    files = {path.stem for path in (ROOT / "mpidl").glob("*.py")}
    layers = [{*layer.split(" | ")} - files for layer in contract["contracts"][0]["layers"]]
    floors: dict[int, set[str]] = {}
    for floor, told in re.findall(r"^\| (\d) \| (.*) \|$", (ROOT / page).read_text(), re.MULTILINE):
        rooms = {
            name for name in re.findall(r"`(\w+)/?`", told) if (ROOT / "mpidl" / name).is_dir()
        }
        floors.setdefault(int(floor), set()).update(rooms)
    assert [floors[floor] for floor in sorted(floors, reverse=True)] == layers


def test_the_page_of_settings_is_that_of_the_settings():
    remedy = "python docs/scripts/run_file.py writes it anew"
    assert run_file.PAGE.read_text() == run_file.text(), remedy


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    links = [one or other for one, other in LINK.findall(page.read_text())]
    missing = [
        link
        for link in links
        if (path := link.partition("#")[0]) and not (page.parent / path).exists()
    ]
    assert missing == []


def test_every_algorithm_has_a_page():
    folder = ROOT / "docs/algorithms"
    pages = {page.stem: page.read_text() for page in folder.glob("*.md")}
    index = pages.pop("index")
    assert pages.keys() == KINDS["algorithm"].keys()
    for name, text in pages.items():
        assert f"]({name}.md)" in index
        for heading in ("Equation", "Paper", "When to use it", "Measured"):
            assert f"\n## {heading}" in text, name


@pytest.mark.parametrize(
    ("page", "section"),
    [
        ("strategies.md", "strategy"),
        ("strategies.md", "schedule"),
        ("training.md", "lr_schedule"),
        ("topologies.md", "topology"),
        ("networks.md", "attack"),
        ("backends.md", "exchange"),
    ],
)
def test_a_page_names_all_of_its_kind(page, section):
    text = (ROOT / "docs" / page).read_text()
    names = {*KINDS[section]} - {"none"}
    assert {name for name in names if not re.search(f'[`"]{name}[`"]', text)} == set()
