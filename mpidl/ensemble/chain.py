"""The next job: this job, submitted once more; it waits until this one has ended.

It is submitted if the time of this job was over, by its own clock or by a warning of the batch
system. If this job was ended before its time, by qdel, scancel or in favor of another job, no job
follows: a person wanted it to end, or the batch system starts this job again by itself.
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
"""Variables that hold the words of what to start, and how many jobs may still follow."""

LINKS = 100
"""Number of jobs that may follow if the variable is unset."""

OWN, ENDS = "MPIDL_", MOMENTS[0]
"""Beginning of the names of variables that the next job gets too, and the one that it does not."""

WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
"""Signals that warn that the time is nearly over; other signals end a job."""

RESOURCES = ("select", "place", "walltime", "filesystems")
"""Resources that the next job asks for, where this one has them."""

ATTRIBUTES = {
    "Rerunable": ("-r", "True"),
    "Mail_Points": ("-m", "a"),
    "Mail_Users": ("-M", ""),
    "Priority": ("-p", "0"),
    "project": ("-P", "_pbs_project_default"),
    "Join_Path": ("-j", "n"),
    "Keep_Files": ("-k", "n"),
}
"""By attribute that PBS tells of a job: the option of qsub, and the value without that option."""

MORE = ("umask", "group_list")
"""Attributes that qsub takes by ``-W``."""

PATHS = {"Output_Path": ("-o", "o"), "Error_Path": ("-e", "e")}
"""By attribute: the option of qsub, and the letter before the job number in a default path."""


class StopRequest(NamedTuple):
    """A signal that asked this job to stop, and the moment it came, in seconds since 1970."""

    signal: int
    moment: float


def words_to_start(words: Sequence[str]) -> list[str]:
    """The words of what to start: the command's, or the variable's, or those of the file it names.

    Raises:
        Fault: If the file cannot be read, or a quote is not closed.
    """
    text = os.environ.get(WORDS, "")
    if words or not text:
        return list(words)
    try:
        line = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
        return shlex.split(line)
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{WORDS} = {text!r}: the file cannot be read ({error}).") from None
    except ValueError as error:
        raise Fault(
            f"{WORDS} = {text!r}: {error}; qsub -v damages quotes: put the words into a file, and "
            f"give {WORDS}=@FILE."
        ) from None


def check_wanted(requests: Sequence[StopRequest], stop: float | None) -> None:
    """Check that another job is to follow.

    Args:
        requests: Signals that asked this job to stop.
        stop: The moment at which it stops by itself, in seconds since 1970; None if unknown.

    Raises:
        Fault: If this job was ended before its time was over.
    """
    for request in requests:
        if request.signal not in WARNINGS and (stop is None or request.moment < stop):
            when = "and it is not known when the time of this job is over"
            if stop is not None:
                when = f"{allocation.clock(stop - request.moment)} before this job's time was over"
            raise Fault(
                f"No job follows: {signal.Signals(request.signal).name} came {when}. Where the "
                "batch system does not start this job again, submit it once more to go on."
            )


def again(site: Site, script: str, results: Path) -> None:
    """Submit this job once more, with the options that it was submitted with.

    Args:
        site: The site of this job.
        script: The batch script.
        results: The file or the folder of its results; its words are kept beside it.

    Raises:
        Fault: If no more jobs may follow, or the scheduler refuses.
    """
    links = int(os.environ.get(CHAIN, LINKS))
    if site.scheduler == "slurm":
        if int(os.environ.get("SLURM_RESTART_COUNT", 0)) >= links:
            raise Fault(f"No job follows: {links} did ({CHAIN}); no more may.")
        allocation.ask("scontrol", "requeue", allocation.number(site))
        return
    if links < 1:
        raise Fault(f"No job follows: {CHAIN} = {links}, so no more may.")
    number = allocation.number(site)
    try:
        job = allocation.described(number)
    except Fault as fault:
        if allocation.gone(fault):
            raise Fault(
                f"No job follows: for PBS job {number} has ended already, as after qsig, whose "
                "signal ends the job's shell too. Submit it once more to go on."
            ) from None
        raise
    if next_one := _waiting(job, links - 1):
        print(f"mpidl: the next job is {next_one}, submitted when this job ran before")
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
    """The options of qsub that a job was submitted with; it may have come by a routing queue."""
    queue, wanted = job["queue"], job["Resource_List"]
    through = site.queues[queue].through if queue in site.queues else ""
    words = ["-A", str(job["Account_Name"]), "-q", through or queue, "-N", str(job["Job_Name"])]
    # PBS and hooks of sites add resources that nobody may ask for.
    named = re.findall(r"(?:-l ?|,)(\w+)=", str(job.get("Submit_arguments", "")))
    for name in dict.fromkeys([*RESOURCES, *named]):
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
    """A value as qsub -v takes it: quoted if it has a comma, at which qsub splits the list.

    Raises:
        Fault: If the value has quotes, which qsub damages.
    """
    if re.search(r"[\"'\\]", value):
        raise Fault(f"No job follows: qsub -v damages the quotes in {key} = {value}.")
    return f'"{value}"' if "," in value else value


def request(number: int) -> StopRequest:
    """The request that a signal makes which has just come."""
    return StopRequest(number, time.time())


def _keep(text: str, results: Path) -> str:
    """The path of a file with the words of this job, written unless they came from a file."""
    if text.startswith("@"):
        return text[1:]
    path = results.with_name(f"{results.name}.job")
    path.write_text(f"{text}\n", encoding="utf-8")
    return str(path)


def _waiting(job: Mapping[str, Any], links: int) -> str:
    """The next job if it was submitted before PBS started this job again, or an empty text."""
    for name in re.findall(r"(?:beforeany|@[^:,]+):([^@:,]+)", str(job.get("depend", ""))):
        variables = allocation.described(name).get("Variable_List", {})
        if str(variables.get(CHAIN)) == str(links):
            return str(name)
    return ""
