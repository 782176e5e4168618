"""The C++ of the kernels by itself, under sanitizers and valgrind where they are installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLAGS = ["-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-psabi"]


def build(folder, *flags):
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("takes a C++ compiler")
    program = folder / "test_mix"
    source = ROOT / "tests/native/test_mix.cpp"
    command = [compiler, *FLAGS, *flags, "-I", str(ROOT / "mpidl/native"), str(source)]
    done = subprocess.run([*command, "-o", str(program)], capture_output=True, text=True)
    if done.returncode and "sanitize" in str(flags) and "cannot find" in done.stderr:
        pytest.skip("this compiler has no sanitizers")
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return program


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)


def test_kernels_and_gate_under_address_and_undefined_behavior_sanitizers(tmp_path):
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    done = run(build(tmp_path, *flags))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "0 wrong\n"


def test_kernels_and_gate_as_they_are_installed(tmp_path):
    done = run(build(tmp_path, "-O3"))
    assert (done.returncode, done.stdout) == (0, "0 wrong\n")


def test_kernels_and_gate_under_valgrind(tmp_path):
    if shutil.which("valgrind") is None:
        pytest.skip("takes valgrind")
    done = run("valgrind", "--error-exitcode=9", "--quiet", build(tmp_path, "-O1", "-g"))
    assert done.returncode == 0, done.stdout + done.stderr
