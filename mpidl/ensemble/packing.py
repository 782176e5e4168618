"""How a study fills a machine: what runs at a time, for how long, in which jobs of which queue."""

import heapq
import itertools
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mpidl import host
from mpidl.ensemble import allocation, cost, sites
from mpidl.ensemble.cost import MARGIN, Measured
from mpidl.ensemble.folder import Attempt, Folder, finished
from mpidl.ensemble.sites import Queue, Shape, Site
from mpidl.ensemble.study import Run, Study, phases
from mpidl.faults import Fault
from mpidl.registry import nearest

HOUR = 3600.0

STEP = 600.0
"""Seconds to which walltimes are rounded up."""

JOBS = 1000
"""Jobs in a row after which a queue is given up."""


@dataclass(frozen=True)
class Group:
    """Runs that lie alike on nodes, which a driver works off together.

    Attributes:
        shape: How; of the run with most ranks.
        ranks: From the fewest to the most.
        runs: How many.
        seconds: Of those that are known, the longest first.
    """

    shape: Shape
    ranks: tuple[int, int]
    runs: int
    seconds: tuple[float, ...]

    @property
    def node_hours(self) -> float:
        """What its runs take, on nodes that are full."""
        return sum(self.seconds) / HOUR * self.shape.nodes / self.shape.slots


@dataclass(frozen=True)
class Offer:
    """What a queue takes a study for: jobs one after another, all alike.

    Attributes:
        queue: Its name; empty where there is none.
        nodes: Of each job.
        walltime: Of each job, in seconds.
        took: Seconds that each of them works.
    """

    queue: str
    nodes: int
    walltime: float
    took: tuple[float, ...]

    @property
    def node_hours(self) -> float:
        """What the jobs are charged, if they end when their work does."""
        return self.nodes * sum(self.took) / HOUR


def groups(runs: Sequence[Run], site: Site, estimates: Mapping[str, float]) -> list[Group]:
    """The runs of a study by the nodes and places that they take, the largest first."""
    found = []
    for shape, alike in phases(runs, site):
        ranks = [run.ranks for run in alike]
        known = [estimates[run.name] for run in alike if run.name in estimates]
        found.append(
            Group(shape, (min(ranks), max(ranks)), len(ranks), tuple(sorted(known, reverse=True)))
        )
    return found


def chain(work: Sequence[Group], nodes: int, walltime: float) -> list[float] | None:
    """The jobs that a study takes, one after another: seconds that each of them works.

    A job works off the groups in order, the longest run that still fits in its time first; what
    does not fit is left to the next job.

    Args:
        work: All runs.
        nodes: Of each job.
        walltime: Of each job, in seconds; may be infinite.

    Returns:
        None if some run fits in no such job, or there are too many of them.
    """
    if any(not one.shape.at_once(nodes) or MARGIN * one.seconds[0] > walltime for one in work):
        return None
    left = [sorted(one.seconds) for one in work]
    jobs: list[float] = []
    while any(left):
        if len(jobs) == JOBS:
            return None
        clock = 0.0
        for one, waiting in zip(work, left, strict=True):
            clock = _worked(waiting, one.shape.at_once(nodes), clock, walltime)
        jobs.append(clock)
    return jobs


def _worked(waiting: list[float], room: int, clock: float, walltime: float) -> float:
    """Take runs, ascending, off a list as far as they fit; when the last of them ends."""
    free, end = [clock] * min(room, len(waiting)), clock
    while free and waiting:
        now = heapq.heappop(free)
        longest = bisect_left(waiting, (walltime - now) / MARGIN + 1e-9) - 1
        if longest >= 0:
            then = now + waiting.pop(longest)
            end = max(end, then)
            heapq.heappush(free, then)
    return end


