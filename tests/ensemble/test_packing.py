"""How a study is packed into nodes and jobs, by hand, and what is said of it."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpidl.config.faults import Fault
from mpidl.ensemble import cost, packing, resources, sites, study
from mpidl.ensemble.packing import Group, Offer
from mpidl.ensemble.shapes import Shape
from mpidl.ensemble.sites import Figure, Node, Queue, Site
from mpidl.ranks import host

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "launch" / "studies"

QUEUES = {
    "short": Queue(nodes=[1, 4], hours=1),
    "long": Queue(nodes=[1, 2], hours=10),
    "wide": Queue(nodes=[8, 64], hours=5, jobs=3, note="of a project"),
}


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("PBS_JOBID", raising=False)


def group(*seconds, slots=1, nodes=1, ranks=4):
    shape = Shape(ranks, nodes, -(-ranks // nodes), 1, slots)
    return Group(shape, (ranks, ranks), len(seconds), tuple(sorted(seconds, reverse=True)))


def test_runs_are_grouped_by_what_they_take():
    found = study.read(STUDIES / "timing")
    aurora = sites.read("aurora")
    estimates = {run.name: 60.0 * run.ranks for run in found.runs}
    made = packing.groups(found.runs, aurora, estimates)
    told = [(one.ranks, one.runs, one.shape.nodes, one.shape.slots) for one in made]
    assert told == [
        ((64, 64), 12, 6, 1),
        ((33, 33), 15, 3, 1),
        ((16, 16), 15, 2, 1),
        ((8, 8), 15, 1, 1),
    ]
    assert made[0].node_hours == 12 * 64 / 60 * 6
    (one,) = packing.groups(found.runs, Site(node=Node(cpus=2, ranks_per_place=64)), {})
    assert (one.ranks, one.runs, one.shape.slots, one.seconds) == ((8, 64), 57, 2, ())


def test_node_hours_of_runs_that_share_nodes():
    assert group(3600, 1800, slots=3).node_hours == 0.5


@pytest.mark.parametrize(
    ("work", "nodes", "walltime", "took"),
    [
        # Two at a time: 30 and 20, then 10 behind the 20.
        ([group(10, 20, 30, slots=2)], 1, 1e9, [30]),
        ([group(10, 20, 30)], 1, 1e9, [60]),
        ([group(10, 20, 30)], 3, 1e9, [30]),
        # A group begins when the one before it has ended.
        ([group(10, 40, nodes=2), group(5, 5, 5, slots=2)], 4, 1e9, [45]),
        # 36 s are taken by 30; what is left fits in another job.
        ([group(10, 20, 30)], 1, 36, [30, 30]),
        ([group(10, 20, 30)], 1, 46, [40, 20]),
        ([group(30), group(20)], 1, 36, [30, 20]),
        ([group(30), group(4)], 1, 36, [34]),
        ([group(31)], 1, 36, None),
        ([group(1, nodes=3)], 2, 1e9, None),
        ([], 1, 1e9, []),
    ],
)
def test_jobs_of_a_chain(work, nodes, walltime, took):
    assert packing.chain(work, nodes, walltime) == took


LENGTHS = st.lists(st.floats(1, 100), min_size=1, max_size=30)


@given(LENGTHS, st.integers(1, 8), st.floats(120, 1000))
def test_a_chain_does_all_work_in_time(lengths, nodes, walltime):
    took = packing.chain([group(*lengths)], nodes, walltime)
    assert took is not None
    assert max(took) <= walltime
    assert sum(lengths) / nodes <= sum(took) * (1 + 1e-9)
    assert sum(took) <= sum(lengths) * (1 + 1e-9)
    endless = packing.chain([group(*lengths)], nodes, float("inf"))
    assert endless is not None
    assert len(endless) == 1
    # The longest first is within 4/3 of the best packing.
    assert endless[0] <= 4 / 3 * (sum(lengths) / nodes + max(lengths))


@given(LENGTHS, st.integers(1, 8))
def test_more_time_needs_no_more_jobs(lengths, nodes):
    counts = [len(packing.chain([group(*lengths)], nodes, w) or []) for w in (120, 1200, 12000)]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize(
    ("nodes", "hours", "told"),
    [
        (5, None, "short takes 1 to 4 nodes, not 5."),
        (2, None, "short was asked for 2; a run of 9 ranks needs 3."),
        (None, 2, "short gives jobs 1 h, not 2 h."),
        (
            4,
            0.5,
            "short: a run of 40 min does not fit the 0.5 h asked for with 20% to spare and 5 min "
            "to stop.",
        ),
    ],
)
def test_why_a_queue_does_not_fit(nodes, hours, told):
    work = [group(2400, nodes=3, ranks=9)]
    assert packing.offer(work, "short", QUEUES["short"], nodes, hours) == told
    assert packing.offer(work, "long", QUEUES["long"], None, None) == (
        "long takes 1 to 2 nodes; a run of 9 ranks needs 3."
    )


def test_a_run_longer_than_a_queue_allows():
    told = packing.offer([group(7560)], "debug", Queue(nodes=[1, 2], hours=1), None, None)
    assert told == "debug: a run of 2.1 h does not fit its 1 h with 20% to spare and 5 min to stop."


def test_a_queue_gets_the_fewest_nodes_that_need_one_job():
    work = [group(*[1800] * 4)]
    # Two at a time take an hour, all of it; with time to spare it takes four.
    assert packing.offer(work, "short", QUEUES["short"], None, None) == Offer(
        "short", 4, 3000, (1800,)
    )
    assert packing.offer(work, "long", QUEUES["long"], None, None) == Offer(
        "long", 1, 9000, (7200,)
    )
    assert packing.offer(work, "wide", QUEUES["wide"], None, None) == Offer(
        "wide", 8, 3000, (1800,)
    )
    # One job does not do; three nodes are asked for.
    found = packing.offer(work * 3, "short", QUEUES["short"], 3, None)
    assert found == Offer("short", 3, 3600, (1800, 1800, 1800, 1800, 1800, 1800))
    assert isinstance(found, Offer)
    assert found.node_hours == 9


def test_gaps_of_the_alcf():
    aurora, polaris = sites.read("aurora").queues, sites.read("polaris").queues
    longer = "jobs of fewer and of more nodes get longer."
    assert packing.gaps(aurora) == [
        f"Jobs of 17 to 255 nodes fit only debug-scaling, 1 h at most; {longer}"
    ]
    assert packing.gaps(polaris) == [
        f"Jobs of 11 to 24 nodes fit only small, 3 h at most; {longer}"
    ]
    assert packing.gaps(QUEUES) == ["No queue takes jobs of 5 to 7 nodes."]
    assert packing.gaps({}) == []


def report(name, site, folder, *, nodes=None, queue=None, hours=None):
    found = study.read(STUDIES / name)
    there = site if isinstance(site, Site) else sites.read(site)
    return resources.report(found, there, "there", folder, nodes, queue, hours)


def test_a_plan_for_aurora(tmp_path):
    text = report("timing", "aurora", tmp_path, nodes=32)
    assert text.startswith("timing on there: 57 runs\n")
    assert "   64    12         6 nodes  1 on 6 nodes " in text
    assert "from the published testbed's wall times" in text
    assert "\nBest:\ndebug-scaling: 1 job of 32 nodes with walltime 00:" in text
    assert "\ncapacity takes 1 to 16 nodes, not 32.\n" in text
    assert "Jobs of 17 to 255 nodes fit only debug-scaling" in text


def test_the_queue_that_is_asked_for_comes_first(tmp_path):
    text = report("timing", "aurora", tmp_path, queue="prod")
    first, _, others = text.partition("\nThe others:\n")
    assert "small: 1 job of 256 nodes" in first
    assert "large: 1 job of 2,000 nodes" in first
    assert "debug takes 1 to 2 nodes; a run of 64 ranks needs 6." in others
    assert "Best" not in text
    with pytest.raises(Fault, match="Unknown queue 'debg'; did you mean 'debug'"):
        report("timing", "aurora", tmp_path, queue="debg")


def test_a_site_without_figures(tmp_path):
    text = report("timing", "polaris", tmp_path, nodes=40)
    assert (
        f"is not known: the same command inside a job there measures it and keeps it in {tmp_path}"
        in text
    )
    assert "16 nodes  1 on 16 nodes" in text
    assert "medium takes 25 to 99 nodes, 6 h at most; 10 at a time, of a project." in text
    assert "capacity takes 1 to 4 nodes, not 40." in text
    assert "With --ranks 4 no run takes more than one node." in text


@pytest.fixture
def fixed(monkeypatch):
    """Seconds that are not measured: 10 for each run."""
    monkeypatch.setattr(resources, "calibrate", lambda *_: [])
    monkeypatch.setattr(cost, "estimate", lambda *_: 10.0)
    rates = cost.Rates(0.002, 0.00003, 0.0, 5.0, 0.1, "made up")
    monkeypatch.setattr(cost, "rates", lambda *_: rates)


LOCAL = Site(node=Node(cpus=2, ranks_per_place=64))


@pytest.mark.usefixtures("fixed")
def test_a_plan_for_this_machine(tmp_path):
    assert report("smoke", LOCAL, tmp_path).splitlines() == [
        "smoke on there: 12 runs",
        "",
        "ranks  runs    a run takes  at a time  and goes on for  node-hours",
        "    4    12  1 of 2 places   2 a node             10 s         0.0",
        "",
        "digits with mlp hidden=[64]: 2 ms to train on a sample, 30 us to evaluate one, 5 s to "
        "start; made up.",
        "",
        "On this machine all of them end after 60 s.",
    ]


@pytest.mark.usefixtures("fixed")
def test_a_plan_for_a_cluster_of_which_nothing_is_known(tmp_path):
    slurm = Site(scheduler="slurm", node=Node(cpus=2))
    told = report("smoke", slurm, tmp_path, nodes=4, hours=0.5).splitlines()
    assert told[-3:] == [
        "",
        "1 job of 4 nodes with walltime 00:30:00; 60 s in all, 0.1 node-hours.",
        "The site's file has no [queues]; if it had, more sizes would be tried.",
    ]


def attempt(name, seconds, code=0, where=None):
    told = {"name": name, "attempt": 1, "started": "", "seconds": seconds, "code": code}
    return json.dumps({**told, "host": where or host.name(), "slot": 0, "estimate": 10.0}) + "\n"


@pytest.mark.usefixtures("fixed")
def test_what_ended_is_compared_and_corrects_the_rest(tmp_path):
    names = [run.name for run in study.read(STUDIES / "smoke").runs]
    lines = [attempt(names[0], 15), attempt(names[1], 20), attempt(names[2], 25)]
    lines += [attempt(names[3], 99, code=1), attempt(names[4], 99, where="elsewhere")]
    (tmp_path / "attempts.jsonl").write_text("".join(lines), encoding="utf-8")
    told = report("smoke", LOCAL, tmp_path).splitlines()
    assert told[-4:] == [
        "3 runs ended: 60 s in all, 30 s were expected; a run took 2.00 times its expected time "
        "(middle half 1.75 to 2.25).",
        "",
        "The 9 runs that are left, corrected by that ratio:",
        "On this machine all of them end after 100 s.",
    ]
    lines = [attempt(name, 10) for name in names]
    (tmp_path / "attempts.jsonl").write_text("".join(lines), encoding="utf-8")
    assert "12 runs ended: 2 min in all, 2 min were expected" in report("smoke", LOCAL, tmp_path)


def test_a_plan_names_what_its_sums_leave_out(tmp_path):
    known, unknown = (study.read(STUDIES / "smoke", more) for more in ([], ["data.name=mnist"]))
    both = dataclasses.replace(known, runs=(*known.runs, *unknown.runs[:5]))
    figure = Figure(data="digits", model="mlp", train=1e-3, evaluate=1e-4, source="by hand")
    there = Site(scheduler="slurm", node=Node(cpus=4), figures=[figure])
    lines = resources.report(both, there, "there", tmp_path, None, None, None).splitlines()
    assert lines[3].split()[:2] == ["4", "17"]
    assert " s (12 of 17)  " in lines[3]
    assert lines[4:6] == [
        "In these times and sums: digits with mlp hidden=[64] (12 runs).",
        "Not in them, as not known: mnist with mlp hidden=[64] (5 runs).",
    ]
    assert "In these times" not in report("smoke", there, tmp_path)
