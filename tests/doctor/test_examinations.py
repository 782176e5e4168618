"""What the doctor finds about each part, here and where something does not fit."""

import json
import os
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from subprocess import CompletedProcess

from mpi4py import MPI

import pytest

import mpidl
from mpidl.config.faults import Fault
from mpidl.doctor import examinations, launcher, libraries, machine, packages, probe
from mpidl.doctor.finding import Finding
from mpidl.ranks import host, mpi_library

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="examines one process")

ROOT = Path(mpidl.__file__).parents[1]


def ended(code=0, out="", err=""):
    return CompletedProcess([], code, out, err)


def test_parts_are_what_the_tests_run_on(monkeypatch):
    # These take seconds to load; tests/mpi looks at them where they are loaded.
    for part in ("torch", "accelerators"):
        monkeypatch.delitem(examinations.APART, part)
    found = {one.part: one for one in examinations.of_rank()}
    assert found["MPI"].found.startswith(mpi_library.version())
    assert found["Python"].found.endswith(f"mpidl from {ROOT / 'mpidl'}")
    assert f"h5py {metadata.version('h5py')}" in found["HDF5"].found
    assert found["cores"].found.startswith(f"{host.cores()} of ")
    assert found["kernel"].found in ("compiled", "torch's")
    assert "launcher" in found["site"].found
    assert [one.part for one in found.values() if one.found.startswith("cannot be")] == []


@pytest.mark.parametrize(
    ("error", "found", "sentence"),
    [
        (Fault("It is not there: get it."), "does not work", "It is not there: get it."),
        (
            ImportError("No module named 'x.y'", name="x.y"),
            "cannot be examined",
            "part cannot be examined (No module named 'x.y'): pip install --force-reinstall x.",
        ),
        (KeyError("a"), "cannot be examined", "part cannot be examined (KeyError: 'a')."),
    ],
)
def test_a_failure_is_a_finding(error, found, sentence):
    def examine():
        raise error

    assert probe.guarded("part", examine) == Finding("part", found, (sentence,))


def test_another_process_goes_on_where_one_dies(monkeypatch):
    answers = {name: Finding(name, "fine") for name in "abc"}
    asked = []

    def run(command):
        parts = command[3:]
        asked.append(parts)
        alive = parts[: parts.index("b")] if "b" in parts else parts
        lines = [json.dumps(answers[part].plain()) for part in alive]
        return ended(0 if alive == parts else -6, "\n".join(["noise", *lines]))

    monkeypatch.setattr(probe, "run", run)
    sentence = "A process that looks at b ends by it (by SIGABRT)."
    dead = Finding("b", "does not work", (sentence,))
    assert probe.apart(["a", "b", "c"]) == [answers["a"], dead, answers["c"]]
    assert asked == [["a", "b", "c"], ["c"]]


TWO = f"{launcher.SEEN} 2\n"
ROOTED = "-----\nprterun has detected an attempt to run as root.\n"


@pytest.mark.parametrize(
    ("outside", "answer", "wrong", "noted"),
    [
        (False, ended(0, TWO * 2), "", ""),
        (False, ended(0, TWO.replace("2", "1") * 2), "so each rank is alone: use the mpiexec", ""),
        (False, ended(1, "", ROOTED), "run as root): set OMPI_ALLOW_RUN_AS_ROOT=1", ""),
        (False, ended(3), "starts no ranks (exit code 3): load the module", ""),
        (True, ended(1, "", "no job\n"), "", "(no job); outside a job that may be right"),
        (True, ended(1, "", "Traceback\n a\nIt: broke\n"), "", "starts no ranks (It: broke)"),
    ],
)
def test_mpiexec_is_tried(monkeypatch, outside, answer, wrong, noted):
    monkeypatch.setattr(launcher, "path", lambda: "/bin/mpiexec")
    monkeypatch.setattr(launcher, "described", lambda program: ("Hydra 5", "hydra"))
    monkeypatch.setattr(launcher, "outside_a_job", lambda: outside)
    monkeypatch.setattr(probe, "run", lambda command: answer)
    found = launcher.launcher(works=True)
    assert found.found.startswith("/bin/mpiexec (Hydra 5)")
    for expected, sentences in ((wrong, found.wrong), (noted, found.notes)):
        assert len(sentences) == bool(expected)
        assert all(expected in sentence for sentence in sentences)


