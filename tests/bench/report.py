"""What a report over a thousand runs takes: python -m tests.bench.report, from the repository.

Makes 1,000 results files of 33 devices and 40 rounds by hand, then runs ``python -m mpidl.report``
on them as a user would, and prints a Markdown table: seconds and memory of each product.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import networkx as nx
import numpy as np

from tests.report.conftest import write_file

STRATEGIES = ("unweighted", "weighted", "random", "degree", "betweenness")
SEEDS, LINKS, RANKS = range(10), (1, 2, 3, 4), range(5)
PRODUCTS = {
    "the table alone": ["--json"],
    "table and figures (no flag)": [],
    "the page": ["--html"],
    "all tables": ["--csv"],
}


def make(folder: Path) -> int:
    """Write the files; how many."""
    rng = np.random.default_rng(0)
    rounds = np.arange(40)[:, None]
    count = 0
    for seed in SEEDS:
        for links in LINKS:
            graph = nx.barabasi_albert_graph(33, links, seed=seed)
            hubs = sorted(graph, key=lambda device: -graph.degree(device))
            for rank in RANKS:
                for speed, strategy in enumerate(STRATEGIES, 1):
                    pace = 0.01 * speed * links / (1 + rank) * (0.5 + rng.random(33))
                    settings = [
                        f"training.seed={seed}",
                        f"topology.seed={seed}",
                        f"topology.m={links}",
                        f"strategy.name={strategy}",
                        f"ood.sources=degree:{rank + 1}",
                    ]
                    write_file(
                        folder / f"{count}.h5",
                        1 - np.exp(-rounds * pace),
                        0.9 * (1 - np.exp(-(rounds + 1) * 0.2 * (0.8 + 0.2 * rng.random(33)))),
                        graph=graph,
                        sources=(hubs[rank],),
                        settings=settings,
                    )
                    count += 1
    return count


def measure(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in MB of a report."""
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "mpidl.report", *arguments], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"The report ended with {os.waitstatus_to_exitcode(status)}.")
    return time.monotonic() - begin, used.ru_maxrss / 1e3


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "runs"
        print(f"{make(folder):,} files\n")
        print("| product | seconds | peak memory, MB |\n| --- | --- | --- |")
        for product, flags in PRODUCTS.items():
            seconds, memory = measure([str(folder), "--out", f"{temporary}/out", *flags])
            print(f"| {product} | {seconds:.1f} | {memory:.0f} |", flush=True)
