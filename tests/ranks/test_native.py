"""The C++ of the kernels by itself, under sanitizers and valgrind where they are installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FLAGS = ["-std=c++17", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-psabi"]

BUILDS = {
    # Unoptimized, nothing is left out that a sanitizer would find, and it compiles in a third.
    "sanitized": ["-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "installed": ["-O3", "-g1"],
}
"""How the program is built; all at once, as compilers take long."""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """``program(build)``: where it lies, built without a warning."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("takes a C++ compiler")
    folder = tmp_path_factory.mktemp("native")
    source = ROOT / "tests/ranks/native/test_mix.cpp"
    command = [compiler, *FLAGS, "-I", str(ROOT / "mpidl/ranks/native"), str(source)]
    started = {
        build: subprocess.Popen(
            [*command, *flags, "-o", folder / build], stderr=subprocess.PIPE, text=True
        )
        for build, flags in BUILDS.items()
    }

    def built(build):
        said = told[build]
        if started[build].returncode and build == "sanitized" and "cannot find" in said:
            pytest.skip("this compiler has no sanitizers")
        assert (started[build].returncode, said) == (0, "")
        return folder / build

    told = {build: process.communicate()[1] for build, process in started.items()}
    return built


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)


def test_kernels_and_gate_under_address_and_undefined_behavior_sanitizers(program):
    done = run(program("sanitized"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "0 wrong\n"


def test_kernels_and_gate_as_they_are_installed(program):
    done = run(program("installed"))
    assert (done.returncode, done.stdout) == (0, "0 wrong\n")


def test_kernels_and_gate_under_valgrind(program):
    if shutil.which("valgrind") is None:
        pytest.skip("takes valgrind")
    done = run("valgrind", "--error-exitcode=9", "--quiet", program("installed"))
    assert done.returncode == 0, done.stdout + done.stderr
