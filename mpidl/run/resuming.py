"""Remains of an earlier start: all of the run, a checkpoint to go on from, or nothing."""

from contextlib import suppress
from pathlib import Path

from mpidl import plan
from mpidl.components import graphs
from mpidl.config.faults import Fault
from mpidl.plan import Plan
from mpidl.ranks import world
from mpidl.ranks.world import Comm
from mpidl.storage import checkpoint, results_file
from mpidl.storage.checkpoint import LoadedCheckpoint


def finished(comm: Comm, made: Plan, path: Path, resume: str | None) -> bool:
    """Collective. Whether there is nothing left that could be resumed; says so.

    Raises:
        Fault: If the results file holds all of another run.
    """
    if resume is None:
        return False
    leads = comm.rank == 0
    done = False
    with world.agreed(comm):
        done = leads and over(made, path)
    done = bool(comm.bcast(done))
    if done and leads:
        print(f"nothing is left to do: the completed run is in {path}", flush=True)
    return done


def over(made: Plan, path: Path) -> bool:
    """Whether a results file holds all of this run.

    Raises:
        Fault: If it holds all of another one.
    """
    try:
        text, rounds, completed = results_file.status(path)
    except Fault:
        return False
    if not (completed and results_file.sound(path)):
        return False
    if plan.differences(text, made.file):
        raise Fault(
            f"{path} holds another completed run; give the run file that it was made with, "
            "another --out or another name."
        )
    topology = made.file.topology
    digest = graphs.digest(made.topology, topology.link_probability)
    if topology.file is not None and results_file.graph_digest(path) not in (None, digest):
        raise Fault(
            f"{path} holds a completed run on another graph: topology.file = {topology.file!r} has "
            "other links now; give another --out or another name."
        )
    return rounds >= made.file.training.rounds


def check_fresh(made: Plan, path: Path, leads: bool) -> None:
    """Say on one rank whether a run that finds no checkpoint may begin.

    Raises:
        Fault: If its results file holds all of an earlier run with fewer rounds.
    """
    rounds, completed = 0, False
    with suppress(Fault):
        if leads:
            _, rounds, completed = results_file.status(path)
    if completed:
        raise Fault(
            f"{path} holds the completed run of {rounds} rounds, and no checkpoint of its end is "
            f"left, from which it could go on to training.rounds = {made.file.training.rounds}: "
            "checkpoint.final = true keeps one; --overwrite in place of --resume begins anew."
        )


def resumed(comm: Comm, made: Plan, path: Path, where: str) -> LoadedCheckpoint | None:
    """Collective. The checkpoint with which the run goes on; None where it has to begin.

    Args:
        comm: All ranks.
        made: The run.
        path: Its results file.
        where: The folder that was named; empty where none was.

    Raises:
        Fault: If a folder was named that has none, or if the newest is of another run.
    """
    leads, own = comm.rank == 0, made.hosted(comm.rank)
    folder = None
    with world.agreed(comm):
        if leads:
            folder = checkpoint.folder_in(where, path)
    found = checkpoint.find(comm, comm.bcast(folder), own, made.devices)
    if found is None:
        if where:
            raise Fault(f"--resume {where}: holds no whole checkpoint of {made.file.name!r}.")
        with world.agreed(comm):
            check_fresh(made, path, leads)
        if leads:
            told = f"no whole checkpoint in {checkpoint.folder(path)}; the run begins"
            print(told, flush=True)
        return None
    rounds = made.file.training.rounds
    faults = [
        f"{now}: the run in {found.path} has {before}; give the run file that it was made with."
        for now, before in plan.differences(found.head.story.run_file, made.file)
    ]
    if found.head.round > rounds:
        faults.append(
            f"training.rounds = {rounds}: {found.path} has {found.head.round} rounds already."
        )
    if faults:
        raise Fault(*faults)
    return found
