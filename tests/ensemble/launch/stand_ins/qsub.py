#!/usr/bin/env python3
"""A stand-in for PBS's qsub, as strict as ALCF's: it takes a job down, or says why not.

``STAND_IN_PBS`` is a folder: ``rules.toml`` is a site file, whose queues are the limits; accepted
jobs lie there as ``N.json``.
"""

import argparse
import json
import os
import shlex
import sys
import tomllib
from pathlib import Path

FOLDER = Path(os.environ["STAND_IN_PBS"])


def refuse(reason):
    sys.exit(f"qsub: {reason}")


def options(words):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in "AqNvkjmSoe":
        parser.add_argument(f"-{name}", default="")
    parser.add_argument("-l", action="append", default=[])
    parser.add_argument("-V", action="store_true")
    parser.add_argument("script", nargs="?")
    return parser.parse_args(words)


def directives(script):
    """The options in a script: PBS stops reading at its first command."""
    words = []
    for line in Path(script).read_text().splitlines()[1:]:
        if line.startswith("#PBS "):
            words += shlex.split(line[5:])
        elif line.strip() and not line.startswith("#"):
            break
    return options(words)


def split(text):
    """A list at its commas, but for those in quotes."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = ",", True, ""
    return [part.partition("=")[::2] for part in lexer]


def hours(clock):
    parts = [float(part) for part in clock.split(":")]
    return sum(part / 60**i for i, part in enumerate(parts))


def route(rules, name, nodes, time):
    """The queue that a job comes to lie in."""
    known = rules["queues"]
    if name not in {queue.get("through", key) for key, queue in known.items()}:
        refuse(f"Unknown queue {name}")
    for key, queue in known.items():
        low, high = queue["nodes"]
        if queue.get("through", key) == name and low <= nodes <= high and time <= queue["hours"]:
            return key
    refuse(f"Job violates queue and/or server resource limits: {nodes} nodes, {time} h in {name}")


def main():
    given = options(sys.argv[1:])
    if not given.script:
        refuse("no script")
    written, rules = directives(given.script), tomllib.loads((FOLDER / "rules.toml").read_text())
    resources = dict(pair for text in [*written.l, *given.l] for pair in split(text))
    if given.V or written.V:
        refuse("-V is not allowed")
    if not given.A:
        refuse("no account: use -A")
    for name in ("select", "walltime", "filesystems"):
        if name not in resources:
            refuse(f"no {name}: use -l {name}=")
    nodes, time = int(resources["select"].partition(":")[0]), hours(resources["walltime"])
    queue = route(rules, given.q or "prod", nodes, time)
    jobs = [json.loads(path.read_text()) for path in FOLDER.glob("*.json")]
    mine = [job for job in jobs if job["queue"] == queue and job["job_state"] in "QR"]
    if len(mine) >= rules["queues"][queue].get("jobs", 100):
        refuse("would exceed queue's per-user limit")
    job = {
        "Job_Name": given.N or written.N,
        "Account_Name": given.A,
        "queue": queue,
        "job_state": "Q",
        "Resource_List": {**resources, "nodect": nodes, "ncpus": 208 * nodes},
        "Variable_List": dict(split(given.v)),
        "script": str(Path(given.script).resolve()),
        "folder": os.getcwd(),
    }
    number = f"{len(jobs) + 1}.pbs"
    (FOLDER / f"{number}.json").write_text(json.dumps(job))
    print(number)


main()
