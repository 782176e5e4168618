"""Ensembles that are started outside an allocation, and ask for nodes themselves."""

import subprocess
import threading
import time

from mpi4py import MPI

import pytest

from mpidl.ensemble.folder import Folder
from tests.ensemble.conftest import LIMIT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
]

SLURM = """
launcher = "srun"
scheduler = "slurm"
options = ["--mpi=pmi2"]
[node]
cpus = 2
"""


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(SLURM)
    return path


@pytest.mark.parametrize("ranks", [1, 2])
def test_slurm_gives_nodes(two, tmp_path, command, slurm, site, ranks):
    """Runs of one rank share a node, those of two have one of two for themselves."""
    code, out, err = command(
        *(two, "--site", site, "--ranks", ranks, "--nodes", ranks, "--walltime", "00:10:00"),
        SLURM_CONF=slurm["SLURM_CONF"],
    )
    folder = Folder(tmp_path / "results/four")
    assert (code, err) == (0, ""), out
    assert "done 2  failed 0" in out
    starts = [(folder.logs / f"{a.name}.txt").read_text() for a in folder.attempts()]
    nodes = {text.partition("--nodelist ")[2].split()[0] for text in starts}
    assert nodes == ({"n1"} if ranks == 1 else {"n1", "n2"})
    left = subprocess.run(
        ["squeue", "--noheader"], env={**slurm}, capture_output=True, text=True, check=True
    )
    assert left.stdout == ""


def test_what_slurm_refuses_is_told(two, command, slurm, site):
    code, _, err = command(
        *(two, "--site", site, "--walltime", "00:10:00", "--queue", "nowhere"),
        SLURM_CONF=slurm["SLURM_CONF"],
    )
    assert code == 2
    assert "Parsl gets no nodes" in err
    assert "invalid partition" in err
    assert "Traceback" not in err


def test_pbs_gives_nodes(two, tmp_path, begin, pbs):
    queue = pbs("aurora")
    file = queue.checkout / "launch/sites/aurora.toml"
    file.write_text(file.read_text().replace('interface = "hsn0"', 'interface = "lo"'))
    words = ["--account", "project", "--queue", "debug", "--filesystems", "home:flare"]
    python = str(queue.checkout / ".venv/bin/python")
    words += ["--walltime", "0.5h"]
    process = begin(two, "--site", file, *words, python=python, **queue.environment)
    done = []

    def work_off():
        while process.poll() is None:
            done[:] = queue.work_off() or done
            # It would take a core from the driver.
            time.sleep(0.1)

    worker = threading.Thread(target=work_off, daemon=True)
    worker.start()
    out, err = process.communicate(timeout=LIMIT)
    folder = Folder(tmp_path / "results/four")
    assert (process.returncode, err) == (0, ""), out
    assert "done 2  failed 0" in out
    assert {attempt.slot for attempt in folder.attempts()} <= set(range(6))
    job = queue.job(1)
    assert job["Account_Name"] == "project"
    assert job["Resource_List"]["select"] == "1:ncpus=208"
