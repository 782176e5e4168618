"""Ranks on two hosts with a real network between them: namespaces of Linux, joined by a cable."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest

from mpidl.ranks import host

MPIEXEC = Path(sys.executable).with_name("mpiexec")
NAMES = f"mpidl{os.getpid()}a", f"mpidl{os.getpid()}b"
ADDRESSES = "10.213.7.1", "10.213.7.2"
LIMIT = 240.0
"""Seconds after which a job hangs."""

SHELL = """#!/bin/sh
# Starts a command on a "host", as ssh would: options, the host, the command.
while case "$1" in -*) true ;; *) false ;; esac; do shift; done
host=$1
shift
case $host in {first}) space={a} ;; *) space={b} ;; esac
exec ip netns exec $space sh -c "$*"
"""

pytestmark = [
    pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts jobs of its own"),
    pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python"),
]


def ip(*words, check=True):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=check)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """A function of a command that runs it with two ranks on each of two hosts."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("takes root and the ip command")
    if ip("netns", "add", NAMES[0], check=False).returncode:
        pytest.skip("this machine gives no network namespaces")
    try:
        ip("netns", "add", NAMES[1])
        a, b = NAMES
        ip("link", "add", "veth0", "netns", a, "type", "veth", "peer", "name", "veth0", "netns", b)
        for name, address in zip(NAMES, ADDRESSES, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "veth0")
            for device in ("lo", "veth0"):
                ip("-n", name, "link", "set", device, "up")
        shell = tmp_path_factory.mktemp("network") / "shell"
        shell.write_text(SHELL.format(first=ADDRESSES[0], a=a, b=b))
        shell.chmod(0o755)
        # A new network device takes a moment; MPI would not wait for it.
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            shown = [ip("-n", name, "-br", "addr", "show", "veth0").stdout for name in NAMES]
            if all(" UP " in text and "tentative" not in text for text in shown):
                break
            time.sleep(0.1)
        time.sleep(1.0)
        yield lambda *command: start(shell, *command)
    finally:
        for name in NAMES:
            ip("netns", "del", name, check=False)


def start(shell, *command):
    launch = [MPIEXEC, "-localhost", ADDRESSES[0], "-launcher", "ssh", "-launcher-exec", shell]
    ranks = ["-hosts", ",".join(f"{address}:2" for address in ADDRESSES), "-n", "4"]
    environment = host.unlaunched(os.environ)
    # Both names are of UCX, below MPICH; others ignore them.
    environment |= {"UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "veth0"}
    return subprocess.run(
        ["ip", "netns", "exec", NAMES[0], *map(str, [*launch, *ranks, *command])],
        capture_output=True,
        text=True,
        env=environment,
        timeout=LIMIT,
    )


def series(path):
    import h5py

    with h5py.File(path, "r") as file:
        keys = [k for k in file["series"] if not k.startswith(("seconds", "bytes"))]
        return {key: file[f"series/{key}"][()] for key in keys}, dict(file.attrs)


@pytest.mark.slow
def test_a_run_on_two_hosts_gives_the_bits_of_one(hosts, tmp_path):
    settings = ["topology.devices=9", "training.rounds=3", "data.train_samples=300"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "mpidl.run", *overrides, "--out"]
    far = hosts(*command, tmp_path / "far")
    assert far.returncode == 0, far.stdout + far.stderr
    near = subprocess.run([*command, tmp_path / "near"], capture_output=True, text=True)
    assert near.returncode == 0, near.stderr
    (ours, _), (theirs, attributes) = (
        series(tmp_path / where / "default.h5") for where in ("near", "far")
    )
    assert attributes["ranks"] == 4
    for key, values in ours.items():
        np.testing.assert_array_equal(values, theirs[key], err_msg=key)


PROBE = """
from mpidl.ranks import standin

standin.fork_from_one("mpidl.run.command")

import numpy as np, torch
from mpidl import plan
from mpidl.ranks import world
from mpidl.exchange import Wiring
from mpidl.exchange.slab import Shared
from mpidl.ranks.node import Node

def main():
    with world.world() as comm:
        probe(comm)
    return 0

def probe(comm):
    settings = ["topology.devices=11", "placement.hosts=round_robin"]
    made = plan.make(plan.read(None, settings, 4), 4)
    node = Node(comm)
    assert node.ranks.tolist() == [0, 0, 1, 1], node.ranks
    size = 3_000_001
    wiring = Wiring(node, made.hosts, made.mixing_graph, size, torch.device("cpu"), torch.float32)
    exchange = Shared(wiring, chunk=1 << 20)
    start = np.arange(11.0)
    for device, vector in exchange.vectors.items():
        vector.fill_(start[device])
        vector[-1] = -start[device]
    for round_ in range(3):
        exchange.arrive(made.mixing_weights(round_, list(exchange.vectors)))
        exchange.share()
        exchange.mix()
        start = made.matrix(round_) @ start
    for device, vector in exchange.vectors.items():
        assert np.allclose(vector[:-1], start[device], rtol=1e-5), device
        assert np.isclose(vector[-1], -start[device], rtol=1e-5), device
    exchange.close()
    node.close()
    print("right", flush=True)

standin.end_with(main)
"""


def test_long_vectors_travel_in_chunks(hosts):
    done = hosts(sys.executable, "-c", PROBE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("right") == 4
