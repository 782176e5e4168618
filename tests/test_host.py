"""What a process is told of its host and its launcher."""

import ctypes
from pathlib import Path

import pytest

from mpidl import host

SLACK = Path("/proc/self/timerslack_ns")


@pytest.mark.parametrize(
    ("variables", "want"),
    [
        ({}, None),
        ({"PMI_SIZE": "4"}, 4),
        ({"SLURM_STEP_NUM_TASKS": "3"}, 3),
        ({"PMI_SIZE": "x"}, None),
    ],
)
def test_what_launchers_tell(monkeypatch, variables, want):
    for name in host.LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert host.told(host.LAUNCHED) == want


@pytest.mark.skipif(not SLACK.exists(), reason="not Linux")
@pytest.mark.parametrize(("ranks", "want"), [(4, 50_000), (8, 50_000), (64, 400_000)])
def test_many_ranks_on_a_core_nap_longer(monkeypatch, ranks, want):
    monkeypatch.setattr(host, "cores", lambda: 2)
    monkeypatch.setenv("MPI_LOCALNRANKS", str(ranks))
    monkeypatch.setenv("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")
    prctl = ctypes.CDLL(None).prctl
    prctl(host.PR_SET_TIMERSLACK, 50_000, 0, 0, 0)
    try:
        host.advise()
        assert int(SLACK.read_text()) == want
    finally:
        prctl(host.PR_SET_TIMERSLACK, 0, 0, 0, 0)
