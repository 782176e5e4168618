"""Packing of a study into jobs: which runs share a node, how long they take, in which jobs."""

import heapq
import itertools
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpidl.ensemble import allocation
from mpidl.ensemble.cost import MARGIN
from mpidl.ensemble.shapes import Shape
from mpidl.ensemble.sites import Queue, Site
from mpidl.ensemble.study import Run, phases
from mpidl.ensemble.words import HOUR, duration, in_hours, so_many, span

STEP = 600.0
"""Seconds to which walltimes are rounded up."""

JOBS = 1000
"""Most jobs one after another; a queue that needs more is refused."""


@dataclass(frozen=True)
class Group:
    """Runs that take the same nodes and places, which a driver runs together.

    Attributes:
        shape: The shape of the run with most ranks.
        ranks: The fewest and the most ranks of a run.
        runs: Number of runs.
        seconds: Expected seconds of the runs of known time, the longest first.
    """

    shape: Shape
    ranks: tuple[int, int]
    runs: int
    seconds: tuple[float, ...]

    @property
    def node_hours(self) -> float:
        """Node-hours of its runs, if no slot of their nodes is idle."""
        return sum(self.seconds) / HOUR * self.shape.nodes / self.shape.slots


@dataclass(frozen=True)
class Offer:
    """Jobs by which a queue does a study: one after another, all of one size.

    Attributes:
        queue: Name of the queue; empty where there is none.
        nodes: Nodes of each job.
        walltime: Walltime of each job, in seconds.
        took: Seconds that each job works.
    """

    queue: str
    nodes: int
    walltime: float
    took: tuple[float, ...]

    @property
    def node_hours(self) -> float:
        """Node-hours that are charged if each job ends with its work."""
        return self.nodes * sum(self.took) / HOUR


def groups(runs: Sequence[Run], site: Site, estimates: Mapping[str, float]) -> list[Group]:
    """Groups of runs that take the same nodes and places, the largest first."""
    result = []
    for shape, alike in phases(runs, site):
        ranks = [run.ranks for run in alike]
        known = [estimates[run.name] for run in alike if run.name in estimates]
        result.append(
            Group(shape, (min(ranks), max(ranks)), len(ranks), tuple(sorted(known, reverse=True)))
        )
    return result


def chain(work: Sequence[Group], nodes: int, walltime: float) -> list[float] | None:
    """Seconds that each of the jobs works that a study takes, one after another.

    A job runs the groups in order, the longest run that still fits in its time first; runs that do
    not fit are left to the next job.

    Args:
        work: All runs.
        nodes: Nodes of each job.
        walltime: Walltime of each job, in seconds; may be infinite.

    Returns:
        None if a run fits in no such job, or if there are too many jobs.
    """
    if any(
        not group.shape.at_once(nodes) or MARGIN * group.seconds[0] > walltime for group in work
    ):
        return None
    left = [sorted(group.seconds) for group in work]
    jobs: list[float] = []
    while any(left):
        if len(jobs) == JOBS:
            return None
        clock = 0.0
        for group, waiting in zip(work, left, strict=True):
            clock = _worked(waiting, group.shape.at_once(nodes), clock, walltime)
        jobs.append(clock)
    return jobs


def _worked(waiting: list[float], room: int, clock: float, walltime: float) -> float:
    """Take the runs that fit off an ascending list, and return when the last of them ends."""
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
    """The jobs by which a queue does a study, or one sentence with the reason why it does not.

    Without a number of nodes, the fewest with which one job does everything are taken, or all.
    """
    low, high = queue.nodes
    if nodes is not None and not low <= nodes <= high:
        return f"{name} takes {span(low, high)} nodes, not {nodes:,}."
    needed = max(work, key=lambda group: group.shape.nodes)
    least = needed.shape.nodes
    if least > (nodes or high):
        limit = f"takes {span(low, high)} nodes" if nodes is None else f"was asked for {nodes:,}"
        return f"{name} {limit}; a run of {needed.ranks[1]} ranks needs {least:,}."
    if hours is not None and hours > queue.hours:
        return f"{name} gives jobs {in_hours(queue.hours)}, not {in_hours(hours)}."
    walltime = HOUR * (hours or queue.hours)
    usable = walltime - allocation.reserve(walltime)
    longest = max(group.seconds[0] for group in work)
    if MARGIN * longest > usable:
        limit_text = f"the {in_hours(hours)} asked for" if hours else f"its {in_hours(queue.hours)}"
        spare = f"with {MARGIN - 1:.0%} to spare and {duration(walltime - usable)} to stop"
        return f"{name}: a run of {duration(longest)} does not fit {limit_text} {spare}."
    wide = nodes or _fewest(work, max(low, least), high, usable)
    took = chain(work, wide, usable)
    if took is None:
        return f"{name} would take more than {JOBS:,} jobs of {so_many(wide)}."
    if len(took) == 1 and hours is None:
        wanted = MARGIN * took[0] + walltime - usable
        walltime = min(walltime, -(-wanted // STEP) * STEP)
    return Offer(name, wide, walltime, tuple(took))


def _fewest(work: Sequence[Group], low: int, high: int, walltime: float) -> int:
    """The fewest nodes with which one job does everything with time to spare, or all nodes."""
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
    """Whether one job does everything with time to spare."""
    took = chain(work, nodes, walltime)
    return took is not None and len(took) == 1 and MARGIN * took[0] <= walltime


def gaps(queues: Mapping[str, Queue]) -> list[str]:
    """A sentence for each range of node counts that gets less time than fewer and more nodes."""
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
        return f"No queue takes jobs of {span(low, high)} nodes."
    names = " and ".join(takers)
    return (
        f"Jobs of {span(low, high)} nodes fit only {names}, {in_hours(hours)} at most; "
        "jobs of fewer and of more nodes get longer."
    )
