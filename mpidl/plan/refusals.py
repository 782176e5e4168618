"""Refusals of run files whose settings do not go together, before anything is built."""

from mpidl.components import graphs, strategies
from mpidl.components.strategies import STRATEGIES
from mpidl.config.faults import Fault, entry, shown
from mpidl.config.runfile import MixingSettings
from mpidl.exchange import BACKENDS
from mpidl.plan import network
from mpidl.plan.gossip_plan import SPECTRUM, Mixing


def check_weights(plan: Mixing) -> None:
    """Check that the topology has the weights that the strategy takes.

    Raises:
        Fault: If it has none, or they make no W of which the algorithm takes rows, or columns.
    """
    name, topology = plan.settings.strategy.name, plan.topology
    if "link weights" not in STRATEGIES.properties(name).needs:
        return
    by_columns = plan.algorithm.columns
    if reason := topology.amiss[by_columns]:
        taken = ""
        if not topology.amiss[not by_columns]:
            sides = ("columns", "rows") if by_columns else ("rows", "columns")
            taken = (
                f"; algorithm.name = {plan.settings.algorithm.name!r} takes W by {sides[0]}, and "
                f"only its {sides[1]} sum to 1"
            )
        raise Fault(f"strategy.name = {name!r}: {reason}{taken}.")
    if not topology.weighted:
        raise Fault(
            f"strategy.name = {name!r}: takes the weights of the topology, and this one has none; "
            "'base_k' and 'matcha' have weights, and a graph file may."
        )


def check_exchange(settings: MixingSettings, devices: int) -> None:
    """Check that backend, mixing and strategy go together.

    Raises:
        Fault: If they do not.
    """
    exchange, complete = settings.exchange, STRATEGIES.properties(settings.strategy.name).complete
    backend = BACKENDS.properties(exchange.backend)
    if backend.means and not complete:
        names = _any(STRATEGIES.having(complete=True))
        raise Fault(
            f"exchange.backend = {exchange.backend!r}: gives every device the mean of all, so "
            f"strategy.name must be {names}, not {settings.strategy.name!r}."
        )
    if exchange.mixing == "delayed" and not backend.delays:
        raise Fault(
            f"exchange.mixing = 'delayed': moves vectors while devices train, which "
            f"exchange.backend = {exchange.backend!r} does not; 'auto' and 'mpi' do."
        )
    sequence = exchange.sequence
    if sequence is not None and sorted(sequence) != list(range(devices)):
        raise Fault(
            f"exchange.sequence = {shown(sequence)}: must name each device from 0 to "
            f"{devices - 1} once{_out_of(sequence, devices)}."
        )
    if exchange.mixing == "sequential" and strategies.looks(settings.strategy.name):
        raise Fault(
            "exchange.mixing = 'sequential': mixes by weights that are known before the round, and "
            f"those of strategy.name = {settings.strategy.name!r} follow from the vectors that "
            "arrive; 'synchronous' and 'delayed' work."
        )
    if exchange.mixing == "sequential" and devices > SPECTRUM:
        raise Fault(
            f"exchange.mixing = 'sequential': takes graphs of up to {SPECTRUM} devices, not "
            f"{devices}."
        )
    if complete and devices * (devices - 1) > graphs.LINKS:
        raise Fault(
            f"strategy.name = {settings.strategy.name!r}: links all devices to all, and {devices} "
            f"devices have more links than the {graphs.LINKS:,} that are allowed."
        )


def _any(names: list[str]) -> str:
    return " or ".join(map(repr, names))


def _out_of(sequence: list[int], devices: int) -> str:
    """A clause with the reason why a list does not have each device once."""
    first: dict[int, int] = {}
    for place, device in enumerate(sequence):
        if device >= devices or first.setdefault(device, place) != place:
            return entry(sequence, place)
    return f"; device {min({*range(devices)}.difference(sequence))} is missing"


