"""What a check of 10,000 devices takes on one rank: one line of a Markdown table for each.

    python tests/bench/large.py

Peak memory is that of the largest process of the job.
"""

import os
import subprocess
import sys
import time

DEVICES = 10_000
FAMILIES = [
    *("ring", "chain", "star", "torus", "binary_tree", "exponential", "erdos_renyi"),
    *("watts_strogatz", "random_regular", "random_geometric", "one_peer_exponential"),
]
STRATEGIES = [
    *("unweighted", "weighted", "none", "metropolis_hastings", "random", "betweenness"),
    *("closeness", "eigenvector", "sinkhorn", "krum", "clipped_gossip"),
    *("degree_similarity", "betweenness_similarity"),
]
BLOCKS = ["blocks=10", "inside=0.1", "between=0.001"]
CASES = [
    ["--set", f"topology.devices={DEVICES}"],
    ["--set", f"topology.devices={DEVICES}", "--json"],
    *(["--set", f"topology.devices={DEVICES}", "--set", f"strategy.name={s}"] for s in STRATEGIES),
    *(["--set", f"topology.devices={DEVICES}", "--set", f"topology.name={f}"] for f in FAMILIES),
    ["--set", "topology.devices=8192", "--set", "topology.name=hypercube"],
    [
        *("--set", f"topology.devices={DEVICES}", "--set", "topology.name=stochastic_block_model"),
        *(word for setting in BLOCKS for word in ("--set", f"topology.{setting}")),
    ],
    [
        *("--set", f"topology.devices={DEVICES}", "--set", "topology.name=random_geometric"),
        *("--set", "strategy.name=betweenness"),
    ],
]


def measure(arguments: list[str]) -> tuple[int, float, float]:
    """Exit code, seconds and peak MB of a check on one rank."""
    command = ["mpiexec", "-n", "1", sys.executable, "-m", "mpidl.run", "--check", *arguments]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, time.perf_counter() - start, usage.ru_maxrss / 1e3 * 1.024


if __name__ == "__main__":
    print("| `--check` with | seconds | peak MB |\n| --- | --- | --- |")
    for arguments in CASES:
        code, seconds, peak = measure(arguments)
        told = " ".join(word for word in arguments if word != "--set")
        ended = f"exit code {code}" if code else f"{seconds:.1f}"
        print(f"| `{told}` | {ended} | {peak:.0f} |", flush=True)