def test_there_may_be_no_mpiexec(monkeypatch):
    monkeypatch.setattr(launcher, "path", lambda: None)
    [sentence] = launcher.launcher(works=True).wrong
    assert "pip install mpich" in sentence


def test_shared_memory_may_be_little_or_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "SHARED", tmp_path)
    monkeypatch.setattr(machine, "LITTLE", 1)
    assert machine.shared_memory().notes == ()
    monkeypatch.setattr(machine, "LITTLE", 1 << 80)
    [note] = machine.shared_memory().notes
    assert "docker run --shm-size" in note
    monkeypatch.setattr(machine, "SHARED", tmp_path / "none")
    [sentence] = machine.shared_memory().wrong
    assert "mount a tmpfs" in sentence


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", None), ("150000 100000", 1.5), ("", None)]
)
def test_a_container_may_have_less_time_than_cores(monkeypatch, tmp_path, text, cores):
    monkeypatch.setattr(machine, "QUOTA", tmp_path / "cpu.max")
    machine.QUOTA.write_text(text)
    assert machine.quota() == cores
    monkeypatch.setattr(host, "cores", lambda: 4)
    notes = machine.cores().notes
    assert [note[:32] for note in notes] == ["The container may use 1.5 of 4 c"] * (cores == 1.5)


@pytest.mark.parametrize(
    ("name", "site"),
    [("x3001.hsn.cm.polaris.alcf.anl.gov", "polaris"), ("a.aurora.gov", "aurora"), ("pc", "local")],
)
def test_a_site_is_known_by_the_name_of_the_host(monkeypatch, name, site):
    monkeypatch.delenv("MPIDL_SITE", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(socket, "getfqdn", lambda: name)
    monkeypatch.setattr(machine.shutil, "which", lambda program: None)
    assert machine.site_name() == site


def test_a_site_of_another_launcher_is_noted(monkeypatch):
    monkeypatch.setenv("MPIDL_SITE", "local")
    monkeypatch.setattr(launcher, "path", lambda: "/bin/mpiexec")
    monkeypatch.setattr(machine, "described", lambda program: ("Open MPI 5", "openmpi"))
    [note] = machine.site().notes
    assert "set 'openmpi'" in note


def test_packages_may_be_missing_or_old(monkeypatch):
    there = {"a": "1.9", "b": "2.10.1", "d": "3rc1"}
    needs = ["a>=1.10", "b>=2.9", "c", "d>=3; extra == 'report'", "e>=1 ; extra == 'data'"]

    def version(name):
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(metadata, "requires", lambda name: needs)
    monkeypatch.setattr(metadata, "version", version)
    found = packages.packages()
    assert found.wrong == (
        "a 1.9 is older than 1.10: pip install -U 'a'.",
        "c is missing: pip install -U 'c'.",
    )
    assert found.found == (
        "extras: ensemble, report, export, completion; without data (pip install 'mpidl[data]')"
    )


def test_ranks_that_share_cores_are_noted(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert machine.crowded(8, 8, 1.0).notes == ()
    [bound] = machine.crowded(8, 2, 4.0).notes
    assert "binding" in bound
    [turns] = machine.crowded(16, 8, 2.0).notes
    assert "take turns" in turns


def test_a_kernel_may_be_missing(monkeypatch):
    from mpidl.exchange import kernels
    from mpidl.ranks import importer

    monkeypatch.setattr(kernels, "NAME", "torch")
    monkeypatch.setattr(importer, "__file__", str(ROOT / "docs" / "conf.py"))
    found = libraries.kernel()
    assert found.wrong == ()
    [note] = found.notes
    assert note.startswith("The kernel was not compiled, so torch mixes, more slowly: ")


BROKEN = ("mpi4py", "h5py", "torch", "numpy", "pydantic")


def test_it_works_where_nothing_can_be_imported(tmp_path):
    for name in BROKEN:
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('no {name}', name='{name}')\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    told = subprocess.run(
        [sys.executable, "-m", "mpidl", "doctor"],
        env=host.unlaunched(os.environ) | {"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, told.stderr) == (1, "")
    assert "\nwrong: torch cannot be loaded (no torch): " in told.stdout
    assert (
        "wrong: site cannot be examined (no pydantic): pip install --force-reinstall pydantic."
        in told.stdout
    )
    assert told.stdout.endswith(" things are wrong\n")