def check_network(settings: MixingSettings, devices: int) -> None:
    """Check that network and attack fit graph and mixing.

    Raises:
        Fault: If they do not.
    """
    emulated, mixing = settings.network, settings.exchange.mixing
    for place, outage in enumerate(emulated.outages):
        if outage[0] >= devices:
            raise Fault(
                f"network.outages = {shown(emulated.outages)}: must name devices of the graph, 0 "
                f"to {devices - 1}{entry(emulated.outages, place)}."
            )
    if network.longest(emulated) and mixing != "synchronous":
        raise Fault(
            f"network.delay = {shown(emulated.delay)}: needs exchange.mixing = 'synchronous', not "
            f"{mixing!r}."
        )
    if settings.attack.name != "none" and mixing != "synchronous":
        raise Fault(
            f"attack.name = {settings.attack.name!r}: needs exchange.mixing = 'synchronous', not "
            f"{mixing!r}."
        )
    if network.takes_time(emulated) and mixing == "sequential":
        raise Fault(
            "exchange.mixing = 'sequential': has no clock; for seconds of [network] it must be "
            "'synchronous' or 'delayed'."
        )


def check_algorithm(plan: Mixing) -> None:
    """Check that network, graph and strategy meet the needs of the algorithm.

    Raises:
        Fault: If they do not.
    """
    algorithm, name = plan.algorithm, plan.settings.algorithm.name
    strategy, mixing = plan.settings.strategy.name, plan.settings.exchange.mixing
    subject = f"algorithm.name = {name!r}:"
    faults = []
    if {"on time", "every message"} & {*algorithm.needs} and mixing != "synchronous":
        faults.append(f"{subject} needs exchange.mixing = 'synchronous', not {mixing!r}.")
    if (algorithm.columns or algorithm.read is not None) and strategies.looks(strategy):
        faults.append(
            f"{subject} decides on weights before messages arrive, and the weights of "
            f"strategy.name = {strategy!r} follow from messages."
        )
    if "on time" in algorithm.needs and network.longest(plan.settings.network):
        faults.append(
            f"{subject} keeps a sum that late messages break, so network.delay must be 0, not "
            f"{shown(plan.settings.network.delay)}."
        )
    if "every message" in algorithm.needs and plan.uneven:
        faults.append(
            f"{subject} needs every message to arrive in its round, so links must always be there "
            "and work, training.participation be 1, and [network] know neither delays nor absence."
        )
    if algorithm.read is not None and plan.attackers:
        faults.append(f"{subject} sends no models, of which attack.name could make lies.")
    if "a tree" in algorithm.needs and not graphs.tree(plan.mixing_graph):
        faults.append(
            f"{subject} needs a tree whose links go both ways, such as 'chain' or 'star'."
        )
    if "equal weights" in algorithm.needs and not STRATEGIES.properties(strategy).equal:
        equal = _any(STRATEGIES.having(equal=True))
        faults.append(f"{subject} needs strategy.name = {equal}, not {strategy!r}.")
    if faults:
        raise Fault(*faults)


def check_mean(plan: Mixing) -> None:
    """Check that every device takes the mean of all, if the backend gives nothing else.

    Raises:
        Fault: If some do not in some round; the sentence says why.
    """
    settings, mixing = plan.settings, plan.settings.exchange.mixing
    if not BACKENDS.properties(settings.exchange.backend).means or plan.uniform:
        return
    delay, share = shown(settings.network.delay), settings.participation
    causes = {
        f"exchange.mixing = {mixing!r}": mixing != "synchronous",
        f"training.participation = {share}": share < 1,
        f"network.leave = {settings.network.leave}": settings.network.leave > 0,
        f"network.outages = {shown(settings.network.outages)}": bool(settings.network.outages),
        f"network.delay = {delay}": network.longest(settings.network) > 0,
        f"attack.name = {settings.attack.name!r}": bool(plan.attackers),
    }
    cause = next((setting for setting, present in causes.items() if present), None)
    raise Fault(
        f"exchange.backend = {settings.exchange.backend!r}: gives every device the mean of all, "
        f"at once, in every round; with {cause or f'algorithm.name = {settings.algorithm.name!r}'} "
        "they take something else; 'auto' and 'mpi' work."
    )


def check_honest(plan: Mixing) -> None:
    """Check that at least one device is honest.

    Raises:
        Fault: If all devices are attackers.
    """
    if len(plan.attackers) == plan.devices:
        raise Fault(
            f"attack.devices = {shown(plan.settings.attack.devices)}: must leave at least one of "
            f"{plan.devices} devices honest."
        )
