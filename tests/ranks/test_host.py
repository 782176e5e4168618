"""What a process is told of its host and its launcher."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpidl.ranks import host

BESIDE = """
import sys
from mpidl.ranks import host
while not host.sibling_cores(3):
    pass
print([len(host.sibling_cores(ranks)) for ranks in (3, 2, 4)], flush=True)
sys.stdin.read()
"""

BESIDE_SAYS = b"[3, 3, 0]\n"

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
    assert host.first_number(host.LAUNCHED) == want


@pytest.mark.skipif(not SLACK.exists(), reason="not Linux")
@pytest.mark.parametrize(("ranks", "want"), [(4, 50_000), (8, 50_000), (64, 400_000)])
def test_many_ranks_on_a_core_nap_longer(monkeypatch, ranks, want):
    monkeypatch.setattr(host, "cores", lambda: 2)
    monkeypatch.setattr(host, "sibling_cores", lambda ranks: [])
    monkeypatch.setenv("MPI_LOCALNRANKS", str(ranks))
    monkeypatch.setenv("MPIR_CVAR_ENABLE_HEAVY_YIELD", "1")
    prctl = ctypes.CDLL(None).prctl
    prctl(host.PR_SET_TIMERSLACK, 50_000, 0, 0, 0)
    try:
        host.advise()
        assert int(SLACK.read_text()) == want
    finally:
        prctl(host.PR_SET_TIMERSLACK, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("affinities", "want"),
    [
        ([{0}, {1}], 1),
        ([{8 * rank + core for core in range(8)} for rank in range(12)], 1 / 8),
        ([range(8)] * 12, 12 / 8),
        ([{0}, {0}, {1}], 2),
        ([{0, 1, 2, 3}, {0}], 1),
        ([{0, 1}, {0, 1}, {0, 1}, {2, 3}], 3 / 2),
        ([{5}], 1),
    ],
)
def test_ranks_are_a_crowd_where_they_share_cores(affinities, want):
    assert host.crowd(affinities) == want


@pytest.mark.skipif(not SLACK.exists(), reason="not Linux")
@pytest.mark.parametrize(
    ("known", "want"), [([{0}, {1}, {2}], None), ([{0}, {0}, {1}], "1"), ([], "1")]
)
def test_only_a_crowd_gives_its_cores_away(monkeypatch, known, want):
    monkeypatch.setattr(host, "cores", lambda: 1)
    monkeypatch.setattr(host, "sibling_cores", lambda ranks: known)
    monkeypatch.setenv("MPI_LOCALNRANKS", "3")
    # So that it is put back.
    monkeypatch.setenv("MPIR_CVAR_ENABLE_HEAVY_YIELD", "")
    monkeypatch.delenv("MPIR_CVAR_ENABLE_HEAVY_YIELD")
    host.advise()
    assert os.environ.get("MPIR_CVAR_ENABLE_HEAVY_YIELD") == want


@pytest.mark.parametrize(("given", "want"), [(None, "^ucx"), ("ucx", "ucx")])
def test_open_mpi_leaves_out_what_only_complains(monkeypatch, given, want):
    monkeypatch.setenv("OMPI_MCA_osc", given or "")
    if given is None:
        monkeypatch.delenv("OMPI_MCA_osc")
    host.advise()
    assert host.unlaunched(os.environ)["OMPI_MCA_osc"] == want


@pytest.mark.skipif(not SLACK.exists(), reason="not Linux")
def test_what_the_same_parent_started_is_known(tmp_path):
    """Before MPI starts, as ranks are: two with a shell around each, three without."""
    for words in ([sys.executable, "-c"], ["sh", "-c", f'{sys.executable} -c "$0"; true']):
        parent = f"""
import subprocess, sys
words = {words!r}
pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
ranks = [subprocess.Popen([*words, {BESIDE!r}], **pipes) for _ in range(3)]
print([rank.stdout.readline() for rank in ranks])
for rank in ranks:
    rank.communicate()
"""
        told = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True)
        assert (told.stdout, told.stderr) == (f"{[BESIDE_SAYS] * 3}\n", "")
