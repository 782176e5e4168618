"""The jobs of PBS and Slurm that an ensemble asks for, as Parsl is told of them."""

import os
import shlex

from mpi4py import MPI

import pytest

from mpidl.ensemble import sites
from mpidl.ensemble.allocation import NodeRequest

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own")


@pytest.fixture
def provider(pbs, monkeypatch, tmp_path):
    """A stand-in for PBS, and Parsl's provider there, for two jobs at a time; none runs."""
    pytest.importorskip("parsl")
    from mpidl.ensemble import providers

    queue, later = pbs("aurora"), []
    for key, value in queue.environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("PBS_JOBID", raising=False)
    site = sites.read("aurora")
    wanted = {"account": "project", "queue": "capacity"}
    site = site.model_copy(update={"submission": site.submission.model_copy(update=wanted)})
    made = providers.make(site, NodeRequest(1, 2, 3600.0), lambda *words: later.append(words))
    made.script_dir, made.said = str(tmp_path), later
    return queue, made


def states(made, *numbers):
    return [status.state.name for status in made.status([f"{number}.pbs" for number in numbers])]


def test_every_job_of_pbs_is_known_and_counts_until_it_is_gone(provider):
    queue, made = provider
    jobs = [made.submit("true", 1) for _ in range(2)]
    assert made.said == [("qdel", job) for job in jobs]
    assert states(made, 1, 2) == ["PENDING", "PENDING"]
    queue.ask("qhold", "2.pbs")
    assert states(made, 1, 2) == ["PENDING", "PENDING"]
    queue.begin(1)
    assert states(made, 1, 2) == ["RUNNING", "PENDING"]
    assert made.cancel(jobs) == [True, True]
    # The first one has not ended yet: Parsl may ask for one only.
    assert states(made, 1, 2) == ["COMPLETED", "COMPLETED"]
    assert made.max_blocks == 1
    queue.end(1)
    made.status(jobs)
    assert made.max_blocks == 2
    assert made.cancel(jobs) == [True, True]


def test_jobs_stay_as_they_were_while_pbs_says_nothing(provider, monkeypatch):
    queue, made = provider
    made.submit("true", 1)
    queue.begin(1)
    assert states(made, 1) == ["RUNNING"]
    monkeypatch.setenv("STAND_IN_PBS", "nowhere")
    assert states(made, 1) == ["RUNNING"]
    assert made.cancel(["1.pbs"]) == [False]


@pytest.mark.parametrize("setup", ["false # it fails", "module load frameworks"])
def test_a_job_ends_where_its_setup_fails(pbs, monkeypatch, tmp_path, setup):
    """A job's script is one of a login shell: there ``module`` is known."""
    pytest.importorskip("parsl")
    from mpidl.ensemble import providers

    queue = pbs("aurora")
    monkeypatch.delenv("PBS_JOBID", raising=False)
    for key, value in queue.environment.items():
        monkeypatch.setenv(key, value)
    site = sites.read("aurora").model_copy(update={"setup": [setup], "environment": {"A": "b c"}})
    made = providers.make(site, NodeRequest(1, 1, 3600.0), lambda *words: None)
    made.script_dir, made.account = str(tmp_path), "project"
    made.submit('echo "$A, $LOADEDMODULES, $((MPIDL_ENDS - $(date +%s) > 3500))"', 1)
    ((code, log),) = queue.work_off()
    (out,), (err,) = (list(tmp_path.glob(f"parsl.*.std{name}")) for name in ("out", "err"))
    if "false" in setup:
        assert (code, out.read_text()) == (2, "")
        assert "mpidl: the job ends, as this fails: false # it fails" in err.read_text()
    else:
        assert (code, log) == (0, "")
        assert "b c, frameworks/2026, 1\n" in out.read_text()


@pytest.mark.parametrize(
    ("accounting", "suspended", "waits"), [(0, "SUSPENDED", "PENDING"), (1, "S", "PD")]
)
def test_a_suspended_job_of_slurm_is_live(monkeypatch, tmp_path, accounting, suspended, waits):
    """As ``sacct`` or, where there is no accounting, ``squeue`` tells."""
    pytest.importorskip("parsl")
    from mpidl.ensemble import providers

    told = f"cat {shlex.quote(str(tmp_path / 'told'))} 2>&1 || true"
    scripts = {
        "sbatch": f'cp "$1" {shlex.quote(str(tmp_path / "job"))}; echo Submitted batch job 7',
        "sacct": f"{told}; exit {accounting}",
        "squeue": told,
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    site, later = sites.read("slurm"), []
    wanted = {"account": "project", "queue": "long", "options": ["#SBATCH --qos=normal"]}
    site = site.model_copy(update={"submission": site.submission.model_copy(update=wanted)})
    made = providers.make(site, NodeRequest(2, 1, 3600.0), lambda *words: later.append(words))
    made.script_dir = str(tmp_path)
    job = made.submit("echo work", 1)
    assert (job, later) == ("7", [("scancel", "7")])
    script = (tmp_path / "job").read_text()
    for line in ("--partition=long", "--account=project", "--qos=normal", "--exclusive"):
        assert f"#SBATCH {line}\n" in script
    assert "srun --ntasks 2 -l --ntasks-per-node=1 --overlap" in script
    for state in (waits, suspended, "of a later Slurm"):
        (tmp_path / "told").write_text(f"7 {state}\n")
        assert [status.state.name for status in made.status([job])] == ["PENDING"]
