"""The studies in the box: how many runs they have, what those are called, that all can be run."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from mpidl.ensemble import study
from tests.deal import slow_but

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "launch" / "studies"

COUNTS = {
    "smoke": 2 * 2 * 3,
    "example": 3 * 2 * 6,
    "knowledge": 3 * 2 * 4,
    "label_skew": 5 * 4 * 5,
    "mnist_small": 2 * 3 * 2 * 6,
    "mnist_testbed": 2 * 3 * 2 * 6,
    "paper": 3 * 5 * 12 * (5 * 4 + 1),
    "similarity": 3 * 5 * 9 * (2 * 5 + 2 * 9),
    "heterogeneous": 5 * 3 * (6 + 2 * 5),
    "timing": 3 * (5 * 4 - 1),
    "temperature": 3 * 5 * 3 * 3 * 3,
    "centralities": 3 * 5 * 3 * 4 * 4,
    "multi_source": 3 * (4 * 4 + 1) * 3 * 7,
}
"""Seeds, data sets, graphs and the rest, as the head of each study says."""

PUBLISHED = {"paper": 3780, "similarity": 3780, "heterogeneous": 240, "timing": 57}
"""Counts of the published testbed's scripts."""

PINNED = {
    "mnist_small": "ba_8_2-0-first-unweighted-4b1c222d15",
    "mnist_testbed": "ba_16_2-2-fourth-federated-testbed-fb701930a0",
    "paper": "cifar100-sb_.09-2-fourth-betweenness-8878057dc9",
    "similarity": "mnist-ba_8_1-0-degree_sim-c2-47c56c2f3d",
}
"""A run of each, whose results would not be found again under another name."""

BYTES = 80

USAGE = """
import sys
import mpi4py; mpi4py.rc.initialize = False
from pathlib import Path
from mpidl.ensemble import study
found = study.read(Path(sys.argv[1]))
# Not what getrusage tells, which counts the process that started this one.
status = Path("/proc/self/status").read_text().partition("VmHWM:")[2]
print(len(found.runs), int(status.split()[0]) / 1e3)
"""


@cache
def read(name):
    return study.read(STUDIES / name)


@pytest.fixture(autouse=True)
def _in_some_folder(monkeypatch, tmp_path):
    # Graphs that run files name are found from everywhere.
    monkeypatch.chdir(tmp_path)


def test_every_study_is_counted():
    assert sorted(path.parent.name for path in STUDIES.glob("*/study.toml")) == sorted(COUNTS)


@pytest.mark.parametrize("name", slow_but(COUNTS, *({*COUNTS} - {"paper", "similarity"})))
def test_runs_of_a_study(name):
    runs = read(name).runs
    names = {run.name for run in runs}
    assert len(runs) == len(names) == COUNTS[name] == PUBLISHED.get(name, COUNTS[name])
    assert max(len(one.encode()) for one in names) <= BYTES
    assert PINNED.get(name, runs[0].name) in names


@pytest.mark.parametrize("name", [name for name in COUNTS if name != "smoke"])
def test_a_studys_head_says_its_count_and_command(name):
    head = (STUDIES / name / "study.toml").read_text(encoding="utf-8").partition("\n\n")[0]
    assert f"{COUNTS[name]:,} runs" in re.sub(r"\s+#?\s*", " ", head)
    assert f"python -m mpidl.ensemble launch/studies/{name} " in head


def test_what_the_published_sweep_varies():
    files = [run.file for run in read("paper").runs]
    federated = [file for file in files if file.strategy.name == "federated"]
    assert {file.ood.sources for file in federated} == {"published:1"}
    assert len(federated) == 3 * 5 * 12
    assert len({file.topology.file for file in files}) == 36
    assert {(file.training.rounds, file.training.epochs) for file in files} == {(40, 5)}
    # A seed decides graph, split and initial model at once.
    assert all(f"_{file.training.seed}.txt" in (file.topology.file or "") for file in files)


def test_coefficients_and_schedules_of_the_similarity_study():
    files = [run.file for run in read("similarity").runs]
    similar = [file for file in files if file.strategy.name.endswith("_similarity")]
    assert sorted({1 / file.strategy.temperature for file in similar}) == [2, 4, 6, 8, 10]
    assert {file.schedule.name for file in similar} == {"constant"}
    falling = {
        (file.strategy.temperature, file.schedule.name, file.schedule.eta_min, file.schedule.period)
        for file in files
        if file not in similar
    }
    etas, periods = (0, -5, -10), (5, 8, 10)
    assert falling == {(0.1, "cosine", eta, period) for eta in etas for period in periods}
    sources = {file.topology.file is None: file.ood.sources for file in files}
    assert sources == {False: "published:4", True: "degree:4"}


def test_the_testbeds_twin_differs_by_its_switches_only():
    for right, wrong in zip(read("mnist_small").runs, read("mnist_testbed").runs, strict=True):
        assert right.labels.items() < wrong.labels.items()
        a, b = right.file, wrong.file
        assert (a.topology, a.data, a.model, a.placement) == (
            b.topology,
            b.data,
            b.model,
            b.placement,
        )
        assert (a.ood, a.training.rounds, a.training.lr) == (
            b.ood,
            b.training.rounds,
            b.training.lr,
        )
        assert (b.training.init, b.training.order) == ("per_device", "fixed")
        assert (b.training.optimizer_state, b.exchange.mixing) == ("reset", "sequential")
        assert b.strategy.name != "random" or b.strategy.draw == "frozen"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_largest_study_takes_little_memory():
    done = subprocess.run(
        [sys.executable, "-c", USAGE, str(STUDIES / "paper")],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    count, megabytes = map(float, done.stdout.split())
    assert count == 3780
    assert megabytes < 300
