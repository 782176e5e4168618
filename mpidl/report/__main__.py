"""Command that makes tables, figures, an animation and one page from results files.

python -m mpidl.report PATH... [--out DIR] [--format png|svg|pdf] [--html] [--csv] [--json]
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mpidl.config import runfile
from mpidl.config.faults import Fault, Parser, command, tell
from mpidl.report import missing

if absent := missing():
    tell(Fault(f"The report needs {', '.join(absent)}: pip install 'mpidl[report]'."))
    sys.exit(2)

from mpidl.report import products, summary, terminal
from mpidl.report.products import Wanted
from mpidl.report.shelf import Shelf
from mpidl.report.watch import Watch
from mpidl.storage import runs


def parser() -> Parser:
    """The command line of ``python -m mpidl.report``."""
    parser = Parser(
        prog="python -m mpidl.report",
        description="Tables, figures, an animation and one page from results files. Without a "
        "flag that names a product: the table, and figures as PNG.",
        epilog="Exit codes: 0 done, 2 wrong input, 130 Ctrl-C.",
    )
    add = parser.add_argument
    add("paths", type=Path, nargs="+", metavar="PATH", help="a results file, or a folder of them")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the files, in place of one beside the results",
    )
    add("--format", choices=("png", "svg", "pdf"), help="make figures in this format (png)")
    add("--html", action="store_true", help="make one page with everything: DIR/report.html")
    add("--csv", action="store_true", help="make all tables; the tidy one as Parquet too")
    add("--json", action="store_true", help="print all numbers as JSON, and nothing else")
    add(
        "--animate", action="store_true", help="make a GIF of knowledge that spreads over the graph"
    )
    add("--paper", action="store_true", help="compare with the numbers of arXiv 2505.11760")
    parser.add_use()
    parser.add_quiet()
    text = "count rounds until the mean accuracy reaches this (%(default)s)"
    add("--threshold", type=float, default=summary.THRESHOLD, metavar="SHARE", help=text)
    text = "make page and tables again every few seconds (5) while runs go on, until Ctrl-C"
    add("--watch", type=float, nargs="?", const=5.0, metavar="SECONDS", help=text)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 2 the user's fault, 130 Ctrl-C."""

    def work() -> int:
        options = parser().parse_args(arguments)
        _check(options)
        runfile.begin(options.use)
        folder = options.out or _beside(options.paths)
        if options.watch is not None:
            Watch(options.paths, folder, _wanted(options), Shelf(options.threshold)).go_on(
                options.watch
            )
        return _once(options, folder)

    return command(work)


def _check(options: Namespace) -> None:
    if not 0 < options.threshold <= 1:
        raise Fault(f"--threshold {options.threshold:g}: must be above 0 and at most 1.")
    if options.watch is not None and not 0.1 <= options.watch <= 86400:
        raise Fault(f"--watch {options.watch:g}: must be from 0.1 to 86,400 seconds.")
    if options.watch is not None and options.json:
        raise Fault("--json: must not be given with --watch, which goes on; --json prints once.")
    if options.watch is not None and options.quiet:
        raise Fault("--quiet: must not be given with --watch, which tells what it sees.")
    if options.watch is not None and options.format:
        raise Fault("--format: must not be given with --watch, which makes no figures.")


def _wanted(options: Namespace) -> Wanted:
    products = options.html, options.csv, options.json, options.animate, options.paper
    figures = options.format or (None if any(products) else "png")
    return Wanted(figures, options.html, options.csv, options.animate, options.paper)


def _beside(paths: Sequence[Path]) -> Path:
    """The folder for files, beside the results."""
    first = paths[0]
    if runs.is_folder(first):
        return first / "report"
    return first.with_name(f"{first.stem}-report" if len(paths) == 1 else "report")


def _once(options: Namespace, folder: Path) -> int:
    paths = runs.files(*options.paths)
    if not paths:
        raise Fault(f"There is no results file of mpidl in {', '.join(map(str, options.paths))}.")
    wanted = _wanted(options)
    with products.progress(options.quiet) as progress:
        collection = Shelf(options.threshold).read(paths, progress("reading"))
        files = products.make(collection, wanted, folder, progress)
        if options.json:
            print(products.as_json(collection, wanted), flush=True)
    if options.json:
        terminal.where(() if options.quiet else files, Console(stderr=True))
        return 0
    console = terminal.console()
    if options.quiet:
        terminal.tell(terminal.warned(collection), console)
        return 0
    terminal.show(collection, console)
    if options.paper:
        terminal.compare(collection, console)
    terminal.where(files, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
