"""The job after this one: the same once more, which waits until this one has ended for good.

It is submitted where the job's time was over, by its own clock or a warning of the batch system.
Where a job is ended before, by qdel, scancel or for another job, none follows: the one that ended
it wants that, or the batch system starts this very job again by itself.
"""

import os
import re
import shlex
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mpidl.config.faults import Fault
from mpidl.ensemble import allocation
from mpidl.ensemble.sites import Site
from mpidl.ranks.walltime import MOMENTS

WORDS, CHAIN = "MPIDL_JOB", "MPIDL_CHAIN"
"""Variables: what to start, and how many jobs may follow."""

LINKS = 100
"""How many jobs may follow if that is unset."""

OWN, ENDS = "MPIDL_", MOMENTS[0]
"""How the variables begin that the next job gets too, and which of them is of this one only."""

WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
"""Signals that say that the time will soon be over; others end a job."""

RESOURCES = ("select", "place", "walltime", "filesystems")
"""Resources that every job is submitted with, where it has them."""

ATTRIBUTES = {
    "Rerunable": ("-r", "True"),
    "Mail_Points": ("-m", "a"),
    "Mail_Users": ("-M", ""),
    "Priority": ("-p", "0"),
    "project": ("-P", "_pbs_project_default"),
    "Join_Path": ("-j", "n"),
    "Keep_Files": ("-k", "n"),
}
"""How qsub takes what PBS tells of a job, and what a job has that was submitted without it."""

MORE = ("umask", "group_list")
"""Of that, what qsub takes by ``-W``."""

PATHS = {"Output_Path": ("-o", "o"), "Error_Path": ("-e", "e")}
"""The same of paths, which unless told end in the letter and the number of the job."""


class Request(NamedTuple):
    """A signal that asked this job to stop, and when it came, in seconds since 1970."""

    signal: int
    moment: float


def told(words: Sequence[str]) -> list[str]:
    """What to start: the words of the command, or those of the variable or of the file it names.

    Raises:
        Fault: If the file cannot be read, or they have no end of a quote.
    """
    text = os.environ.get(WORDS, "")
    if words or not text:
        return list(words)
    try:
        found = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
        return shlex.split(found)
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{WORDS} = {text!r}: the file cannot be read ({error}).") from None
    except ValueError as error:
        raise Fault(
            f"{WORDS} = {text!r}: {error}; qsub -v spoils quotes: put the words into a file, and "
            f"give {WORDS}=@FILE."
        ) from None


def check_wanted(asked: Sequence[Request], stop: float | None) -> None:
    """Whether another job is to follow.

    Args:
        asked: What asked this job to stop.
        stop: When it stops by itself, in seconds since 1970; None if it does not know its end.

    Raises:
        Fault: If this job was ended before its time was over.
    """
    for request in asked:
        if request.signal not in WARNINGS and (stop is None or request.moment < stop):
            when = "and nobody told when the time of this job is over"
            if stop is not None:
                when = f"{allocation.clock(stop - request.moment)} before this job's time was over"
            raise Fault(
                f"No job follows: {signal.Signals(request.signal).name} came {when}. Where the "
                "batch system does not start this job again, submit it once more to go on."
            )


def again(site: Site, script: str, results: Path) -> None:
    """Submit this job once more, with all that it was submitted with.

    Args:
        site: Where.
        script: What is submitted.
        results: The file or the folder of its results, beside which its words are kept.

    Raises:
        Fault: If the chain has come to its end, or the scheduler refuses.
    """
    links = int(os.environ.get(CHAIN, LINKS))
    if site.scheduler == "slurm":
        if int(os.environ.get("SLURM_RESTART_COUNT", 0)) >= links:
            raise Fault(f"No job follows: {CHAIN} = {links} of them did.")
        allocation.ask("scontrol", "requeue", allocation.number(site))
        return
    if links < 1:
        raise Fault(f"No job follows: {CHAIN} = {links}.")
    number = allocation.number(site)
    job = allocation.described(number)
    if next_one := _waiting(job, links - 1):
        print(f"mpidl: the next job is {next_one}, which waits since this one ran before")
        return
    kept = {key: value for key, value in os.environ.items() if key.startswith(OWN)}
    kept.pop(ENDS, None)
    kept |= {CHAIN: str(links - 1)}
    if WORDS in kept:
        kept[WORDS] = f"@{_keep(kept[WORDS], results)}"
    words = ["qsub", *options(site, job, number), "-W", f"depend=afterany:{number}"]
    words += ["-v", ",".join(f"{key}={quoted(key, value)}" for key, value in kept.items()), script]
    print(f"mpidl: the next job is {allocation.ask(*words).strip()}", flush=True)


def options(site: Site, job: Mapping[str, Any], number: str) -> list[str]:
    """What a job of PBS was submitted with; it may have been routed to another queue."""
    queue, wanted = job["queue"], job["Resource_List"]
    through = site.queues[queue].through if queue in site.queues else ""
    words = ["-A", str(job["Account_Name"]), "-q", through or queue, "-N", str(job["Job_Name"])]
    # PBS and hooks of sites add resources that nobody may ask for.
    given = re.findall(r"(?:-l ?|,)(\w+)=", str(job.get("Submit_arguments", "")))
    for name in dict.fromkeys([*RESOURCES, *given]):
        if name in wanted:
            words += ["-l", f"{name}={wanted[name]}"]
    for name, (option, usual) in ATTRIBUTES.items():
        value = str(job.get(name, usual))
        if value != usual:
            words += [option, {"False": "n"}.get(value, value)]
    for name, (option, letter) in PATHS.items():
        value = str(job.get(name, ""))
        if value and not value.endswith(f".{letter}{number.partition('.')[0]}"):
            words += [option, value]
    for name in MORE:
        if name in job:
            words += ["-W", f"{name}={job[name]}"]
    return words


def quoted(key: str, value: str) -> str:
    """A value as qsub takes it in a list, which it splits at commas outside quotes.

    Raises:
        Fault: If it has quotes, which qsub spoils.
    """
    if re.search(r"[\"'\\]", value):
        raise Fault(f"No job follows: qsub -v spoils the quotes in {key} = {value}.")
    return f'"{value}"' if "," in value else value


def request(number: int) -> Request:
    """A signal that has just come."""
    return Request(number, time.time())


def _keep(text: str, results: Path) -> str:
    """The file with the words of this job, written unless they came from one."""
    if text.startswith("@"):
        return text[1:]
    path = results.with_name(f"{results.name}.job")
    path.write_text(f"{text}\n", encoding="utf-8")
    return str(path)


def _waiting(job: Mapping[str, Any], links: int) -> str:
    """The next job, if one was submitted already before PBS started this one again."""
    for name in re.findall(r"(?:beforeany|@[^:,]+):([^@:,]+)", str(job.get("depend", ""))):
        variables = allocation.described(name).get("Variable_List", {})
        if str(variables.get(CHAIN)) == str(links):
            return str(name)
    return ""
