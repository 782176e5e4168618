#!/usr/bin/env python3
"""A stand-in for PALS's mpiexec: it checks what PALS would, and starts the ranks by Hydra.

They start here, or on the nodes of the job by the program ``STAND_IN_RSH``.
"""

import argparse
import os
import sys
from pathlib import Path

RESERVED = {0, 52}
"""Cores of Aurora that no rank may have."""


def cores(text):
    ends = [part.partition("-") for part in text.split(",")]
    return [core for low, _, high in ends for core in range(int(low), int(high or low) + 1)]


def names(text):
    """Nodes without their domains."""
    return [name.partition(".")[0] for name in text.split(",")]


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-n", type=int, required=True)
    parser.add_argument("--ppn", "-ppn", type=int, required=True)
    parser.add_argument("--hosts", type=names)
    parser.add_argument("--hostfile", type=Path, default=Path(os.environ["PBS_NODEFILE"]))
    parser.add_argument("--cpu-bind", default="")
    parser.add_argument("--envall", action="store_true")
    parser.add_argument("--line-buffer", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    nodes = given.hostfile.read_text().split()
    hosts = names(",".join(nodes))
    chosen = given.hosts or hosts
    if not set(chosen) <= set(hosts) or not (len(chosen) - 1) * given.ppn < given.n:
        sys.exit(f"mpiexec: {given.n} ranks, {given.ppn} a node, on {chosen} of {hosts}")
    if given.cpu_bind not in ("", "none"):
        kind, *lists = given.cpu_bind.split(":")
        taken = [core for text in lists for core in cores(text)]
        wrong = len(taken) != len(set(taken)) or ("aurora" in nodes[0] and RESERVED & set(taken))
        if kind != "list" or len(lists) != given.ppn or wrong:
            sys.exit(f"mpiexec: --cpu-bind {given.cpu_bind} for {given.ppn} ranks")
    hydra = [os.environ["STAND_IN_HYDRA"], "-launcher"]
    if "STAND_IN_RSH" in os.environ:
        hydra += ["rsh", "-launcher-exec", os.environ["STAND_IN_RSH"], "-ppn", str(given.ppn)]
        hydra += ["-hosts", ",".join(chosen)]
    else:
        hydra += ["fork", "-hosts", "localhost"]
    os.execv(hydra[0], [*hydra, "-n", str(given.n), *given.command])


main()