def offer(
    work: Sequence[Group], name: str, queue: Queue, nodes: int | None, hours: float | None
) -> Offer | str:
    """The jobs by which a queue does a study, or one sentence that tells why it does not.

    Without a number of nodes the fewest are taken with which one job does everything, or all.
    """
    low, high = queue.nodes
    if nodes is not None and not low <= nodes <= high:
        return f"{name} takes {_span(low, high)} nodes, not {nodes:,}."
    needed = max(work, key=lambda one: one.shape.nodes)
    least = needed.shape.nodes
    if least > (nodes or high):
        limit = f"takes {_span(low, high)} nodes" if nodes is None else f"was asked for {nodes:,}"
        return f"{name} {limit}; a run of {needed.ranks[1]} ranks needs {least:,}."
    if hours is not None and hours > queue.hours:
        return f"{name} gives jobs {_hours(queue.hours)}, not {_hours(hours)}."
    walltime = HOUR * (hours or queue.hours)
    usable = walltime - allocation.reserve(walltime)
    longest = max(one.seconds[0] for one in work)
    if MARGIN * longest > usable:
        given = f"the {_hours(hours)} asked for" if hours else f"its {_hours(queue.hours)}"
        spare = f"with {MARGIN - 1:.0%} to spare and {_time(walltime - usable)} to stop"
        return f"{name}: a run of {_time(longest)} does not fit {given} {spare}."
    wide = nodes or _fewest(work, max(low, least), high, usable)
    took = chain(work, wide, usable)
    if took is None:
        return f"{name} would take more than {JOBS:,} jobs of {_nodes(wide)}."
    if len(took) == 1 and hours is None:
        wanted = MARGIN * took[0] + walltime - usable
        walltime = min(walltime, -(-wanted // STEP) * STEP)
    return Offer(name, wide, walltime, tuple(took))


def _fewest(work: Sequence[Group], low: int, high: int, walltime: float) -> int:
    """The fewest nodes with which one job does everything, with time to spare; all if none does."""
    if not _alone(work, high, walltime):
        return high
    while low < high:
        middle = (low + high) // 2
        if _alone(work, middle, walltime):
            high = middle
        else:
            low = middle + 1
    return high


def _alone(work: Sequence[Group], nodes: int, walltime: float) -> bool:
    """Whether one job does everything, with time to spare."""
    took = chain(work, nodes, walltime)
    return took is not None and len(took) == 1 and MARGIN * took[0] <= walltime


def gaps(queues: Mapping[str, Queue]) -> list[str]:
    """Numbers of nodes that get less time than fewer and than more of them; a sentence each."""
    ends = sorted(
        {edge for queue in queues.values() for edge in (queue.nodes[0], queue.nodes[1] + 1)}
    )
    spans: list[tuple[int, int, float, dict[str, None]]] = []
    for low, after in itertools.pairwise(ends):
        takers = [name for name, q in queues.items() if q.nodes[0] <= low <= q.nodes[1]]
        hours = max((queues[name].hours for name in takers), default=0.0)
        names = dict.fromkeys(takers)
        if spans and spans[-1][2] == hours:
            low, _, _, before = spans.pop()
            names = before | names
        spans.append((low, after - 1, hours, names))
    return [
        _gap(low, high, hours, list(names))
        for fewer, (low, high, hours, names), more in zip(spans, spans[1:], spans[2:], strict=False)
        if hours < fewer[2] and hours < more[2]
    ]


def _gap(low: int, high: int, hours: float, takers: Sequence[str]) -> str:
    if not takers:
        return f"No queue takes jobs of {_span(low, high)} nodes."
    names = " and ".join(takers)
    return (
        f"Jobs of {_span(low, high)} nodes fit only {names}, {_hours(hours)} at most; "
        "jobs of fewer and of more nodes get longer."
    )


def report(
    study: Study,
    site: Site,
    site_name: str,
    folder: Path,
    nodes: int | None,
    queue: str | None,
    hours: float | None,
) -> str:
    """What a study will take on a site, and what it took so far.

    On the site's own nodes what is not known is measured first, which takes a minute or so.

    Args:
        study: All its runs.
        site: Where.
        site_name: As the user calls it.
        folder: Of the study's results, with what was measured and what ended.
        nodes: Of each job, if that is decided.
        queue: Or partition, if that is decided.
        hours: Of each job, if that is decided.

    Raises:
        Fault: If the site has no such queue, or the folder's figures are damaged.
    """
    asked = asked_for(site, queue)
    faults = cost.calibrate(study, site, site_name, folder) if allocation.inside(site) else []
    measured = cost.remembered(folder, site, site_name)
    known = cost.estimates(study, site, measured)
    took = {
        name: attempt.seconds
        for name, attempt in finished(Folder(folder).attempts()).items()
        if was_here(attempt, site)
    }
    parts = [
        [f"{study.name} on {site_name}: {len(study.runs):,} runs"],
        table(groups(study.runs, site, known), site),
        [*told(study, site, measured), *(faults or missing(study, known, site_name, folder))],
        compared(known, took),
    ]
    left = [run for run in study.runs if run.name not in took]
    work = groups(left, site, cost.corrected(known, took))
    if left and all(run.name in known for run in left):
        rest = f"The {len(left):,} runs that are left, corrected by that ratio:" if took else ""
        parts.append([*([rest] if rest else []), *jobs(work, site, asked, nodes, hours)])
    elif left and site.queues:
        parts.append([*rooms(work, site.queues, nodes), *hints(work, site), *gaps(site.queues)])
    return "\n".join("\n".join(part) + "\n" for part in parts if part).rstrip("\n")


def asked_for(site: Site, queue: str | None) -> list[str]:
    """The queues of a site that are meant by a name; some are reached through another one.

    Raises:
        Fault: If none is called so.
    """
    names = [name for name, one in site.queues.items() if queue in (name, one.through)]
    if queue and site.queues and not names:
        raise Fault(f"Unknown queue {queue!r}; {nearest(queue, site.queues)}")
    return names if queue else []


def was_here(attempt: Attempt, site: Site) -> bool:
    """Whether an attempt was on a site, as far as its host tells: a study may go to several."""
    same = attempt.host == host.name()
    return same if site.scheduler == "none" else allocation.inside(site) or not same


def table(work: Sequence[Group], site: Site) -> list[str]:
    """What runs of each size take, a line each."""
    rows = [("ranks", "runs", "a run takes", "at a time", "and goes on for", "node-hours")]
    for one in work:
        low, high = one.ranks
        whole = len(one.seconds) == one.runs
        rows.append(
            (
                f"{low} to {high}" if low < high else f"{high}",
                f"{one.runs:,}",
                _taken(one.shape, len(sites.places(site))),
                _at_once(one.shape),
                _range(one.seconds) if one.seconds else "unknown",
                f"{one.node_hours:,.1f}" if whole else "unknown",
            )
        )
    if len(work) > 1 and all(len(one.seconds) == one.runs for one in work):
        hours = sum(one.node_hours for one in work)
        rows.append(("all", f"{sum(one.runs for one in work):,}", "", "", "", f"{hours:,.1f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]


def _at_once(shape: Shape) -> str:
    return f"{shape.slots} a node" if shape.nodes == 1 else f"1 on {shape.nodes} nodes"


def _taken(shape: Shape, there: int) -> str:
    if shape.nodes > 1:
        return f"{shape.nodes} nodes"
    return "1 node" if shape.places == there else f"{shape.places} of {there} places"


def told(study: Study, site: Site, measured: Sequence[Measured]) -> list[str]:
    """Where the expected times come from, a line for each kind of run."""
    lines = []
    for what, file in sorted({cost.kind(run.file): run.file for run in study.runs}.items()):
        found = cost.rates(file, site, measured)
        if found is not None:
            lines.append(
                f"{what}: {_small(found.train)} to train on a sample, {_small(found.evaluate)} to "
                f"evaluate one, {found.fixed:.3g} s to start; {found.source}."
            )
    return list(dict.fromkeys(lines))


def missing(study: Study, known: Mapping[str, float], site_name: str, folder: Path) -> list[str]:
    """One sentence for all kinds of runs that there is no figure for."""
    kinds = sorted({str(cost.kind(run.file)) for run in study.runs if run.name not in known})
    if not kinds:
        return []
    return [
        f"How long {', '.join(kinds)} takes on {site_name} is not known: the same command inside a "
        f"job there measures it and keeps it in {folder / cost.FIGURES}; or put [[figures]] into "
        "the site's file."
    ]


def compared(known: Mapping[str, float], took: Mapping[str, float]) -> list[str]:
    """What the runs that ended took of what was expected."""
    pairs = [(took[name], known[name]) for name in took if name in known]
    if not pairs:
        return []
    first, middle, third = np.percentile(
        [seconds / expected for seconds, expected in pairs], [25, 50, 75]
    )
    spent, expected = (sum(column) for column in zip(*pairs, strict=True))
    return [
        f"{len(pairs):,} runs ended: {_time(spent)} in all, {_time(expected)} were expected; a run "
        f"took {middle:.2f} of what was expected (middle half {first:.2f} to {third:.2f})."
    ]


def jobs(
    work: Sequence[Group],
    site: Site,
    asked: Sequence[str],
    nodes: int | None,
    hours: float | None,
) -> list[str]:
    """The jobs that do the work, and what every other queue would do."""
    queues = site.queues
    if site.scheduler == "none":
        took = chain(work, 1, float("inf")) or [0.0]
        return [f"On this machine all of them end after {_time(took[0])}."]
    if not queues:
        free = Queue(nodes=[1, 10**6], hours=hours or 1e6)
        least = max(one.shape.nodes for one in work)
        found = offer(work, "The partition", free, nodes or least, hours)
        line = found if isinstance(found, str) else _offered(replace(found, queue=""), "")
        return [line, "The site's file has no [queues]; with them other numbers are tried."]
    made = {name: offer(work, name, queue, nodes, hours) for name, queue in queues.items()}
    fit = [found for found in made.values() if isinstance(found, Offer)]
    best = min(fit, key=lambda found: (len(found.took), found.nodes), default=None)
    first = list(asked) or ([best.queue] if best else [])
    lines = [] if asked else ["Best:" if best else "No queue takes this study so."]
    for name in [*first, *(name for name in queues if name not in first)]:
        reason, limit = made[name], _limit(queues[name])
        lines.append(reason if isinstance(reason, str) else _offered(reason, limit))
        if [name] == first[-1:] and len(queues) > len(first):
            lines.append("The others:")
    return [*lines, *hints(work, site), *gaps(queues)]


def hints(work: Sequence[Group], site: Site) -> list[str]:
    """What a user may change."""
    lines, room = [], len(sites.places(site)) * site.node.ranks_per_place
    most = max((queue.hours for queue in site.queues.values()), default=float("inf"))
    longest = max((one.seconds[0] for one in work if one.seconds), default=0.0)
    if MARGIN * longest > HOUR * most:
        lines.append(
            f"A run takes {_time(longest)}; no queue gives a job more than {_hours(most)}."
        )
    if any(one.shape.nodes > 1 for one in work):
        lines.append(f"With --ranks {room} no run takes more than one node.")
    return lines


def rooms(work: Sequence[Group], queues: Mapping[str, Queue], nodes: int | None) -> list[str]:
    """What queues take, where it is not known how long runs take."""
    needed = max(one.shape.nodes for one in work)
    lines = []
    for name, queue in queues.items():
        low, high = queue.nodes
        if nodes is not None and not low <= nodes <= high:
            lines.append(f"{name} takes {_span(low, high)} nodes, not {nodes}.")
        elif needed > high:
            lines.append(f"{name} takes {_span(low, high)} nodes; the largest runs need {needed}.")
        else:
            limit = f"{_hours(queue.hours)} at most{_limit(queue)}"
            lines.append(f"{name} takes {_span(low, high)} nodes, {limit}.")
    return lines


def _offered(found: Offer, limit: str) -> str:
    count = len(found.took)
    many = "1 job" if count == 1 else f"{count} jobs, one after another, each"
    where = f"{found.queue}: " if found.queue else ""
    return (
        f"{where}{many} of {_nodes(found.nodes)} with walltime {allocation.clock(found.walltime)}; "
        f"{_time(sum(found.took))} in all, {found.node_hours:,.1f} node-hours{limit}."
    )


def _limit(queue: Queue) -> str:
    """What else is to be known of a queue."""
    told = [f"{queue.jobs} at a time" if queue.jobs else "", queue.note]
    return "; " * any(told) + ", ".join(text for text in told if text)


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count:,} nodes"


def _span(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _hours(hours: float) -> str:
    return f"{hours:g} h"


def _time(seconds: float) -> str:
    """A length of time as a person says it."""
    for unit, size, limit in (("s", 1.0, 120), ("min", 60.0, 120), ("h", HOUR, 48)):
        if seconds < limit * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / (24 * HOUR):.3g} days"


def _small(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} us"


def _range(seconds: Sequence[float]) -> str:
    least, most = _time(seconds[-1]), _time(seconds[0])
    return most if least == most else f"{least} to {most}"
