"""Launchers and MPI libraries that do not belong together."""

import signal
import subprocess
import sys

import pytest

from mpidl.config.faults import Fault
from mpidl.ranks import host, launcher

MPICH = "MPICH", (5, 0, 2)
OPEN_MPI = "Open MPI", (5, 0, 11)
INTEL = "Intel MPI", (2021, 18, 1)
DEAF = "MPICH Version: 5.0.2\nMPICH configure: --with-device=ch4:ucx --with-pm=hydra\n"

HYDRA = {"PMI_SIZE": "2", "PMI_RANK": "0", "HYDI_CONTROL_FD": "7"}
PRTERUN = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "PMIX_NAMESPACE": "prterun@1"}
SRUN = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"}
SRUN_PMIX = SRUN | {"PMIX_NAMESPACE": "slurm.pmix.1.0"}


@pytest.fixture
def around(monkeypatch):
    """Sets the variables of launchers, and those alone."""

    def replace(variables):
        for name in (*launcher.MARKS, *host.LAUNCHED, launcher.PMIX, "MPIR_CVAR_PMI_VERSION"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return replace


@pytest.mark.parametrize(
    ("variables", "library", "text", "want"),
    [
        (
            PRTERUN,
            MPICH,
            DEAF,
            "Open MPI's mpiexec started 2 ranks, but mpi4py runs on MPICH 5.0.2",
        ),
        (PRTERUN, MPICH, DEAF.replace("hydra", "no --with-pmix"), None),
        (PRTERUN, MPICH, "MPI VERSION : CRAY MPICH version 9.0.1\n", None),
        (PRTERUN, ("MPICH", (4, 0, 2)), DEAF, None),
        (PRTERUN | {"MPIR_CVAR_PMI_VERSION": "x"}, MPICH, DEAF, None),
        (PRTERUN | HYDRA, MPICH, DEAF, "PMIX_NAMESPACE is set beside PMI_SIZE"),
        (PRTERUN, OPEN_MPI, "", None),
        (PRTERUN, INTEL, "", None),
        (HYDRA, MPICH, DEAF, None),
        (HYDRA, INTEL, "", None),
        (
            HYDRA,
            OPEN_MPI,
            "",
            "MPICH's mpiexec started 2 ranks, but mpi4py runs on Open MPI 5.0.11",
        ),
        (HYDRA, ("Open MPI", (4, 1, 4)), "", None),
        (HYDRA | {"PMI_SIZE": "1"}, OPEN_MPI, "", None),
        (
            SRUN_PMIX,
            MPICH,
            DEAF,
            "Slurm's srun started 2 ranks, but .* or 'srun --mpi=TYPE' with a type of 'srun -",
        ),
        (SRUN_PMIX, OPEN_MPI, "", None),
        (SRUN, MPICH, DEAF, None),
        ({}, MPICH, DEAF, None),
        ({}, OPEN_MPI, "", None),
    ],
)
def test_a_library_that_cannot_speak_with_its_launcher_is_refused(
    around, variables, library, text, want
):
    around(variables)
    if want is None:
        launcher.check_joins(*library, text)
    else:
        with pytest.raises(Fault, match=want):
            launcher.check_joins(*library, text)


@pytest.mark.parametrize(
    ("variables", "library", "seen", "want"),
    [
        ({}, MPICH, 1, None),
        ({}, OPEN_MPI, 4, None),
        (HYDRA, MPICH, 2, None),
        (HYDRA, INTEL, 2, None),
        (
            PRTERUN,
            INTEL,
            1,
            "Open MPI's mpiexec started 2 ranks, .* and sees 1: use the mpiexec of",
        ),
        (PRTERUN, OPEN_MPI, 2, None),
        (SRUN, MPICH, 1, "Slurm's srun started 2 ranks, but mpi4py runs on MPICH 5.0.2"),
        (SRUN | {"PALS_RANKID": "0"}, MPICH, 1, "Slurm's srun started 2 ranks"),
        (SRUN, MPICH, 2, None),
        (SRUN_PMIX, OPEN_MPI, 2, None),
        (HYDRA | {"PMI_SIZE": "33"} | PRTERUN, OPEN_MPI, 2, None),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "1"} | HYDRA, MPICH, 2, None),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "1"} | HYDRA, OPEN_MPI, 1, "MPICH's mpiexec started 2 ra"),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, MPICH, 1, None),
        ({"PBS_JOBID": "7", "PBS_NODEFILE": "x"}, MPICH, 1, None),
    ],
)
def test_ranks_that_are_each_alone_are_told_whose_they_are(around, variables, library, seen, want):
    around(variables)
    if want is None:
        launcher.check_joined(*library, seen)
    else:
        with pytest.raises(Fault, match=want):
            launcher.check_joined(*library, seen)


LISTENING = """
import signal, sys
signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(75))
print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())) == [1, 2, 15], flush=True)
signal.pause()
"""


@pytest.mark.parametrize("needed", [True, False])
def test_what_kills_ranks_of_open_mpi_is_kept_from_its_launcher(needed):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with launcher.sheltered(needed):
        words = [sys.executable, "-S", "-c", LISTENING]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert process.stdout.readline() == f"{needed}\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGUSR1)
    process.communicate()
    assert process.returncode == (75 if needed else -signal.SIGTERM)


@pytest.mark.parametrize(
    ("told", "want"),
    [
        ("mpiexec (Open MPI) 5.0.11", signal.SIGUSR1),
        ("mpiexec.openmpi (OpenRTE) 4.1.4", signal.SIGUSR1),
        ("HYDRA build details:", signal.SIGINT),
        ("Intel(R) MPI Library for Linux* OS", signal.SIGINT),
    ],
)
def test_an_mpiexec_is_asked_to_stop_as_it_understands(tmp_path, told, want):
    program = tmp_path / "mpiexec"
    program.write_text(f"#!/bin/sh\necho '{told}'\n")
    program.chmod(0o755)
    assert launcher.request(str(program)) == want
    assert launcher.request(str(tmp_path / "none")) == signal.SIGINT


def test_who_starts_under_a_launcher_that_loses_something_is_warned(around):
    around(HYDRA)
    assert "0 in place of 75" in launcher.warning("MPICH", (4, 0, 2))
    assert launcher.warning("MPICH", (4, 1, 2)) == ""
    around(PRTERUN)
    assert "SIGUSR1 to mpiexec stops with a checkpoint" in launcher.warning("Open MPI", (5, 0, 8))
