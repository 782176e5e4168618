"""Sentences about a run that several commands print."""

from collections.abc import Sequence

from mpidl.components.datasets import DATASETS
from mpidl.components.datasets.fingerprint import Content
from mpidl.plan import Plan

NAMED = 8
"""Most devices and outages that a sentence lists."""


def hosting(devices: int, ranks: int) -> str:
    """Text with the numbers of devices and of ranks."""
    counts = ((devices, "device"), (ranks, "rank"))
    return " on ".join(f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in counts)


def volume(count: float) -> str:
    """A number of bytes in the largest unit that gives at least one, up to GB."""
    if count < 1000:
        return f"{count:.0f} B"
    power = 3 if count >= 1e9 else 2 if count >= 1e6 else 1
    return f"{count / 1000**power:,.1f} {('kB', 'MB', 'GB')[power - 1]}"


def emulated(plan: Plan) -> list[str]:
    """Lines about the emulated network and about attackers."""
    network, attack = plan.file.network, plan.file.attack
    lines = []
    if plan.stragglers:
        slow = f"{network.slowdown:g} times as slow as others"
        idle = "" if network.step_seconds else ", unseen, as network.step_seconds = 0"
        lines.append(f"stragglers, {slow}: {named(plan, plan.stragglers)}{idle}")
    if network.delay:
        low, high = [network.delay] * 2 if isinstance(network.delay, int) else network.delay
        span = f"{low}" if low == high else f"{low} to {high}"
        lines.append(f"what travels over a link is late by {span} rounds")
    if network.leave:
        share = network.back / (network.leave + network.back)
        lines.append(f"devices leave and come back: in the long run {share:.0%} are there")
    if network.outages:
        lines.append(f"outages: {_outages(network.outages)}")
    if plan.attackers:
        since = f" from round {attack.from_round + 1} on" if attack.from_round else ""
        lines.append(f"attack {attack.name} by {named(plan, plan.attackers)}{since}")
    return lines


def _outages(outages: Sequence[Sequence[int]]) -> str:
    listed = [
        f"device {i} in rounds {away + 1} to {back}"
        for i, away, back in sorted(map(tuple, outages))
    ]
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more


def named(plan: Plan, devices: Sequence[int]) -> str:
    """Devices of a plan in words, the first few of many, with their names if they have names."""
    if not devices:
        return "no device"
    names = plan.topology.names
    listed = [f"{device} ({names[device]})" if names else f"{device}" for device in devices[:NAMED]]
    shown = ", ".join(listed)
    more = f" and {len(devices) - NAMED} more" if len(devices) > NAMED else ""
    return f"device{'s' if len(devices) > 1 else ''} {shown}{more}"


def data(plan: Plan, content: Content) -> list[str]:
    """A line if the data are not the published data of their name, or if that is unknown."""
    name, folder = plan.file.data.name, plan.file.data.dir
    kept = f"(SHA-256 {content.digest[:12]}...); reports keep its runs apart from those of others"
    if content.other:
        return [f"data.name is {name!r}, and the data are the published {content.other!r} {kept}"]
    if content.published == "no":
        return [
            f"the data are not the published {name!r} {kept}; 'python -m mpidl.datasets verify "
            f"{name} {folder}' tells which files differ"
        ]
    if content.published == "unknown" and DATASETS.properties(name).sources:
        return [f"whether the data are the published {name!r} is not known here {kept}"]
    return []


def sharing(devices: int, samples: int) -> list[str]:
    """A line if devices share training samples, as there are fewer samples than devices."""
    if samples >= devices:
        return []
    return [
        f"only {samples} training samples for {devices} devices: they are dealt in turn, one to "
        "a device, so that several devices train on the same sample"
    ]
