#!/usr/bin/env python3
"""Runs the jobs of the stand-in for PBS: ``mom.py FOLDER [--nodes N] [--patience S] [--drain]``.

A job's script is a copy, run by its ``#!`` line in the user's home with umask 077 and nothing of
the submitter's environment. Asked to end it, at its walltime or by qdel or qrerun, its session gets
SIGTERM, and SIGKILL after the patience. After qrerun, as after preemption, it waits and runs again.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pbs

TICK = 0.05
TERM, KILL = signal.SIGTERM, signal.SIGKILL


class Mom:
    """Runs jobs as long as there are nodes, which all are this machine."""

    def __init__(self, folder, site, nodes, patience):
        self.folder, self.site, self.nodes, self.patience = folder, site, nodes, patience
        self.running, self.killed = {}, {}

    def step(self):
        """Look once at every job; whether there is anything left to do."""
        with pbs.locked(self.folder):
            for name, child in list(self.running.items()):
                if child.poll() is not None:
                    self._ended(name, self.running.pop(name).returncode)
                else:
                    self._end_in_time(name)
            for name, job in pbs.jobs(self.folder).items():
                nodes = job["Resource_List"]["nodect"]
                if job["job_state"] == "Q" and nodes <= self.nodes:
                    self._begin(name, job)
            return bool(self.running)

    def _begin(self, name, job):
        names = [f"{socket.gethostname()}.{self.site}{n}.alcf.anl.gov\n" for n in range(self.nodes)]
        nodes, body = self.folder / f"{name}.nodes", self.folder / f"{name}.SC"
        count = job["Resource_List"]["nodect"]
        # A chunk is named as often as it has ranks; here twice.
        nodes.write_text("".join(line * 2 for line in names[:count]))
        shutil.copy(job["script"], body)
        body.chmod(0o700)
        self.nodes -= count
        own = {
            "HOME": os.environ["HOME"],
            "PATH": "/usr/bin:/bin",
            "PBS_JOBID": name,
            "PBS_NODEFILE": str(nodes),
            "PBS_O_WORKDIR": job["folder"],
            **{key: value for key, value in os.environ.items() if key.startswith("STAND_IN_")},
        }
        with contextlib.ExitStack() as files:
            out = files.enter_context(open(job["output"] or self.folder / f"{name}.log", "a"))
            err = files.enter_context(open(job["errors"], "a")) if job["errors"] else out
            self.running[name] = subprocess.Popen(
                [body],
                cwd=own["HOME"],
                env=own | job["Variable_List"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                umask=int(str(job.get("umask", "77")), 8),
            )
        began = {"job_state": "R", "stime": time.ctime(), "run_count": job["run_count"] + 1}
        pbs.put(self.folder, name, job | began)

    def _end_in_time(self, name):
        """Ask a job to end, and kill it where it does not."""
        job, session = pbs.jobs(self.folder)[name], self.running[name].pid
        begun = time.mktime(time.strptime(job["stime"]))
        over = time.time() - begun > 3600 * pbs.hours(job["Resource_List"]["walltime"])
        asked, since = job.get("asked"), self.killed.get(name)
        if asked == "force" or (since and time.monotonic() - since > self.patience):
            end(session, KILL)
        elif (asked or over) and not since:
            self.killed[name] = time.monotonic()
            end(session, TERM)

    def _ended(self, name, code):
        job = pbs.jobs(self.folder)[name]
        self.nodes += job["Resource_List"]["nodect"]
        self.killed.pop(name, None)
        job["codes"] = [*job.get("codes", []), code]
        if job.pop("asked", None) == "rerun" and job["Rerunable"] == "True":
            pbs.put(self.folder, name, job | {"job_state": "Q"})
            return
        pbs.put(self.folder, name, job | {"job_state": "F", "Exit_status": code})
        for other, waits in pbs.jobs(self.folder).items():
            if waits["job_state"] == "H" and waits.get("depend") == f"afterany:{name}@stand-in":
                pbs.put(self.folder, other, waits | {"job_state": "Q", "Hold_Types": "n"})


def end(session, number):
    """Send a signal to all processes of a session."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = (place / "stat").read_text().rpartition(")")[2].split()
            if int(told[3]) == session:
                os.kill(int(place.name), number)


def main():
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--site", default="aurora")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--patience", type=float, default=10.0)
    parser.add_argument("--drain", action="store_true", help="end when nothing runs or can begin")
    given = parser.parse_args()
    mom = Mom(given.folder, given.site, given.nodes, given.patience)
    signal.signal(signal.SIGTERM, lambda *_: exit(0))
    try:
        while mom.step() or not given.drain:
            time.sleep(TICK)
    finally:
        for child in mom.running.values():
            end(child.pid, KILL)


if __name__ == "__main__":
    main()
