"""A real OpenPBS of two nodes, with the queues and the rules of Aurora or Polaris on that scale."""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
CLUSTER = HERE.with_name("pbs_cluster")
SOURCE = "MPIDL_OPENPBS_SOURCE"
"""Variable with the folder of OpenPBS's source."""

LIMIT = 240.0
"""Seconds after which a job hangs, on however busy a machine."""

SCALE = {"aurora": 128, "polaris": 10}
"""How many nodes of a site's large queues are one here."""

SERVER = """
set server acl_roots = root
set server flatuid = True
set server job_history_enable = True
set server scheduler_iteration = 10
set server node_fail_requeue = 10
set sched preempt_order = R
create resource filesystems type=string
create resource system type=string,flag=h
set node x1 resources_available.ncpus = 208
set node x2 resources_available.ncpus = 208
set node x1 resources_available.system = {site}
set node x2 resources_available.system = {site}
create hook site event=queuejob
import hook site application/x-python default {hook}
create queue urgent queue_type=execution,priority=200,enabled=True,started=True
create queue prod queue_type=route
set server default_queue = prod
delete queue workq
"""


def of_queue(site: str, name: str, told: dict[str, Any]) -> str:
    """Lines for qmgr that make a queue of a site's file."""
    scale = SCALE[site] if told["nodes"][0] > 2 else 1
    low, high = (-(-nodes // scale) for nodes in told["nodes"])
    all_jobs = re.search(r"(\d+) with those that wait", told.get("note", ""))
    waiting = all_jobs[1] if all_jobs else told.get("jobs", 100)
    lines = f"""
create queue {name} queue_type=execution,enabled=True,started=True
set queue {name} resources_min.nodect = {low}
set queue {name} resources_max.nodect = {high}
set queue {name} resources_max.walltime = {told["hours"]}:00:00
set queue {name} max_queued = [u:PBS_GENERIC={waiting}]
set queue {name} max_run = [u:PBS_GENERIC={told.get("jobs", 10)}]
"""
    if through := told.get("through"):
        lines += f"set queue {name} from_route_only = True\n"
        lines += f"set queue {through} route_destinations += {name}\n"
    return lines


def rules(site: str) -> str:
    """Lines for qmgr: those of the server, and a site's queues."""
    told = tomllib.loads((ROOT / f"launch/sites/{site}.toml").read_text())
    queues = [of_queue(site, name, queue) for name, queue in told["queues"].items()]
    routing = "set queue prod enabled = True\nset queue prod started = True\n"
    return SERVER.format(hook=HERE / "hook.py", site=site) + "".join(queues) + routing


class OpenPbs:
    """The cluster, its users' home, and a checkout from which they submit."""

    def __init__(self, folder: Path, build: Path) -> None:
        self.folder, self.build = folder, build
        self.checkout = Path()

    def on(self, host: str, *words: str) -> list[str]:
        """The words that run a command on a host, as a user does after login and modules."""
        login = ["env", "-i", f"HOME={self.folder / 'home'}", "USER=root"]
        ready = f"module load frameworks >/dev/null && cd {shlex.quote(str(self.checkout))}"
        line = f"{ready} && exec {shlex.join(words)}"
        return [str(CLUSTER), "on", str(self.folder), host, *login, "bash", "-l", "-c", line]

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Give a command on the login node."""
        return subprocess.run(
            self.on("head", *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    def told(self, *words: str) -> str:
        """What a command prints that succeeds."""
        ended = self.ask(*words)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()

    def cluster(self, command: str, host: str) -> None:
        """Let a host die, or revive it."""
        subprocess.run([CLUSTER, command, self.folder, host], check=True, stdin=subprocess.DEVNULL)

    def job(self, number: str) -> dict[str, Any]:
        """What PBS tells of a job, also of one that has ended."""
        text = self.told("qstat", "-x", "-f", "-F", "json", number)
        found: dict[str, Any] = next(iter(json.loads(text)["Jobs"].values()))
        return found

    def queue(self) -> list[str]:
        """The jobs that have not ended."""
        return self.told("qselect").split()

    def log(self, number: str) -> str:
        """What a job has printed so far."""
        paths = self.checkout.glob(f"*.o{number.partition('.')[0]}")
        return "".join(path.read_text(errors="replace") for path in paths)

    def wait_for(self, what: Callable[[], object], told: str = "") -> None:
        """Wait until something is true, or the time is over."""
        deadline = time.monotonic() + LIMIT
        while not what():
            if time.monotonic() > deadline:
                logs = [path.read_text(errors="replace") for path in self.checkout.glob("*.o*")]
                states = self.ask("qstat", "-x", "-f").stdout
                pytest.fail("\n".join([f"what was waited for does not come {told}", states, *logs]))
            time.sleep(0.3)

    def clear(self) -> None:
        """Take all jobs out of the queue."""
        for number in self.queue():
            self.ask("qdel", "-W", "force", number)
        self.wait_for(lambda: not self.queue())


@contextmanager
def running(site: str) -> Iterator[OpenPbs]:
    """The cluster of a site; it is built from the source where that was not done before."""
    source = os.environ.get(SOURCE, "")
    if not source:
        pytest.skip(f"{SOURCE} names no folder with the source of OpenPBS")
    if os.geteuid() != 0:
        pytest.skip("an OpenPBS of one's own takes root")
    built = subprocess.run([CLUSTER, "build", source], stdout=subprocess.PIPE, text=True)
    assert built.returncode == 0
    build = Path(built.stdout.strip())
    # Sockets need a short path, and PostgreSQL's user one that anybody may enter.
    outer = Path(tempfile.mkdtemp(prefix="mpidl", dir="/tmp"))
    outer.chmod(0o755)
    folder = outer / "pbs"
    try:
        begun = subprocess.run(
            [CLUSTER, "start", folder, build], input=rules(site), stderr=subprocess.PIPE, text=True
        )
        assert begun.returncode == 0, begun.stderr
        yield OpenPbs(folder, build)
    finally:
        subprocess.run([CLUSTER, "stop", folder], check=True)
        outer.rmdir()


@contextmanager
def used(
    site: str, cluster: OpenPbs, checkout: Path, profile: Callable[..., str]
) -> Iterator[OpenPbs]:
    """A cluster with an empty queue, and with a checkout whose nodes have two places each."""
    binaries = checkout / ".venv/bin"
    (binaries / "mpiexec").symlink_to(HERE.with_name("stand_ins") / "mpiexec.py")
    path = checkout / f"launch/sites/{site}.toml"
    path.write_text(small(path.read_text()))
    variables = {
        "STAND_IN_PBS": checkout,
        "STAND_IN_HYDRA": Path(sys.executable).with_name("mpiexec"),
        "STAND_IN_RSH": HERE.with_name("stand_ins") / "rsh.sh",
    }
    exports = "".join(f"export {key}={value}\n" for key, value in variables.items())
    commands = f"{binaries}:{cluster.build}/bin:/usr/bin:/bin"
    (cluster.folder / "home/.bash_profile").write_text(exports + profile(commands))
    cluster.checkout = checkout
    yield cluster
    cluster.clear()


def small(text: str) -> str:
    """A site's file for nodes of two places that this network connects."""
    node = tomllib.loads(text)["node"]
    for name in ("cpus", "accelerators"):
        two = f"{name} = {json.dumps(node[name][:2])}"
        text, count = re.subn(rf"^{name} = \[.*?\]", two, text, flags=re.MULTILINE | re.DOTALL)
        assert count == 1
    return re.sub(r'^interface = "\w+"', 'interface = "pbs0"', text, flags=re.MULTILINE)


@pytest.fixture(scope="session")
def cluster() -> Iterator[OpenPbs]:
    """Aurora."""
    with running("aurora") as made:
        yield made


@pytest.fixture
def pbs(cluster: OpenPbs, checkout: Path, profile: Callable[..., str]) -> Iterator[OpenPbs]:
    """Aurora, as a user of it finds it."""
    with used("aurora", cluster, checkout, profile) as made:
        yield made


@pytest.fixture(scope="module")
def polaris_cluster() -> Iterator[OpenPbs]:
    """Polaris."""
    with running("polaris") as made:
        yield made


@pytest.fixture
def polaris(
    polaris_cluster: OpenPbs, checkout: Path, profile: Callable[..., str]
) -> Iterator[OpenPbs]:
    """Polaris, as a user of it finds it."""
    with used("polaris", polaris_cluster, checkout, profile) as made:
        yield made
