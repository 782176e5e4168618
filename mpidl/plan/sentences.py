"""Sentences on a run that several commands say."""

from collections.abc import Sequence

from mpidl.components.datasets import DATASETS
from mpidl.components.datasets.fingerprint import Content
from mpidl.plan import Plan

NAMED = 8
"""Devices and outages that a sentence lists."""


def hosting(devices: int, ranks: int) -> str:
    """How many devices are on how many ranks."""
    told = ((devices, "device"), (ranks, "rank"))
    return " on ".join(f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in told)


def volume(count: float) -> str:
    """So many bytes in a unit in which they are more than one, up to GB."""
    if count < 1000:
        return f"{count:.0f} B"
    power = 3 if count >= 1e9 else 2 if count >= 1e6 else 1
    return f"{count / 1000**power:,.1f} {('kB', 'MB', 'GB')[power - 1]}"


def emulated(plan: Plan) -> list[str]:
    """What is wrong with the network and with devices in this run, a line each."""
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
    told = [
        f"device {i} in rounds {away + 1} to {back}"
        for i, away, back in sorted(map(tuple, outages))
    ]
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return ", ".join(told[:NAMED]) + more


def named(plan: Plan, devices: Sequence[int]) -> str:
    """Devices of a plan in words, of many the first ones, with their names if they have some."""
    if not devices:
        return "no device"
    names = plan.topology.names
    told = [f"{device} ({names[device]})" if names else f"{device}" for device in devices[:NAMED]]
    shown = ", ".join(told)
    more = f" and {len(devices) - NAMED} more" if len(devices) > NAMED else ""
    return f"device{'s' if len(devices) > 1 else ''} {shown}{more}"


def data(plan: Plan, content: Content) -> list[str]:
    """A line where the data are not the published ones of their name, or that is not known."""
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
    """A line where devices hold the same training samples, as there are fewer of these."""
    if samples >= devices:
        return []
    return [
        f"only {samples} training samples for {devices} devices: they are dealt round and "
        "round, one to a device, so that several devices train on the same one"
    ]
