"""The command line and environment of a run, for each launcher and place on a machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpidl.ensemble import launchers, shapes
from mpidl.ensemble.sites import Node, Site
from mpidl.ranks import host

MPIEXEC = Path(sys.executable).with_name("mpiexec")
HOSTS = ["a", "b", "c"]


def site(launcher, **node):
    given = {"cpus": ["0-3,8", "4-7"], "accelerators": ["1", "0"], "mask": "SEEN"}
    return Site(launcher=launcher, options=["--own"], node=Node(**(given | node)))


def composed(launcher, ranks, hosts, number=0, **node):
    there = site(launcher, **node)
    return " ".join(launchers.command(there, shapes.shape(there, ranks), hosts, number))


@pytest.mark.parametrize(
    ("launcher", "line"),
    [
        ("hydra", "mpiexec -n 5 -ppn 2 -hosts a,b,c -bind-to user:0+1+2+3+8,4+5+6+7 --own"),
        ("pals", "mpiexec -n 5 --ppn 2 --hosts a,b,c --cpu-bind list:0-3,8:4-7 --own"),
        ("openmpi", "mpiexec -n 5 --oversubscribe --bind-to none --host a:2,b:2,c:2 --own"),
        (
            "srun",
            "srun --overlap --nodes 3 --ntasks 5 --nodelist a,a,b,b,c --distribution arbitrary "
            "--cpu-bind=mask_cpu:0x10f,0xf0 --own",
        ),
    ],
)
def test_a_run_on_several_nodes(launcher, line):
    assert composed(launcher, 5, HOSTS) == line


def test_where_srun_spreads_ranks_evenly():
    line = composed("srun", 4, ["a", "b"], ranks_per_place=1)
    assert "--ntasks 4 --nodelist a,b --ntasks-per-node 2 --distribution block" in line
    assert "--overcommit" in composed("srun", 4, ["a"], ranks_per_place=2)


def test_hydra_reaches_nodes_of_slurm_by_slurm():
    there = site("hydra").model_copy(update={"scheduler": "slurm"})
    shape = shapes.shape(there, 4)
    assert "-launcher slurm" in " ".join(launchers.command(there, shape, ["a", "b"]))
    assert "-launcher fork" in " ".join(launchers.command(there, shape, [host.name()]))
    told = launchers.environment(there, shape, 0, {"SLURM_JOB_ID": "12", "SLURM_NTASKS": "8"})
    assert told == {"SLURM_JOB_ID": "12", "HYDRA_LAUNCHER_EXTRA_ARGS": "--overlap"}


@pytest.mark.parametrize(
    ("launcher", "words"),
    [
        ("hydra", "-hosts localhost -launcher fork -bind-to user:4+5+6+7"),
        ("pals", "--hosts localhost --cpu-bind list:4-7"),
        (
            "openmpi",
            "taskset -c 4-7 mpiexec -n 1 --oversubscribe --bind-to none --host localhost:1 -x SEEN",
        ),
        ("srun", "--cpu-bind=mask_cpu:0xf0"),
    ],
)
def test_a_run_in_a_slot_of_this_node(launcher, words):
    assert words in composed(launcher, 1, ["localhost"], 1)


def test_several_ranks_share_a_place():
    line = composed("pals", 3, ["a"], ranks_per_place=2)
    assert "--cpu-bind list:0-3,8:0-3,8:4-7" in line


@pytest.mark.parametrize("launcher", ["hydra", "pals", "openmpi", "srun"])
def test_all_cores_of_whole_nodes_are_left_to_the_launcher(launcher):
    line = composed(launcher, 4, ["a", "b"], cpus=2, accelerators=[])
    assert "bind-to user" not in line
    assert "cpu-bind" not in line


@pytest.mark.parametrize(("ranks", "number", "seen"), [(1, 0, "1"), (1, 1, "0"), (2, 0, None)])
def test_a_slot_sees_its_accelerators(ranks, number, seen):
    there = site("pals")
    found = launchers.environment(there, shapes.shape(there, ranks), number, {})
    assert found.get("SEEN") == seen


OUTSIDE = {
    "PATH": "/bin",
    "PBS_NODEFILE": "/nodes",
    "PALS_PING_PERIOD": "240",
    "HYDRA_LAUNCHER": "ssh",
    "OMPI_MCA_io": "^ompio",
    "SLURM_CONF": "/slurm.conf",
}
"""What a user or a site sets, and a run needs."""

LAUNCHED = {
    "PMI_RANK": "3",
    "PMIX_RANK": "3",
    "PALS_RANKID": "3",
    "PALS_LOCAL_RANKID": "3",
    "PALS_APID": "x",
    "HYDI_CONTROL_FD": "7",
    "MPI_LOCALNRANKS": "8",
    "OMPI_COMM_WORLD_SIZE": "8",
    "OMPI_MCA_orte_hnp_uri": "x",
    "PRTE_LAUNCHED": "1",
    "SLURM_PROCID": "3",
    "SLURM_NTASKS": "8",
}
"""What the launcher of the process that starts a run told that process."""


@pytest.mark.parametrize("launcher", ["hydra", "pals", "openmpi", "srun"])
def test_a_run_is_told_nothing_of_what_started_its_starter(launcher):
    there = site(launcher).model_copy(
        update={
            "environment": {"PATH": "/site"},
            "scheduler": "slurm" if launcher == "srun" else "pbs",
        }
    )
    outside = {**OUTSIDE, **LAUNCHED, "SLURM_JOB_ID": "12"}
    found = launchers.environment(there, shapes.shape(there, 2), 0, outside)
    job = {"SLURM_JOB_ID": "12"} if launcher == "srun" else {}
    assert found == OUTSIDE | {"PATH": "/site"} | job


TELL = """
import os
os.write(1, f"{os.environ['PMI_SIZE']} {sorted(os.sched_getaffinity(0))}\\n".encode())
"""


@pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python")
def test_ranks_of_a_slot_have_its_cores():
    cores = host.affinity()
    there = Site(node=Node(cpus=[str(core) for core in cores], ranks_per_place=2))
    shape, last = shapes.shape(there, 2), len(cores) - 1
    outside = {**os.environ, "PATH": f"{MPIEXEC.parent}{os.pathsep}{os.environ['PATH']}"}
    # As if a rank of four started it.
    outside |= {"PMI_RANK": "2", "PMI_SIZE": "4", "PMI_FD": "99", "MPI_LOCALNRANKS": "4"}
    ended = subprocess.run(
        [*launchers.command(there, shape, ["localhost"], last), sys.executable, "-c", TELL],
        env=launchers.environment(there, shape, last, outside),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # On a machine of one core there is nothing to keep apart, and the run is not bound.
    assert ended.stdout.splitlines() == [f"2 [{cores[last]}]"] * 2
