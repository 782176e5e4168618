"""The nodes of a job of PBS: which of them are down."""

import json
import time

import pytest

from mpidl.config.faults import Fault
from mpidl.ensemble import allocation, nodes, sites

JOB = {"exec_vnode": "(v1:ncpus=8+v1[1]:ncpus=4)+(v2:ncpus=8)+(v3:mem=1gb)+(v4)"}


def vnode(state, mom, host):
    """A vnode, as pbsnodes describes it."""
    return {"state": state, "Mom": mom, "resources_available": {"host": host, "ncpus": 8}}


@pytest.fixture
def told(monkeypatch):
    """``told(*vnodes)``: what pbsnodes says from then on; it gives the words that asked it."""
    monkeypatch.setenv("PBS_JOBID", "7.pbs")
    monkeypatch.setattr(allocation, "described", lambda job: JOB if job == "7.pbs" else {})
    asked = []

    def tell(*vnodes):
        text = json.dumps({"nodes": {f"v{number}": one for number, one in enumerate(vnodes, 1)}})

        def answer(*words):
            asked.append(words)
            return text

        monkeypatch.setattr(allocation, "ask", answer)
        return asked

    return tell


def test_a_node_is_down_where_pbs_knows_it(told):
    asked = told(
        vnode("free", "x1.site", "x1"),
        vnode("down,job-busy", "x2.site", "x2"),
        vnode("state-unknown,down", "x3.site", "x3"),
        vnode("offline", "x4.site", "x4"),
    )
    assert nodes.down(["x1", "x2", "x3", "x4"]) == {"x2"}
    assert asked == [("pbsnodes", "-v", "-F", "json", "v1", "v1[1]", "v2", "v3", "v4")]


@pytest.mark.parametrize(
    ("host", "mom", "own", "same"),
    [
        ("x2", "x2.site", "other", True),
        ("x2.site", "x2", "other", True),
        ("x2.site", "x2.elsewhere", "other", False),
        ("x2", "login,X2.site", "other", True),
        ("name", "x2.site", "name", True),
        ("x2", "x20.site", "x20", False),
    ],
)
def test_a_host_is_known_by_the_names_that_pbs_has_for_it(told, host, mom, own, same):
    told(vnode("free", "x1", "x1"), vnode("down", mom, own))
    assert nodes.down(["x1", host]) == ({host} if same else set())


def test_no_node_is_down_where_pbs_does_not_answer(told, monkeypatch):
    def refuse(*words):
        raise Fault("pbsnodes: cannot connect")

    told()
    monkeypatch.setattr(allocation, "ask", refuse)
    assert nodes.down(["x1"]) == set()
    for answer in ("[]", '{"nodes": {"v1": {"v1": "Unknown node"}}}'):
        monkeypatch.setattr(allocation, "ask", lambda *words, answer=answer: answer)
        assert nodes.down(["x1"]) == set()
    monkeypatch.setattr(allocation, "described", refuse)
    assert nodes.down(["x1"]) == set()


def test_a_node_is_lost_after_two_looks(told, monkeypatch):
    monkeypatch.setattr(nodes, "LOOK", 0.01)
    told(vnode("free", "x1", "x1"), vnode("down", "x2", "x2"))
    with nodes.NodeWatch(["x1.site", "x2.site"]) as watch:
        deadline = time.monotonic() + 10
        while not watch.lost and time.monotonic() < deadline:
            time.sleep(0.01)
    assert watch.reason == "PBS says that x2.site is down"
    assert nodes.lost(["x1.site", "x2.site"]) == {"x2.site"}


def test_this_node_alone_is_not_watched_nor_are_those_of_other_batch_systems(monkeypatch):
    monkeypatch.setattr(nodes.launchers.host, "name", lambda: "x1.site")
    for name in allocation.JOBS.values():
        monkeypatch.setenv(name, "7")
    aurora, slurm = sites.read("aurora"), sites.read("slurm")
    assert nodes.watched(aurora, ["x1"]) == ()
    assert nodes.watched(aurora, ["x2"]) == ["x2"]
    assert nodes.watched(slurm, ["x1", "x2"]) == ()
    monkeypatch.delenv("PBS_JOBID")
    assert nodes.watched(aurora, ["x1", "x2"]) == ()
