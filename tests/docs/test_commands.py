"""Every command in README and docs runs as it stands there, in a folder of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

from mpi4py import MPI

import pytest

from mpidl.commands import COMMANDS
from mpidl.ranks import host
from tests.docs.markdown import PAGES, ROOT, Block, blocks

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")

MARKS = (
    "needs a cluster",
    "needs a container engine",
    "needs the network",
    "needs published data",
    "needs h5dump and ncdump",
    "sets up a machine",
    "the test command itself",
    "sets up a machine; the second is the test command itself",
    "builds the docs, as .ci/run does",
)
"""Why a command is not run here."""

BEGINNINGS = (
    *("python -m", r"python \S+\.py", "mpiexec -n", rf"mpidl ({'|'.join(COMMANDS)}) "),
    *(r"\./launch/", "pip install", "qsub -", "sbatch -", "module load"),
)

STARTS = re.compile(rf"^ *({'|'.join(BEGINNINGS)})", re.MULTILINE)
"""Lines that look like commands."""

PATIENCE = 600.0
"""Seconds after which the commands of a page count as hanging, on however busy a machine."""

QUICK = ("docs/command.md", "docs/house.md", "docs/run_file.md")
"""Pages whose commands take seconds."""


def run_here(block: Block) -> bool:
    return block.kind in ("sh", "python") and not block.mark


COMMANDED = [page for page in PAGES if any(run_here(block) for block in blocks(page))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_marked_as_such(page):
    text = page.read_text()
    told = blocks(page)
    assert {block.mark for block in told if block.kind == "sh"} <= {"", *MARKS}
    for block in told:
        text = text.replace(f"```{block.kind}\n{block.text}\n```", "")
        if block.kind != "sh":
            assert not STARTS.findall(block.text), block.text
    assert not STARTS.findall(text)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[] if name(page) in QUICK else [pytest.mark.slow])
        for page in COMMANDED
    ],
    ids=name,
)
def test_commands_run(page, tmp_path):
    for folder in ("launch", "topologies", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    lines = ["set -euo pipefail"]
    for block in blocks(page):
        if block.file:
            file = tmp_path / block.file
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text)
        if run_here(block):
            text = block.text.replace("./launch/local exec ", "")
            lines.append(f"python - <<'END'\n{text}\nEND" if block.kind == "python" else text)
    ended = subprocess.run(
        ["bash", "-xc", "\n".join(lines)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]


def environment() -> dict[str, str]:
    """What commands find: this Python first, and no trace of the launcher that started it."""
    found = host.unlaunched(os.environ)
    folder = Path(sys.executable).parent
    return found | {"PATH": f"{folder}{os.pathsep}{found.get('PATH', '')}", "MPLBACKEND": "agg"}
