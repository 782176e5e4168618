"""Ranks that are forked from one process are as if the launcher had started each of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from mpi4py import MPI

import pytest

from mpidl.ranks import host, standin

MPIEXEC = Path(sys.executable).with_name("mpiexec")
PATIENCE = 60.0
"""Seconds after which a job counts as hanging, on however busy a machine."""

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]

IMPORTED = """
import os
importer = None
def prepare(arguments):
    global importer
    importer = os.getpid(), arguments
    {then}
"""

BEGIN = """
import json, os, signal, sys
from mpidl.ranks import importer, standin
standin.fork_from_one("imported")
rank = int(os.environ["PMI_RANK"])
"""

TELL = """
def main():
    import imported
    told = {"rank": rank, "forked": importer.forked, "importer": imported.importer}
    told |= {"arguments": sys.argv[1:], "folder": os.getcwd(), "own": os.environ.get("OWN")}
    told |= {"cores": sorted(os.sched_getaffinity(0)), "parent": os.getppid()}
    told |= {"manager": os.fstat(int(os.environ["PMI_FD"])).st_ino}
    told |= {"input": sys.stdin.read() if rank == 0 else ""}
    with open(f"rank{rank}.json", "w") as file:
        json.dump(told, file)
    return 0
standin.end_with(main)
"""


@pytest.fixture
def launch(tmp_path):
    """As ``launch(script, *before, fork, then, text, first)``: a job's code, lines, errors."""

    def start_job(script, *before, fork=1, then="pass", text="", first=""):
        (tmp_path / "imported.py").write_text(IMPORTED.format(then=then))
        environment = host.unlaunched(os.environ)
        environment |= {"PYTHONPATH": str(tmp_path), standin.SWITCH: str(fork)}
        command = [sys.executable, "-c", first + BEGIN + script]
        parts = before or (("-n", "3"),)
        line = [MPIEXEC]
        for number, part in enumerate(parts):
            line += [*part, *command, str(number), ":"]
        ended = subprocess.run(
            line[:-1], cwd=tmp_path, env=environment, input=text, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout.splitlines(), ended.stderr

    return start_job


@pytest.fixture
def told(launch, tmp_path):
    """As ``launch``, for ranks that tell what they are and end well: what they tell, in order."""

    def tell(*before, **options):
        code, lines, err = launch(TELL, *before, **options)
        assert (code, lines, err) == (0, [], "")
        paths = sorted(tmp_path.glob("rank*.json"))
        ranks = [json.loads(path.read_text()) for path in paths]
        for path in paths:
            path.unlink()
        return ranks

    return tell


def test_each_rank_is_what_the_launcher_started(told, tmp_path):
    ranks = told(*(("-n", "1", "-env", "OWN", name) for name in "abc"), text="read by the first")
    assert [r["rank"] for r in ranks] == [0, 1, 2]
    assert [r["own"] for r in ranks] == ["a", "b", "c"]
    assert [r["arguments"] for r in ranks] == [["0"], ["1"], ["2"]]
    assert [r["input"] for r in ranks] == ["read by the first", "", ""]
    assert {r["folder"] for r in ranks} == {str(tmp_path)}
    assert len({r["manager"] for r in ranks}) == 3
    assert all(r["forked"] for r in ranks)
    # One process has imported, for all.
    assert {tuple(r["importer"][1]) for r in ranks} == {("0",)}
    assert {r["importer"][0] for r in ranks} == {r["parent"] for r in ranks}


def test_ranks_keep_the_cores_they_are_bound_to(told):
    plain, forked = (told(("-n", "2", "-bind-to", "core:1"), fork=fork) for fork in (0, 1))
    assert [r["forked"] for r in plain + forked] == [False, False, True, True]
    assert [r["cores"] for r in plain] == [r["cores"] for r in forked]


@pytest.mark.parametrize(
    ("fork", "then"),
    [
        (0, "pass"),
        (1, "os.kill(os.getpid(), 9)"),
        *(
            pytest.param(1, end, marks=pytest.mark.slow)
            for end in ("raise RuntimeError", "os._exit(0)")
        ),
    ],
)
def test_without_an_importer_each_process_is_a_rank(told, fork, then):
    ranks = told(fork=fork, then=then)
    assert [(r["rank"], r["forked"], r["importer"]) for r in ranks] == [
        (rank, False, None) for rank in range(3)
    ]


def test_one_rank_is_not_forked(told):
    assert [r["forked"] for r in told(("-n", "1"))] == [False]


@pytest.mark.parametrize(
    "end",
    ["sys.exit(3)", "standin.end_with(lambda: 5)", "raise ValueError"]
    + [f"os.kill(os.getpid(), signal.{name})" for name in ("SIGTERM", "SIGSEGV", "SIGKILL")],
)
def test_the_launcher_sees_how_a_rank_ends(launch, end):
    script = f"if rank == 1:\n    {end}\n"
    plain, forked = (launch(script, fork=fork)[0] for fork in (0, 1))
    assert forked == plain != 0


def test_a_signal_to_a_stand_in_reaches_its_rank(launch):
    # The rank ends only when it gets the signal, which it sends to its stand-in. It finds that by
    # the importer's parent, the first rank's stand-in, which must not end before.
    script = """
import pathlib, time
found = pathlib.Path("found")
if rank == 1:
    signal.signal(signal.SIGUSR1, lambda number, frame: print("got it", flush=True) or os._exit(0))
    proxy = os.getppid()
    for _ in range(2):
        proxy = int(open(f"/proc/{proxy}/stat").read().rpartition(")")[2].split()[1])
    for process in map(int, open(f"/proc/{proxy}/task/{proxy}/children").read().split()):
        if b"PMI_RANK=1\\0" in open(f"/proc/{process}/environ", "rb").read():
            stand_in = process
    found.touch()
    os.kill(stand_in, signal.SIGUSR1)
while rank == 1 or not found.exists():
    time.sleep(0.01)
"""
    # As mpidl.run does: a rank may be quicker than its stand-in.
    first = "from mpidl.ranks import stopping\nstopping.listen(*stopping.WARNINGS)\n"
    code, lines, err = launch(script, first=first)
    assert (code, lines, err) == (0, ["got it"], "")
