"""Try mpidl on other MPIs: set up each stack once, and check what a user does on it.

python -m tests.stacks [STACK...]
"""

import argparse
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mpidl.ensemble import keeper
from tests import deal
from tests.stacks import checks, table
from tests.stacks.environments import ROOT, Environment, MissingError
from tests.stacks.stacks import ON_REQUEST, STACKS, Stack, serial

BY_NAME = {stack.name: stack for stack in (*STACKS, *ON_REQUEST)}

SETTING_UP = 60.0
"""Seconds that a stack takes at most that is not set up yet, with PyPI's serial h5py."""

LAST = 15.0
"""Seconds that a check takes at most, on a machine with nothing else to do."""

ENDS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end this process, and all that it started."""

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
    given = parser().parse_args(words)
    unknown = [name for name in given.stacks if name not in BY_NAME]
    if unknown:
        print(f"stacks: there is no {unknown[0]}; there are {', '.join(BY_NAME)}", file=sys.stderr)
        return 2
    with _kept():
        return _work(given)


@contextmanager
def _kept() -> Iterator[None]:
    """Let nothing that is started here outlive this process, however it ends."""
    # In the background of a script SIGINT is ignored, and so it would be by every mpiexec.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = {number: signal.signal(number, _end) for number in ENDS}
    try:
        with keeper.kept(uuid.uuid4().hex):
            yield
    finally:
        for number, handler in {**ended, signal.SIGINT: before}.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _work(given: argparse.Namespace) -> int:
    if given.within is not None:
        return _in_turn(given.within)
    wanted = [BY_NAME[name] for name in given.stacks] or list(STACKS)
    found = {stack.name: _set_up(stack) for stack in wanted}
    good = all(isinstance(one, Environment) for one in found.values())
    for name, one in {} if given.set_up else found.items():
        if isinstance(one, Environment):
            good &= _all_checks(one, given.table)
        else:
            _write_column(given.table, name, {"MPI": checks.cell(one), **table.where()})
    return 0 if good else 1


def _set_up(stack: Stack) -> Environment | str:
    """The environment of a stack, or why it has none, which is printed too."""
    environment = Environment(stack)
    try:
        environment.set_up()
        environment.install_mpidl()
    except MissingError as missing:
        reason = f"left out: {missing}"
    except subprocess.CalledProcessError as error:
        reason = f"cannot be set up: {error}"
    else:
        return environment
    print(f"stacks: {stack.name}: {reason}", file=sys.stderr)
    return reason


def _all_checks(environment: Environment, path: Path) -> bool:
    """Run all checks of a stack, and write its column as it grows; whether all is as promised."""
    stack, versions = environment.stack, environment.versions()
    column, good = {**versions, **table.where()}, True
    for outcome in _outcomes(environment, versions):
        print(f"{stack.name}: {outcome.row}: {outcome.told}", flush=True)
        column[outcome.row] = outcome.told
        good &= outcome.good is not False
        _write_column(path, stack.name, column)
    return good


def _write_column(path: Path, stack: str, column: table.Column) -> None:
    """Replace the column of a stack in the table."""
    # Read only now: another stack may have been tried meanwhile.
    columns = {**table.read(path), stack: column}
    table.write(path, {name: columns[name] for name in BY_NAME if name in columns})


def _outcomes(environment: Environment, versions: dict[str, str]) -> Iterator[checks.Outcome]:
    stack = environment.stack
    yield from checks.behave(environment, _reference(versions), _foreign(stack), None)
    for ranks in checks.WORLDS:
        if ranks <= stack.ranks:
            yield checks.on_ranks(environment, ranks)
        else:
            yield checks.too_many(ranks)


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
    stack = STACKS[1 + deal.number() % (len(STACKS) - 1)]
    if not Environment(stack).ready:
        stack = serial(stack)
    if not Environment(stack).ready and seconds < SETTING_UP + LAST:
        reason = f"setting it up takes up to {SETTING_UP:.0f} s, and {seconds:.0f} s are left"
        print(f"stacks: {stack.name} misses its turn: {reason}", file=sys.stderr)
        return 0
    began = time.monotonic()
    environment = _set_up(stack)
    if isinstance(environment, str):
        return 0
    # The last check that begins takes a while.
    left = max(seconds - LAST - (time.monotonic() - began), 1.0)
    versions = environment.versions()
    print(f"stacks: {stack.name}: {versions['MPI']}", flush=True)
    outcomes = checks.behave(environment, _reference(versions), _foreign(stack), left)
    return int(any(outcome.good is False for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
