"""The Dockerfile and the definitions of Apptainer: their style, and both make the same image."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from mpi4py import MPI

import pytest

ROOT = Path(__file__).parents[2]
BESIDE = Path(sys.executable).parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DEFINITION = (ROOT / "containers/mpidl.def").read_text()

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="reads files alone")


def tool(name: str) -> str:
    """The path of a program of the test environment."""
    path = shutil.which(name, path=str(BESIDE)) or shutil.which(name)
    if path is None:
        pytest.skip(f"no {name} here: pip install '.[test]'")
    return path


def test_hadolint_finds_nothing():
    words = [tool("hadolint"), ROOT / "Dockerfile"]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.parametrize("name", ["mpidl.def", "site.def"])
def test_a_definition_can_be_parsed(name, tmp_path):
    text = (ROOT / "containers" / name).read_text()
    # The parser knows images of registries alone.
    (tmp_path / name).write_text(text.replace("Bootstrap: localimage", "Bootstrap: docker"))
    words = [tool("spython"), "recipe", "--parser", "singularity", tmp_path / name]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert len(re.findall(r"^FROM ", ended.stdout, re.MULTILINE)) == text.count("Bootstrap:")
    assert "WARNING" not in ended.stdout + ended.stderr


def packages(text: str) -> list[str]:
    """What apt-get installs in the image."""
    [line] = re.findall(r"apt-get install -y --no-install-recommends (.*?)(?: \\)?$", text, re.M)
    return line.split()


def arguments(text: str) -> dict[str, set[str]]:
    """The values of each build argument."""
    found = re.findall(r"^(?:ARG|   ) ([A-Z_]+)=(\S+)$", text, re.MULTILINE)
    return {name: {value for other, value in found if other == name} for name, _ in found}


def copied(text: str) -> set[str]:
    """What a stage takes from the checkout."""
    lines = re.findall(r"^(?:COPY (?!--)(.*) \S+|    (\S+) /opt/mpidl/)$", text, re.MULTILINE)
    return {name for line in lines for part in line for name in part.split()}


def test_both_make_the_same_image():
    assert [*packages(DEFINITION), "tini"] == packages(DOCKERFILE)
    assert arguments(DEFINITION) == arguments(DOCKERFILE)
    assert all(len(values) == 1 for values in arguments(DOCKERFILE).values())
    assert {name.partition("/")[0] for name in copied(DOCKERFILE)} == copied(DEFINITION)
    extras = [re.findall(r'"\.\[(.*)\]"', text) for text in (DOCKERFILE, DEFINITION)]
    assert extras[0] == extras[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*extras[0][0].split(",")} <= {*project["optional-dependencies"]}


def test_torch_is_that_of_a_machine():
    [torch] = arguments(DOCKERFILE)["MPIDL_TORCH"]
    assert f"torch=${{MPIDL_TORCH:-{torch}}}" in (ROOT / "launch/local").read_text()


def test_the_build_sees_what_it_copies_and_no_more():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    let_through = {line[1:] for line in lines if line.startswith("!")}
    assert {name.partition("/")[0] for name in copied(DOCKERFILE)} == let_through
    assert all((ROOT / name).exists() for name in copied(DOCKERFILE))
    hidden = [line for line in lines[2:] if not line.startswith("!")]
    assert any(fnmatch("mpidl/ranks/_native.so", line) for line in hidden)


SETTINGS = ("training.rounds=1", "topology.devices=4")
RUN = ["mpiexec", "-n", "4", "mpidl", "run", *(f"--set={one}" for one in SETTINGS), "--out"]


def engine() -> str:
    """A program that builds images here and has the base image."""
    [base] = arguments(DOCKERFILE)["BASE"]
    for name in filter(shutil.which, ("docker", "podman")):
        has_base = subprocess.run([name, "pull", base], capture_output=True, timeout=600)
        if has_base.returncode == 0:
            return name
    pytest.skip(f"no docker daemon or podman here that has {base}")


@pytest.mark.slow
def test_an_image_trains_as_any_user(tmp_path):
    name, image = engine(), "mpidl-test"
    subprocess.run([name, "build", "-t", image, ROOT], check=True)
    tmp_path.chmod(0o777)
    run = [name, "run", "--rm", "--shm-size=1g", "-v", f"{tmp_path}:/work"]
    try:
        for user in ("1000", "4321:4321"):
            words = [*run, "--user", user, image, *RUN, f"/work/{user[:4]}"]
            subprocess.run(words, check=True)
            assert [*(tmp_path / user[:4]).glob("*.h5")]
    finally:
        subprocess.run([name, "rmi", image], check=False)


@pytest.mark.slow
def test_apptainer_builds_and_trains(tmp_path):
    if shutil.which("apptainer") is None:
        pytest.skip("no apptainer here")
    base, image = tmp_path / "base.sif", tmp_path / "mpidl.sif"
    [name] = arguments(DEFINITION)["BASE"]
    if subprocess.run(["apptainer", "build", base, f"docker://{name}"]).returncode != 0:
        pytest.skip(f"apptainer cannot fetch {name}")
    subprocess.run(["apptainer", "build", image, "containers/mpidl.def"], cwd=ROOT, check=True)
    subprocess.run(["apptainer", "exec", image, *RUN, tmp_path], check=True)
    assert [*tmp_path.glob("*.h5")]
