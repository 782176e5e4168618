"""Report of the doctor: what each node has, where nodes differ, what does not fit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mpidl.doctor.finding import Finding

SHOWN = 4
"""Most hosts that a line names."""


@dataclass(frozen=True)
class NodeReport:
    """The findings on a node.

    Attributes:
        host: The name of the node.
        findings: One for each part, in order.
    """

    host: str
    findings: tuple[Finding, ...]


def lines(reports: Sequence[NodeReport]) -> Iterator[str]:
    """What a user reads: all of the first node, of others what differs, then what does not fit."""
    first = reports[0]
    yield f"{_named([report.host for report in reports])}:"
    yield from _parts(first.findings)
    for differing, hosts in _others(reports).items():
        yield f"but {_named(hosts)}:"
        yield from _parts(differing)
    wrong, notes = sentences(reports, "wrong"), sentences(reports, "notes")
    yield ""
    yield from (f"wrong: {sentence}" for sentence in wrong)
    yield from (f"note: {sentence}" for sentence in notes)
    count = len(wrong)
    yield (
        f"{count} {'thing is' if count == 1 else 'things are'} wrong"
        if count
        else "nothing is wrong"
    )


def _parts(findings: Sequence[Finding]) -> Iterator[str]:
    for one in findings:
        yield f"  {one.part:13}  {one.found}"


def _others(reports: Sequence[NodeReport]) -> dict[tuple[Finding, ...], list[str]]:
    """What differs from the first node, with the hosts on which it does so."""
    first, found = reports[0], dict[tuple[Finding, ...], list[str]]()
    for report in reports[1:]:
        differing = tuple(one for one in report.findings if one not in first.findings)
        if differing:
            found.setdefault(differing, []).append(report.host)
    return found


def sentences(reports: Sequence[NodeReport], kind: str) -> list[str]:
    """The sentences about what does not fit, each once, with its hosts where others do not have it.

    Args:
        reports: Those of all nodes.
        kind: ``wrong`` or ``notes``.
    """
    hosts: dict[str, list[str]] = {}
    for report in reports:
        told = (sentence for one in report.findings for sentence in getattr(one, kind))
        for sentence in dict.fromkeys(told):
            hosts.setdefault(sentence, []).append(report.host)
    return [
        sentence if len(where) == len(reports) else f"{sentence} (on {_named(where)})"
        for sentence, where in hosts.items()
    ]


def _named(hosts: Sequence[str]) -> str:
    hosts = list(dict.fromkeys(hosts))
    more = len(hosts) - SHOWN
    return ", ".join(hosts[:SHOWN]) + (f" and {more} more" if more > 0 else "")
