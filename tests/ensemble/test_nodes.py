"""The nodes of a job of PBS: which of them are down."""

import json
import time

import pytest

from mpidl.config.faults import Fault
from mpidl.ensemble import allocation, nodes


@pytest.fixture
def told(monkeypatch):
    """``told(**states)``: what pbsnodes says of nodes from then on."""

    def tell(**states):
        text = json.dumps({"nodes": {name: {"state": state} for name, state in states.items()}})
        monkeypatch.setattr(allocation, "ask", lambda *words: text)

    return tell


def test_a_node_is_down_where_pbs_knows_it(told):
    told(x1="free", x2="down,job-busy", x3="state-unknown,down", x4="offline")
    assert nodes.down(["x1", "x2", "x3", "x4"]) == {"x2"}


def test_no_node_is_down_where_pbs_does_not_answer(monkeypatch):
    def refuse(*words):
        raise Fault("pbsnodes: cannot connect")

    monkeypatch.setattr(allocation, "ask", refuse)
    assert nodes.down(["x1"]) == set()
    monkeypatch.setattr(allocation, "ask", lambda *words: "[]")
    assert nodes.down(["x1"]) == set()


def test_a_node_is_lost_after_two_looks(told, monkeypatch):
    monkeypatch.setattr(nodes, "LOOK", 0.01)
    monkeypatch.setenv("MPIDL_MARGIN", "0")
    told(x1="free", x2="down")
    watch = nodes.NodeWatch(["x1.site", "x2.site"])
    deadline = time.monotonic() + 10
    while not watch.lost and time.monotonic() < deadline:
        time.sleep(0.01)
    assert watch.lost == "x2"
    assert watch.overdue
