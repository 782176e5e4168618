#!/usr/bin/env python3
"""A stand-in for PBS: qsub, qstat, qdel, qhold, qrls and qrerun, by the name it is called by.

``STAND_IN_PBS`` is a folder: ``rules.toml`` is a site file, whose queues are the limits, which are
ALCF's; jobs lie there as ``N.pbs.json``, and ``mom.py`` runs them. What the commands do and say was
seen of OpenPBS 23.06.06, and so are their oddities.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import shlex
import sys
import tomllib
from pathlib import Path

LIVE = ("Q", "H", "R")
UNKNOWN, FINISHED = 153, 35
"""Exit codes for a job that PBS does not know, or that has ended."""


@contextlib.contextmanager
def locked(folder):
    """Nobody else changes a job."""
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def jobs(folder):
    """All jobs, by name, in the order of their submission."""
    paths = sorted(folder.glob("*.pbs.json"), key=lambda path: int(path.name.partition(".")[0]))
    return {path.name.removesuffix(".json"): json.loads(path.read_text()) for path in paths}


def put(folder, name, job):
    """Keep a job, so that nobody reads half of it."""
    draft = folder / f".{name}.{os.getpid()}"
    draft.write_text(json.dumps(job))
    draft.replace(folder / f"{name}.json")


def refuse(reason):
    sys.exit(f"qsub: {reason}")


def parser():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in "AqNvkjmMSoerpP":
        parser.add_argument(f"-{name}", default="")
    for name in "lW":
        parser.add_argument(f"-{name}", action="append", default=[])
    parser.add_argument("-V", action="store_true")
    parser.add_argument("script", nargs="?")
    return parser


def directives(script):
    """The options in a script: PBS stops reading at its first command."""
    words = []
    for line in script.read_text().splitlines()[1:]:
        if line.startswith("#PBS "):
            words += shlex.split(line[5:])
        elif line.strip() and not line.startswith("#"):
            break
    return words


def passed(text):
    """A list of variables as one pass of qsub writes it: a quote in quotes is escaped."""
    made, quote, number = "", "", 0
    while number < len(text):
        char = text[number]
        if char in "'\"" and not quote:
            quote = char
        elif char == quote:
            quote = ""
        elif char == "\\":
            made += char if text[number + 1 : number + 2] == "," else char + char
        elif char in "'\"" or (char == "," and (quote or made.endswith("\\"))):
            made += char if made.endswith("\\") and not quote else f"\\{char}"
        else:
            made += char
        number += 1
    if quote:
        refuse("cannot send environment with the job")
    return made


def variables(text):
    """The variables of ``-v``: qsub passes over them twice, which spoils a quote within quotes."""
    parts = re.findall(r"(?:\\.|[^,\\])+", passed(passed(text)))
    return dict(re.sub(r"\\(.)", r"\1", part).partition("=")[::2] for part in parts)


def pairs(texts):
    """The pairs in lists such as those of ``-l``."""
    found = {}
    for text in texts:
        found |= dict(part.partition("=")[::2] for part in text.split(","))
    return found


def hours(clock):
    parts = [float(part) for part in clock.split(":")]
    return sum(part / 60**i for i, part in enumerate(parts))


def route(known, name, nodes, time):
    """The queue that a job comes to lie in."""
    if name not in {queue.get("through", key) for key, queue in known.items()}:
        refuse(f"Unknown queue {name}")
    for key, queue in known.items():
        low, high = queue["nodes"]
        if queue.get("through", key) == name and low <= nodes <= high and time <= queue["hours"]:
            return key
    refuse(f"Job violates queue and/or server resource limits: {nodes} nodes, {time} h in {name}")


def qsub(folder, words):
    given = parser().parse_args(words)
    if not given.script:
        refuse("no script")
    script = Path(given.script).resolve()
    written = parser().parse_args(directives(script))
    told = {key: value or vars(written)[key] for key, value in vars(given).items()}
    resources = pairs([*written.l, *given.l])
    more = pairs([*written.W, *given.W])
    if told["V"]:
        refuse("-V is not allowed")
    if not told["A"]:
        refuse("no account: use -A")
    for name in ("select", "walltime", "filesystems"):
        if name not in resources:
            refuse(f"no {name}: use -l {name}=")
    chunk = resources["select"].split(":")
    nodes, time = int(chunk[0]), hours(resources["walltime"])
    if wrong := {part.partition("=")[0] for part in chunk[1:]} & set(resources):
        refuse(f'"-lresource=" cannot be used with "select" or "place", resource is: {wrong.pop()}')
    known = tomllib.loads((folder / "rules.toml").read_text())["queues"]
    queue, others = route(known, told["q"] or "prod", nodes, time), jobs(folder)
    mine = [job for job in others.values() if job["queue"] == queue and job["job_state"] in LIVE]
    if len(mine) >= known[queue].get("jobs", 100):
        refuse("would exceed queue's per-user limit")
    name = f"{len(others) + 1}.pbs"
    job = {
        "Job_Name": told["N"] or script.name,
        "Account_Name": told["A"],
        "queue": queue,
        "job_state": "Q",
        "Hold_Types": "n",
        "Rerunable": "False" if told["r"] == "n" else "True",
        "Mail_Points": told["m"] or "a",
        "Priority": int(told["p"] or 0),
        "project": told["P"] or "_pbs_project_default",
        "Resource_List": {**resources, "nodect": nodes, "ncpus": 208 * nodes},
        "Variable_List": variables(told["v"]),
        "Submit_arguments": " ".join(words),
        "run_count": 0,
        "script": str(script),
        "folder": os.getcwd(),
        "output": told["o"],
        "errors": told["e"],
    }
    if told["M"]:
        job["Mail_Users"] = told["M"]
    if "umask" in more:
        job["umask"] = int(more["umask"])
    if "depend" in more:
        kind, _, first = more["depend"].partition(":")
        if kind != "afterany" or first not in others:
            refuse(f"illegal -W value: {more['depend']}")
        job["depend"] = f"{more['depend']}@stand-in"
        if others[first]["job_state"] in LIVE:
            job |= {"job_state": "H", "Hold_Types": "s"}
            put(folder, first, others[first] | {"depend": f"beforeany:{name}@stand-in"})
    put(folder, name, job)
    print(name)


def qstat(folder, words):
    old = "-x" in words
    words = [word for word in words if word != "-x"]
    if words[:3] != ["-f", "-F", "json"]:
        sys.exit(f"qstat: unknown options {words}")
    shown, known, code = {}, jobs(folder), 0
    for name in words[3:]:
        if name not in known:
            print(f"qstat: Unknown Job Id {name}", file=sys.stderr)
            code = UNKNOWN
        elif known[name]["job_state"] == "F" and not old:
            print(f"qstat: {name} Job has finished, use -x or -H to obtain", file=sys.stderr)
            code = FINISHED
        elif not shown:
            # Since December 2023 it lists the first job only.
            shown[name] = known[name]
    print(json.dumps({"pbs_server": "stand-in", "Jobs": shown}))
    return code


def change(folder, words, command):
    """What qdel, qhold, qrls and qrerun do: ask ``mom.py`` for it where the job runs."""
    force = words[:2] == ["-W", "force"]
    code, known = 0, jobs(folder)
    for name in words[2:] if force else words:
        job = known.get(name, {"job_state": ""})
        state = job["job_state"]
        if state not in LIVE:
            told = "Job has finished" if state else "Unknown Job Id"
            print(f"{command}: {told} {name}", file=sys.stderr)
            code = FINISHED if state else UNKNOWN
        elif state == "R":
            kind = {"qdel": "force" if force else "delete", "qrerun": "rerun"}.get(command)
            put(folder, name, job | ({"asked": kind} if kind else {}))
        elif command == "qdel":
            put(folder, name, job | {"job_state": "F"})
        elif command in ("qhold", "qrls"):
            held = {"qhold": ("H", "u"), "qrls": ("Q", "n")}[command]
            put(folder, name, job | dict(zip(("job_state", "Hold_Types"), held, strict=True)))
    return code


def main():
    folder, command = Path(os.environ["STAND_IN_PBS"]), Path(sys.argv[0]).name
    with locked(folder):
        if command in ("qsub", "qstat"):
            return {"qsub": qsub, "qstat": qstat}[command](folder, sys.argv[1:])
        return change(folder, sys.argv[1:], command)


if __name__ == "__main__":
    sys.exit(main())
