"""The command: list, check, plan or work off a study.

python -m mpidl.ensemble STUDY [--list | --check | --plan SITE | --site SITE]
"""

import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mpidl.config.faults import Fault, Parser, tell
from mpidl.config.outcome import Outcome
from mpidl.ensemble import allocation, calibration, cost, forecast, sites, study, table
from mpidl.ensemble.display import Display
from mpidl.ensemble.driver import Driver
from mpidl.ensemble.folder import Folder
from mpidl.ensemble.pool import Request
from mpidl.ensemble.sites import Site
from mpidl.ensemble.study import Study
from mpidl.ensemble.timing import Orders
from mpidl.ranks.walltime import seconds

HOUR = 3600.0


def parser() -> Parser:
    """The command line of ``python -m mpidl.ensemble``."""
    parser = Parser(
        prog="python -m mpidl.ensemble",
        description="Work off a study: many runs, each by mpiexec.",
        epilog="Exit codes: 0 all done, 1 some runs failed, 2 your fault, 75 start me again, "
        "130 Ctrl-C.",
    )
    add = parser.add_argument
    add("study", type=Path, help="a study file, or the folder of study.toml")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="print the runs")
    what.add_argument("--check", action="store_true", help="check every run, and where ranks go")
    what.add_argument("--plan", metavar="SITE", help="print what the study will take there")
    what.add_argument("--table", action="store_true", help="print the table of what is done")
    add("--site", metavar="SITE", help="local, aurora, polaris, slurm, or a file (TOML)")
    add("--out", type=Path, default=Path("results"), help="results go to OUT/STUDY/")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="for every run")
    add("--ranks", type=int, help="of each run at most; it hosts devices as needed")
    add("--slots", type=int, help="runs on a node at a time at most")
    add("--nodes", type=int, help="of each batch job that is asked for")
    add("--jobs", type=int, default=1, help="batch jobs at a time")
    add("--walltime", metavar="HH:MM:SS", help="of this allocation from now on, or of each job")
    add("--account", help="that batch jobs are charged to")
    add("--queue", help="or partition, of batch jobs")
    add("--filesystems", help="that batch jobs need (PBS), such as home:flare")
    add("--retries", type=int, default=1, help="attempts after a failed one")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code.

    0 all done, 1 some runs failed, 2 the user's fault, 75 start me again, 130 Ctrl-C.
    """
    try:
        options = parser().parse_args(arguments)
        _check_numbers(options)
        found = study.read(options.study, options.set, options.ranks)
        if options.plan:
            return _plan(found, options)
        site = _site(options) if options.site else None
        if options.table:
            return _table(found, options)
        if options.check:
            return _check(found, site)
        if options.list or site is None:
            return _list(found)
        return _work(found, site, options)
    except Fault as fault:
        tell(fault)
        return Outcome.REFUSED.code
    except KeyboardInterrupt:
        return Outcome.INTERRUPTED.code


def _check_numbers(options: Namespace) -> None:
    for name in ("ranks", "slots", "nodes", "jobs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise Fault(f"--{name} {value}: must be at least 1.")
    if options.retries < 0:
        raise Fault(f"--retries {options.retries}: must be at least 0.")


def _site(options: Namespace) -> Site:
    site = sites.read(options.site)
    told = {key: getattr(options, key) for key in ("account", "queue", "filesystems")}
    asked = {key: value for key, value in told.items() if value is not None}
    submission = site.submission.model_copy(update=asked)
    node = site.node.model_copy(update={"runs": options.slots} if options.slots else {})
    if site.node.cpus == "auto" and not allocation.inside(site):
        raise Fault(
            f"node.cpus = 'auto' of site {options.site!r}: means the node of this process, which "
            "is none of the site's; give a number of cores, or start inside a job."
        )
    return site.model_copy(update={"submission": submission, "node": node})


def _list(found: Study) -> int:
    for run in found.runs:
        print(f"{run.name}  {run.ranks:4} ranks  {', '.join(run.labels.values())}")
    print(_count(found))
    return 0


def _count(found: Study) -> str:
    sizes = Counter(run.ranks for run in found.runs)
    told = ", ".join(f"{count} of {ranks} ranks" for ranks, count in sorted(sizes.items()))
    return f"{found.name}: {len(found.runs):,} runs: {told}"


def _check(found: Study, site: Site | None) -> int:
    study.check_data(found)
    print(f"{_count(found)}; each of them can be run")
    if site is not None:
        for ranks in sorted({run.ranks for run in found.runs}):
            print("\n".join(["", *placed(site, ranks)]))
    return 0


def placed(site: Site, ranks: int) -> list[str]:
    """Where the ranks of a run go, a line each."""
    shape = sites.shape(site, ranks)
    where = f"{shape.nodes} nodes" if shape.nodes > 1 else f"1 node, {shape.slots} runs at a time"
    lines = [f"runs of {ranks} ranks: {where}", "slot  rank  node  cores            accelerator"]
    for slot in range(shape.slots):
        for at in sites.bindings(site, shape, slot):
            seen = at.place.accelerator or "-"
            lines.append(f"{slot:4}  {at.rank:4}  {at.node:4}  {at.place.cpus:15}  {seen}")
    return lines


def _plan(found: Study, options: Namespace) -> int:
    hours = seconds(options.walltime) / HOUR if options.walltime else None
    options.site = options.plan
    folder = options.out / found.name
    print(
        forecast.report(
            found, _site(options), options.plan, folder, options.nodes, options.queue, hours
        )
    )
    return 0


def _table(found: Study, options: Namespace) -> int:
    print(table.text(found, Folder(options.out / found.name)), end="")
    return 0


def _work(found: Study, site: Site, options: Namespace) -> int:
    study.check_data(found)
    request, orders = _request(site, options)
    _check_sizes(found, site, request.nodes)
    folder = Folder(options.out / found.name)
    with folder.alone(), Display(len(found.runs)) as display:
        measured = calibration.remembered(folder.path, site, options.site)
        estimates = cost.estimates(found, site, measured)
        driver = Driver(found, site, folder, request, orders, estimates, display.tell, display.show)
        try:
            code = driver.work()
        except BaseException as error:
            folder.log("end", found.name, f"{type(error).__name__}: {error}")
            raise
        path = table.write(found, folder)
    print(f"{driver.state}; table in {path}, log in {folder.path / 'log.txt'}")
    return code


def _check_sizes(found: Study, site: Site, nodes: int) -> None:
    for ranks in sorted({run.ranks for run in found.runs}):
        if (wanted := sites.shape(site, ranks).nodes) > nodes:
            raise Fault(
                f"Runs of {ranks} ranks take {wanted} nodes, and there are {nodes}; ask for more, "
                "or let --ranks limit them: fewer ranks host more devices each."
            )


def _request(site: Site, options: Namespace) -> tuple[Request, Orders]:
    walltime = seconds(options.walltime) if options.walltime else None
    if allocation.inside(site):
        told = [
            allocation.stop(allocation.ends(site)),
            time.time() + walltime if walltime else None,
        ]
        end = min((moment for moment in told if moment is not None), default=None)
        request = Request(len(allocation.hosts(site)), 1, walltime or 0.0)
        return request, Orders(options.retries, end)
    if walltime is None:
        raise Fault(
            "--walltime is missing: outside an allocation, batch jobs are asked for so long."
        )
    return Request(options.nodes or 1, options.jobs, walltime), Orders(options.retries)


if __name__ == "__main__":
    sys.exit(main())
