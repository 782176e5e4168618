"""The command: read the run file, build the parts in order, run the rounds, close the file."""

import math
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

if __name__ == "__main__":
    # While modules load, Ctrl-C ends a rank without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from mpidl import start

    start.fork_from_one("mpidl.run")

from mpidl import check, host, plan, provenance, results, schema, shards, watchdog, world
from mpidl.faults import Fault, Parser
from mpidl.plan import Plan
from mpidl.progress import Display
from mpidl.shards import Stock
from mpidl.world import Comm


def patience(text: str) -> float:
    """A number of seconds from the command line."""
    seconds = float(text)
    if not watchdog.PERIOD <= seconds < math.inf:
        raise ValueError
    return seconds


def parser() -> Parser:
    """The command line of ``python -m mpidl.run``."""
    parser = Parser(
        prog="mpiexec -n N python -m mpidl.run",
        description="Train one model per device on a graph, gossip, and record.",
        add_help=False,
    )
    add = parser.add_argument
    add("file", nargs="?", type=Path, help="a run file (TOML); without one the embedded default")
    add(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting"
    )
    add("--out", type=Path, default=Path("results"), metavar="DIR", help="where NAME.h5 goes")
    add("--overwrite", action="store_true", help="replace a completed results file")
    add(
        "--check", action="store_true", help="build everything, train nothing, print what would run"
    )
    add(
        "--patience",
        type=patience,
        metavar="SECONDS",
        help="after which the ranks that wait for a late one name it and end the job (1800)",
    )
    add("--json", action="store_true", help="with --check or --list: for programs")
    add(
        "--list",
        action="store_true",
        help="all topologies, strategies, data sets, models, backends",
    )
    add("-h", "--help", action="store_true", help="this text")
    return parser


def prepare(arguments: Sequence[str]) -> None:
    """Import what ranks need; torch only if they get so far, so that a fault is told soon."""
    with suppress(Fault):
        options = parser().parse_args(arguments)
        if not (options.help or options.list):
            ranks = host.launched()
            made = plan.make(plan.read(options.file, options.set, ranks), ranks)
            shards.foresee(made.file)

            from mpidl import build, rounds  # noqa: F401


def main(arguments: Sequence[str] | None = None) -> int:
    """Collective. Run the command; the exit code is 0, 130 after Ctrl-C, or 75 after a warning.

    A user's fault ends with exit code 2, a program's fault with 1; see :func:`mpidl.world.world`.
    """
    with world.world() as comm:
        options = parser().parse_args(arguments)
        if options.help or options.list:
            if comm.rank == 0:
                print(
                    parser().format_help() if options.help else check.listing(options.json), end=""
                )
            return 0
        if options.patience is not None and watchdog.on_duty is not None:
            watchdog.on_duty.patience = options.patience
        if options.json and not options.check:
            raise Fault("--json: goes with --check or --list.")
        file = world.agree(comm, lambda: plan.read(options.file, options.set, comm.size))
        made = world.agree(comm, lambda: plan.make(file, comm.size))
        if options.check:
            return check.check(comm, made, options.json)
        return run(comm, made, options.out / f"{file.name}.h5", options.overwrite)
    return 1


def run(comm: Comm, made: Plan, path: Path, overwrite: bool = True) -> int:
    """Collective. Build the parts in order, run the rounds, close the file; the exit code."""
    parallel = world.agree(comm, lambda: writer(made))
    stock = shards.provide(comm, made)
    leads, size = comm.rank == 0, schema.series_bytes(made.sizes(len(stock.traits.classes)))
    world.agree(comm, lambda: results.examine(path, overwrite, size, leads))
    rehearse(comm, made, stock)
    world.agree(comm, lambda: results.claim(path, overwrite, leads))
    if leads:
        print(provenance.title(made), flush=True)

    from mpidl import build, rounds

    with build.parts(comm, made, stock, path, parallel) as parts:
        display = Display(made.file.training.rounds, quiet=comm.rank != 0)
        for line in provenance.notes(comm, made, parts.exchange, parallel):
            display.console.print(line)
        asked = _listen()
        try:
            finished = rounds.run_rounds(parts, display.watch, lambda: bool(asked))
        finally:
            display.close()
        parts.recorder.close(completed=finished)
        if finished:
            display.console.print(display.table(made.hops()))
        state = "results" if finished else "interrupted; the rounds so far are"
        display.console.print(f"{state} in {path}")
    return 0 if finished else stopped(comm, asked)


def rehearse(comm: Comm, made: Plan, stock: Stock) -> None:
    """Collective. Let one rank of each node try what only torch can tell.

    So a fault costs one import of torch, not one on each rank, and leaves no file behind.
    """
    node = world.node(comm)
    own = len(made.hosted(comm.rank))
    hosted = own, node.allreduce(own)

    def attempt() -> None:
        if node.rank == 0:
            from mpidl import build

            build.rehearse(node, made, stock, hosted)

    world.agree(comm, attempt)
    node.Free()


def writer(made: Plan) -> bool:
    """Whether the results file is written in parallel.

    Raises:
        Fault: If the run file asks for it and h5py cannot.
    """
    wanted = made.file.record.writer
    able = wanted != "gather" and world.check_hdf5()
    if wanted == "parallel" and not able:
        raise Fault(
            "record.writer = 'parallel': this h5py was built without MPI; 'auto' and 'gather' work."
        )
    return able


def _listen() -> list[int]:
    """Let the first Ctrl-C, or a warning, end the run after its round; a second Ctrl-C at once.

    Returns:
        The signals that came, to be asked for now and then.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        # A batch system may send its warning to every process, and the launcher passes it on too.
        if number == signal.SIGINT and number in asked:
            raise KeyboardInterrupt
        asked.append(number)

    for number in (signal.SIGINT, *world.WARNINGS):
        signal.signal(number, ask)
    return asked


def stopped(comm: Comm, asked: Sequence[int]) -> int:
    """Collective. The exit code of a run that ended before its end, by the signals that came."""
    code = world.INTERRUPTED if signal.SIGINT in asked else world.AGAIN if asked else 0
    codes: list[int] = comm.allgather(code)
    return max(codes)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    start.end_with(main)
