"""Resuming of an earlier start: from a completed run, from a checkpoint, or from nothing."""

from contextlib import suppress
from pathlib import Path

from mpidl.components import graphs
from mpidl.config.faults import Fault
from mpidl.plan import Plan, differences
from mpidl.ranks import world
from mpidl.ranks.world import Comm
from mpidl.storage import checkpoint, results_file
from mpidl.storage.checkpoint import LoadedCheckpoint


def finished(comm: Comm, plan: Plan, path: Path, resume: str | None, brief: bool = False) -> bool:
    """Collective. Whether the run is completed, so that nothing is left to do.

    Prints that, unless only warnings are to be printed.

    Raises:
        Fault: If the results file holds another completed run.
    """
    if resume is None:
        return False
    leads = comm.rank == 0
    done = False
    with world.agreed(comm):
        done = leads and over(plan, path)
    done = bool(comm.bcast(done))
    if done and leads and not brief:
        print(f"nothing is left to do: the completed run is in {path}", flush=True)
    return done


def over(plan: Plan, path: Path) -> bool:
    """Whether a results file holds all rounds of this run.

    Raises:
        Fault: If it holds another completed run.
    """
    try:
        text, rounds, completed = results_file.status(path)
    except Fault:
        return False
    if not (completed and results_file.sound(path)):
        return False
    if changed := differences(text, plan.file):
        now, before = changed[0]
        raise Fault(
            f"{path} holds another completed run: {now} here, and its run has {before}; give the "
            "run file of that run, another --out or another name."
        )
    topology = plan.file.topology
    digest = graphs.digest(plan.topology, topology.link_probability)
    if topology.file is not None and results_file.graph_digest(path) not in (None, digest):
        raise Fault(
            f"{path} holds a completed run on another graph: topology.file = {topology.file!r} has "
            "other links now; give another --out or another name."
        )
    return rounds >= plan.file.training.rounds


def check_fresh(plan: Plan, path: Path, leads: bool) -> None:
    """Check on one rank that a run without a checkpoint may begin.

    Raises:
        Fault: If its results file holds a completed run with fewer rounds.
    """
    rounds, completed = 0, False
    with suppress(Fault):
        if leads:
            _, rounds, completed = results_file.status(path)
    if completed:
        raise Fault(
            f"{path} holds the completed run of {rounds} rounds, without a checkpoint of its end "
            f"from which it could go on to training.rounds = {plan.file.training.rounds}: "
            "checkpoint.final = true keeps one; --overwrite in place of --resume begins anew."
        )


def resumed(comm: Comm, plan: Plan, path: Path, where: str) -> LoadedCheckpoint | None:
    """Collective. The checkpoint with which the run goes on; None if it has to begin.

    Args:
        comm: All ranks.
        plan: The plan of the run.
        path: Its results file.
        where: The folder that the user named, or an empty text.

    Raises:
        Fault: If the named folder has no checkpoint, or if the newest is of another run.
    """
    leads, own = comm.rank == 0, plan.hosted(comm.rank)
    folder = None
    with world.agreed(comm):
        if leads:
            folder = checkpoint.folder_in(where, path)
    found = checkpoint.find(comm, comm.bcast(folder), own, plan.devices)
    if found is None:
        if where:
            raise Fault(
                f"--resume {where}: must hold a complete checkpoint of {plan.file.name!r}, and "
                "has none."
            )
        with world.agreed(comm):
            check_fresh(plan, path, leads)
        if leads:
            message = f"no complete checkpoint in {checkpoint.folder(path)}; the run begins"
            print(message, flush=True)
        return None
    rounds = plan.file.training.rounds
    faults = [
        f"{now}: the run in {found.path} has {before}; give the run file of that run."
        for now, before in differences(found.head.story.run_file, plan.file)
    ]
    if found.head.round > rounds:
        faults.append(
            f"training.rounds = {rounds}: {found.path} has {found.head.round} rounds already."
        )
    if faults:
        raise Fault(*faults)
    return found
