"""Every number that is proved of the algorithms, on 1, 2, 4 and 8 ranks: a Markdown table.

    python tests/bench/algorithms.py > results/algorithms.md

The checks are those of ``tests/mpi/test_proof.py``. It ends with exit code 1 where a number is not
what its formula says.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpidl.ranks import mpi_library

ROOT = Path(__file__).parents[2]
RANKS = (1, 2, 4, 8)
COLUMNS = ("algorithm", "check", "measured", "expected", "apart", "allowed", "bits")

Found = dict[str, Any]


def measured(ranks: int) -> list[Found]:
    """What all checks find on so many ranks."""
    words = ["mpiexec", "-n", str(ranks), sys.executable, "-m", "tests.proof"]
    told = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]


def row(same: Sequence[Found]) -> str:
    """A line of the table, from what one check found on each number of ranks."""
    worst = max(same, key=lambda found: found["apart"])
    cells = [
        worst["algorithm"],
        worst["what"],
        number(worst["measured"]),
        number(worst["expected"]),
        f"{worst['apart']:.1e}",
        f"{worst['tolerance']:.1e}",
        "same" if len({found["bits"] for found in same}) == 1 else "differ",
    ]
    return f"| {' | '.join(cells)} |"


def number(value: float) -> str:
    """Ten digits, or the size of what should be nothing."""
    return f"{value:.10g}" if value == 0 or abs(value) > 1e-6 else f"{value:.1e}"


def head(seconds: dict[int, float], checks: int) -> str:
    """What the table is, and where it was made."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if "name" in line)
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    took = ", ".join(f"{taken:.0f} s on {ranks}" for ranks, taken in seconds.items())
    ranks = ", ".join(map(str, seconds))
    return f"""# Exact numbers of the algorithms

Devices learn quadratics in float64, or nothing; all else is that of a run: the plan of a run file,
the rounds, the algorithm, the exchange over MPI. {checks} numbers and vectors on {ranks} ranks,
which share 8 to 64 devices (8 devices on 8 ranks: one each). Where each expected number comes from
stands beside its check in `tests/proof/`; the same checks are tests, `tests/mpi/test_proof.py`.

- *Measured* and *expected* are numbers; of vectors the root of the mean square. *Apart* is the
  greatest difference between any two numbers of them, the worst of all numbers of ranks; *allowed*
  is how far they may be: of means over draws, four standard errors.
- *Bits* says whether what was measured is the same, bit by bit, on every number of ranks.

{datetime.date.today()}, {cpu.partition(":")[2].strip()}, {os.cpu_count()} cores,
{mpi_library.version()}, Python {platform.python_version()}, commit {commit}.
With start, and other work on the machine: {took} ranks. Made by `python tests/bench/algorithms.py`.

| {" | ".join(COLUMNS)} |
|{" --- |" * len(COLUMNS)}"""


def main() -> int:
    """Measure on each number of ranks, and print the table."""
    found, seconds = [], {}
    for ranks in RANKS:
        begun = time.monotonic()
        found.append(measured(ranks))
        seconds[ranks] = time.monotonic() - begun
    checks = sorted(zip(*found, strict=True), key=lambda same: same[0]["algorithm"])
    print(head(seconds, len(checks)))
    for same in checks:
        print(row(same))
    fine = [one["apart"] <= one["tolerance"] for same in checks for one in same]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
