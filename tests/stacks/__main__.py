"""Try mpidl on other MPIs: set up each stack once, and check what a user does on it.

python -m tests.stacks [STACK...]
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests import deal
from tests.stacks import checks, table
from tests.stacks.environments import ROOT, Environment, MissingError
from tests.stacks.stacks import ON_REQUEST, STACKS, Stack

BY_NAME = {stack.name: stack for stack in (*STACKS, *ON_REQUEST)}

SETTING_UP = 300.0
"""Seconds that a stack takes that is not set up yet, where h5py is to be compiled."""

LAST = 15.0
"""Seconds that a check takes at most, on a machine with nothing else to do."""

TABLE = ROOT / "results" / "stacks.md"


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = argparse.ArgumentParser(prog="python -m tests.stacks", description=__doc__)
    names = ", ".join(stack.name for stack in STACKS)
    further = ", ".join(stack.name for stack in ON_REQUEST)
    made.add_argument(
        "stacks",
        nargs="*",
        metavar="STACK",
        help=f"some of {names}; all these without names; further {further}, gigabytes each",
    )
    made.add_argument("--set-up", action="store_true", help="set up only, and check nothing")
    made.add_argument(
        "--within",
        type=float,
        metavar="SECONDS",
        help="only the stack whose turn it is at this commit, for so long; writes no table",
    )
    made.add_argument("--table", type=Path, default=TABLE, help="where the table goes")
    return made


def main(words: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    # In the background of a script it is ignored, and so it would be by every mpiexec.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given = parser().parse_args(words)
    unknown = [name for name in given.stacks if name not in BY_NAME]
    if unknown:
        print(f"stacks: there is no {unknown[0]}; there are {', '.join(BY_NAME)}", file=sys.stderr)
        return 2
    if given.within is not None:
        return _in_turn(given.within)
    wanted = [BY_NAME[name] for name in given.stacks] or list(STACKS)
    ready = [environment for stack in wanted if (environment := _set_up(stack))]
    good = len(ready) == len(wanted)
    for environment in [] if given.set_up else ready:
        good &= _all_checks(environment, given.table)
    return 0 if good else 1


def _set_up(stack: Stack) -> Environment | None:
    environment = Environment(stack)
    try:
        environment.set_up()
        environment.install_mpidl()
    except MissingError as missing:
        print(f"stacks: {stack.name} is left out: {missing}", file=sys.stderr)
        return None
    except subprocess.CalledProcessError as error:
        print(f"stacks: {stack.name} cannot be set up: {error}", file=sys.stderr)
        return None
    return environment


def _all_checks(environment: Environment, path: Path) -> bool:
    """Run all checks of a stack, and write its column as it grows; whether all is as promised."""
    stack, versions = environment.stack, environment.versions()
    column, good = {**versions, **table.where()}, True
    for outcome in _outcomes(environment, versions):
        print(f"{stack.name}: {outcome.row}: {outcome.told}", flush=True)
        column[outcome.row] = outcome.told
        good &= outcome.good is not False
        # Read only now: another stack may have been tried meanwhile.
        columns = {**table.read(path), stack.name: column}
        table.write(path, {name: columns[name] for name in BY_NAME if name in columns})
    return good


def _outcomes(environment: Environment, versions: dict[str, str]) -> Iterator[checks.Outcome]:
    stack = environment.stack
    yield from checks.behave(environment, _reference(versions), _foreign(stack), None)
    for ranks in checks.WORLDS:
        if ranks <= stack.ranks:
            yield checks.on_ranks(environment, ranks)


def _reference(versions: dict[str, str]) -> str | None:
    """This Python, where its numbers are to be the same bits: where torch is the same."""
    import torch

    return sys.executable if versions["torch"] == torch.__version__ else None


def _foreign(stack: Stack) -> Path | None:
    """The mpiexec of another MPI than a stack's, of those that are set up."""
    others = [Environment(other) for other in STACKS if other.family != stack.family]
    beside = Path(sys.executable).with_name("mpiexec")
    found = [other.mpiexec for other in others if other.ready]
    if stack.family != "mpich" and beside.exists():
        found.append(beside)
    return found[0] if found else None


def _in_turn(seconds: float) -> int:
    """Check the stack whose turn it is, as far as there is time; the exit code."""
    # The first one is what all other tests run on.
    others = list(map(Environment, STACKS[1:]))
    able = [one for one in others if one.ready or seconds >= SETTING_UP]
    if not able:
        reason = f"none is set up (--set-up), which takes more than {seconds:.0f} s"
        print(f"stacks: no stack has its turn: {reason}", file=sys.stderr)
        return 0
    environment = able[deal.number() % len(able)]
    stack = environment.stack
    began = time.monotonic()
    if _set_up(stack) is None:
        return 0
    # The last check that begins takes a while.
    left = max(seconds - LAST - (time.monotonic() - began), 1.0)
    versions = environment.versions()
    print(f"stacks: {stack.name}: {versions['MPI']}", flush=True)
    outcomes = checks.behave(environment, _reference(versions), _foreign(stack), left)
    return int(any(outcome.good is False for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
