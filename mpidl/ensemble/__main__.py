"""Command that lists, checks, plans or runs a study.

python -m mpidl.ensemble STUDY [--list | --check | --plan SITE | --site SITE]
"""

import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mpidl.ranks import stopping

if __name__ == "__main__":
    # A request to stop may come while the rest loads.
    stopping.listen(*stopping.WARNINGS)

from mpidl.config.faults import Fault, Parser, command
from mpidl.ensemble import allocation, calibration, cost, resources, shapes, sites, study_table
from mpidl.ensemble.allocation import NodeRequest
from mpidl.ensemble.display import Display
from mpidl.ensemble.driver import Driver
from mpidl.ensemble.folder import Folder
from mpidl.ensemble.sites import Site
from mpidl.ensemble.study import Study, check_data
from mpidl.ensemble.study import read as read_study
from mpidl.ensemble.timing import Orders
from mpidl.ranks.walltime import seconds

HOUR = 3600.0


def parser() -> Parser:
    """The command line of ``python -m mpidl.ensemble``."""
    parser = Parser(
        prog="python -m mpidl.ensemble",
        description="Run a study: many runs, each started by mpiexec.",
        epilog="Exit codes: 0 all done, 1 some runs failed, 2 wrong input, 75 start me again, "
        "130 Ctrl-C.",
    )
    add = parser.add_argument
    add("study", type=Path, metavar="STUDY", help="a study file, or the folder of study.toml")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--list", action="store_true", help="print the runs")
    action.add_argument(
        "--check", action="store_true", help="check every run, and print where ranks go"
    )
    action.add_argument(
        "--plan", metavar="SITE", help="print the time and the jobs that the study takes there"
    )
    action.add_argument("--table", action="store_true", help="print a table of the completed runs")
    add("--site", metavar="SITE", help="local, aurora, polaris, slurm, or a file (TOML)")
    text = "results go to DIR/STUDY/ (results)"
    add("--out", type=Path, default=Path("results"), metavar="DIR", help=text)
    add(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="a setting of every run",
    )
    parser.add_use()
    parser.add_quiet()
    text = "most ranks of a run; a rank hosts several devices as needed"
    add("--ranks", type=int, metavar="N", help=text)
    add("--slots", type=int, metavar="N", help="most runs on a node at a time")
    add("--nodes", type=int, metavar="N", help="nodes of each batch job")
    add("--jobs", type=int, default=1, metavar="N", help="batch jobs at a time (1)")
    add(
        "--walltime",
        metavar="HH:MM:SS",
        help="time of this allocation from now on, or of each batch job",
    )
    add("--account", metavar="NAME", help="account that batch jobs are charged to")
    add("--queue", metavar="NAME", help="queue or partition of batch jobs")
    text = "file systems that batch jobs need (PBS), such as home:flare"
    add("--filesystems", metavar="NAMES", help=text)
    text = "further attempts after a run failed (1)"
    add("--retries", type=int, default=1, metavar="N", help=text)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0 all done, 1 some runs failed or code of the user's own, 2 the user's fault, 75 start me again,
    130 Ctrl-C.
    """

    def work() -> int:
        options = parser().parse_args(arguments)
        _check_numbers(options)
        study = read_study(options.study, options.set, options.ranks, options.use)
        site = _site(options) if options.site and not options.plan else None
        if site is not None and not (options.table or options.check or options.list):
            return _work(study, site, options)
        # There is nothing to save, so signals may end it.
        with stopping.unheard(*stopping.WARNINGS):
            return _show(study, site, options)

    return command(work)


def _show(study: Study, site: Site | None, options: Namespace) -> int:
    """Print what the options ask for."""
    if options.plan:
        return _plan(study, options)
    if options.table:
        return _table(study, options)
    if options.check:
        return _check(study, site)
    return _list(study)


def _check_numbers(options: Namespace) -> None:
    for name in ("ranks", "slots", "nodes", "jobs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise Fault(f"--{name} {value}: must be at least 1.")
    if options.retries < 0:
        raise Fault(f"--retries {options.retries}: must be at least 0.")


def _site(options: Namespace) -> Site:
    site = sites.read(options.site)
    given = {key: getattr(options, key) for key in ("account", "queue", "filesystems")}
    changes = {key: value for key, value in given.items() if value is not None}
    submission = site.submission.model_copy(update=changes)
    node = site.node.model_copy(update={"runs": options.slots} if options.slots else {})
    if site.node.cpus == "auto" and not allocation.inside(site):
        raise Fault(
            f"node.cpus = 'auto' of site {options.site!r}: it takes the cores of this node, which "
            "is not one of the site's nodes; give a number of cores, or start inside a job."
        )
    return site.model_copy(update={"submission": submission, "node": node})


def _list(study: Study) -> int:
    for run in study.runs:
        print(f"{run.name}  {run.ranks:4} ranks  {', '.join(run.labels.values())}")
    print(_count(study))
    return 0


def _count(study: Study) -> str:
    sizes = Counter(run.ranks for run in study.runs)
    counts = ", ".join(f"{count} of {ranks} ranks" for ranks, count in sorted(sizes.items()))
    return f"{study.name}: {len(study.runs):,} runs: {counts}"


def _check(study: Study, site: Site | None) -> int:
    check_data(study)
    print(f"{_count(study)}; each of them can be run")
    if site is not None:
        for ranks in sorted({run.ranks for run in study.runs}):
            print("\n".join(["", *placed(site, ranks)]))
    return 0


def placed(site: Site, ranks: int) -> list[str]:
    """Lines that say where each rank of a run goes."""
    shape = shapes.shape(site, ranks)
    where = f"{shape.nodes} nodes" if shape.nodes > 1 else f"1 node, {shape.slots} runs at a time"
    lines = [f"runs of {ranks} ranks: {where}", "slot  rank  node  cores            accelerator"]
    for slot in range(shape.slots):
        for binding in shapes.bindings(site, shape, slot):
            place, accelerator = binding.place, binding.place.accelerator or "-"
            lines.append(
                f"{slot:4}  {binding.rank:4}  {binding.node:4}  {place.cpus:15}  {accelerator}"
            )
    return lines


def _plan(study: Study, options: Namespace) -> int:
    hours = seconds(options.walltime) / HOUR if options.walltime else None
    options.site = options.plan
    folder = options.out / study.name
    print(
        resources.report(
            study, _site(options), options.plan, folder, options.nodes, options.queue, hours
        )
    )
    return 0


def _table(study: Study, options: Namespace) -> int:
    print(study_table.text(study, Folder(options.out / study.name)), end="")
    return 0


def _work(study: Study, site: Site, options: Namespace) -> int:
    check_data(study)
    request, orders = _request(site, options)
    _check_sizes(study, site, request.nodes)
    folder = Folder(options.out / study.name)
    with folder.alone(), Display(len(study.runs), options.quiet) as display:
        measured = calibration.remembered(folder.path, site, options.site)
        estimates = cost.estimates(study, site, measured)
        driver = Driver(study, site, folder, request, orders, estimates, display.tell, display.show)
        try:
            code = driver.work()
        except BaseException as error:
            folder.log("end", study.name, f"{type(error).__name__}: {error}")
            raise
        path = study_table.write(study, folder)
    if not options.quiet:
        print(f"{driver.state}; table in {path}, log in {folder.path / 'log.txt'}")
    return code


def _check_sizes(study: Study, site: Site, nodes: int) -> None:
    for ranks in sorted({run.ranks for run in study.runs}):
        if (wanted := shapes.shape(site, ranks).nodes) > nodes:
            raise Fault(
                f"Runs of {ranks} ranks take {wanted} nodes, and there are {nodes}; ask for more "
                "nodes, or limit the ranks by --ranks: fewer ranks host more devices each."
            )


def _request(site: Site, options: Namespace) -> tuple[NodeRequest, Orders]:
    walltime = seconds(options.walltime) if options.walltime else None
    if allocation.inside(site):
        moments = [
            allocation.stop(allocation.ends(site)),
            time.time() + walltime if walltime else None,
        ]
        end = min((moment for moment in moments if moment is not None), default=None)
        hosts = allocation.hosts(site)
        request = NodeRequest(len(hosts), 1, walltime or 0.0, hosts)
        return request, Orders(options.retries, end, options.quiet)
    if walltime is None:
        raise Fault(
            "--walltime is missing: outside an allocation it is the time of each batch job."
        )
    return NodeRequest(options.nodes or 1, options.jobs, walltime), Orders(
        options.retries, brief=options.quiet
    )


if __name__ == "__main__":
    sys.exit(main())
