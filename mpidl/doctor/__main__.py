"""Command that examines an installation: python -m mpidl.doctor, or mpiexec -n N before it."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mpidl.config import version
from mpidl.config.faults import Fault, Parser, command
from mpidl.doctor import examinations, machine, report
from mpidl.doctor.finding import Finding
from mpidl.doctor.report import NodeReport
from mpidl.ranks import host

if TYPE_CHECKING:
    from mpidl.ranks.world import Comm


def parser() -> Parser:
    """The command line of ``python -m mpidl.doctor``."""
    parser = Parser(
        prog="python -m mpidl.doctor",
        description="What is installed here, what does not fit, and the remedy; under mpiexec of "
        "all nodes, else mpiexec is tried with two ranks.",
        epilog="Exit codes: 0 nothing is wrong, 1 something is, 2 wrong input, 130 Ctrl-C.",
        add_help=False,
    )
    parser.add_argument("--json", action="store_true", help="the same for programs")
    parser.add_texts()
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Collective. Run the command; the exit code: 0 nothing is wrong, 1 something is."""

    def work() -> int:
        try:
            options = parser().parse_args(arguments)
        except Fault:
            # Without MPI, which may be what does not work; see _apart for the others' code.
            if host.leads():
                raise
            return 0
        if text := parser().text(options):
            if host.leads():
                print(text, end="")
            return 0
        if host.launched() == 1:
            return tell([NodeReport(host.name(), tuple(examinations.alone()))], options.json)
        return on_ranks(options.json)

    return command(work)


def tell(reports: Sequence[NodeReport], as_json: bool) -> int:
    """Print the reports of all nodes; the exit code."""
    wrong = report.sentences(reports, "wrong")
    if as_json:
        nodes = {one.host: [finding.plain() for finding in one.findings] for one in reports}
        print(json.dumps({"mpidl": version.number(), "nodes": nodes}, indent=2), flush=True)
    else:
        print("\n".join([version.line(), *report.lines(reports)]), flush=True)
    return int(bool(wrong))


def on_ranks(as_json: bool) -> int:
    """Collective. Examine the node of each rank, once; the exit code, the same on all ranks."""
    from mpidl.ranks import mpi_library, world

    try:
        mpi_library.load()
    except Fault:
        return _apart(Finding("mpiexec", "starts ranks, which need MPI"), as_json)
    try:
        world.private().Free()
    except Fault as fault:
        return _apart(Finding("mpiexec", "starts ranks that are alone", fault.sentences), as_json)
    with world.world() as comm:
        findings = _of_node(comm)
        world.gathered(comm)
        found = comm.gather(findings)
        reports = [NodeReport(*one) for one in found or [] if one is not None]
        return int(comm.bcast(tell(reports, as_json) if comm.rank == 0 else None))
    return 1


def _of_node(comm: "Comm") -> tuple[str, tuple[Finding, ...]] | None:
    """Collective. The findings of a node on its first rank; None on others."""
    from mpidl.ranks import world

    node = world.node(comm)
    cores = node.allgather(host.affinity())
    first = node.rank == 0
    node.Free()
    if not first:
        return None
    ranks = machine.crowded(
        len(cores), len({core for own in cores for core in own}), host.crowd(cores)
    )
    return host.name(), (*examinations.of_rank(), ranks)


def _apart(fault: Finding, as_json: bool) -> int:
    """Tell what the first rank finds, where ranks cannot reach each other; its exit code.

    That of others is 0, as a launcher may kill the ranks that remain after one with another code.
    """
    if not host.leads():
        return 0
    return tell([NodeReport(host.name(), (*examinations.of_rank(), fault))], as_json)


if __name__ == "__main__":
    sys.exit(main())
