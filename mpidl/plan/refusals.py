"""Refusals: what does not go together in a run file, found before anything is built."""

from mpidl.components import graphs, strategies
from mpidl.components.graphs import Topology
from mpidl.components.strategies import STRATEGIES
from mpidl.config.faults import Fault, entry, shown
from mpidl.config.runfile import MixingSettings
from mpidl.exchange import BACKENDS
from mpidl.plan import network
from mpidl.plan.gossip_plan import SPECTRUM, Mixing


def check_weights(settings: MixingSettings, topology: Topology) -> None:
    """See whether the topology has the weights that the strategy takes.

    Raises:
        Fault: If it has none.
    """
    needs = STRATEGIES.properties(settings.strategy.name).needs
    if "link weights" in needs and not topology.weighted:
        raise Fault(
            f"strategy.name = {settings.strategy.name!r}: takes the weights of the topology, and "
            "this one comes without; 'base_k' and 'matcha' have some."
        )


def check_exchange(settings: MixingSettings, devices: int) -> None:
    """See whether backend, mixing and strategy go together.

    Raises:
        Fault: If they do not.
    """
    exchange, complete = settings.exchange, STRATEGIES.properties(settings.strategy.name).complete
    backend = BACKENDS.properties(exchange.backend)
    if backend.means and not complete:
        wanted = _any(STRATEGIES.having(complete=True))
        raise Fault(
            f"exchange.backend = {exchange.backend!r}: gives every device the mean of all, so "
            f"strategy.name must be {wanted}, not {settings.strategy.name!r}."
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
    """What keeps a list from having each device once."""
    first: dict[int, int] = {}
    for place, device in enumerate(sequence):
        if device >= devices or first.setdefault(device, place) != place:
            return entry(sequence, place)
    return f"; device {min({*range(devices)}.difference(sequence))} is missing"


def check_network(settings: MixingSettings, devices: int) -> None:
    """See whether the network and the attack fit graph and mixing.

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
            f"network.delay = {shown(emulated.delay)}: is emulated where exchange.mixing = "
            f"'synchronous', not {mixing!r}."
        )
    if settings.attack.name != "none" and mixing != "synchronous":
        raise Fault(
            f"attack.name = {settings.attack.name!r}: goes with exchange.mixing = 'synchronous', "
            f"not {mixing!r}."
        )
    if network.takes_time(emulated) and mixing == "sequential":
        raise Fault(
            "exchange.mixing = 'sequential': has no clock; [network] takes seconds where it is "
            "'synchronous' or 'delayed'."
        )


def check_algorithm(made: Mixing) -> None:
    """See whether network, graph and strategy give what the algorithm needs.

    Raises:
        Fault: If they do not.
    """
    algorithm, name = made.algorithm, made.settings.algorithm.name
    strategy, mixing = made.settings.strategy.name, made.settings.exchange.mixing
    told = f"algorithm.name = {name!r}:"
    faults = []
    if {"on time", "every message"} & {*algorithm.needs} and mixing != "synchronous":
        faults.append(f"{told} needs exchange.mixing = 'synchronous', not {mixing!r}.")
    if (algorithm.columns or algorithm.read is not None) and strategies.looks(strategy):
        faults.append(
            f"{told} decides on weights before vectors arrive, and those of strategy.name = "
            f"{strategy!r} follow from them."
        )
    if "on time" in algorithm.needs and network.longest(made.settings.network):
        faults.append(
            f"{told} keeps a sum that late messages break, so network.delay must be 0, not "
            f"{shown(made.settings.network.delay)}."
        )
    if "every message" in algorithm.needs and made.uneven:
        faults.append(
            f"{told} needs every message to arrive in its round, so links must always be there and "
            "work, training.participation be 1, and [network] know neither delays nor absence."
        )
    if algorithm.read is not None and made.attackers:
        faults.append(f"{told} sends no models, of which attack.name could make lies.")
    if "a tree" in algorithm.needs and not graphs.tree(made.mixing_graph):
        faults.append(f"{told} needs a tree whose links go both ways, such as 'chain' or 'star'.")
    if "equal weights" in algorithm.needs and not STRATEGIES.properties(strategy).equal:
        equal = _any(STRATEGIES.having(equal=True))
        faults.append(f"{told} needs strategy.name = {equal}, not {strategy!r}.")
    if faults:
        raise Fault(*faults)


def check_mean(made: Mixing) -> None:
    """See whether every device takes the mean of all, where the backend gives nothing else.

    Raises:
        Fault: If some do not in some round; the sentence says why.
    """
    settings, mixing = made.settings, made.settings.exchange.mixing
    if not BACKENDS.properties(settings.exchange.backend).means or made.uniform:
        return
    delay, share = shown(settings.network.delay), settings.participation
    causes = {
        f"exchange.mixing = {mixing!r}": mixing != "synchronous",
        f"training.participation = {share}": share < 1,
        f"network.leave = {settings.network.leave}": settings.network.leave > 0,
        f"network.outages = {shown(settings.network.outages)}": bool(settings.network.outages),
        f"network.delay = {delay}": network.longest(settings.network) > 0,
        f"attack.name = {settings.attack.name!r}": bool(made.attackers),
    }
    cause = next((told for told, so in causes.items() if so), None)
    raise Fault(
        f"exchange.backend = {settings.exchange.backend!r}: gives every device the mean of all, "
        f"at once, in every round; with {cause or f'algorithm.name = {settings.algorithm.name!r}'} "
        "they take something else; 'auto' and 'mpi' work."
    )


def check_honest(made: Mixing) -> None:
    """See whether anybody is honest.

    Raises:
        Fault: If all devices are attackers.
    """
    if len(made.attackers) == made.devices:
        raise Fault(
            f"attack.devices = {shown(made.settings.attack.devices)}: must leave at least one of "
            f"{made.devices} devices honest."
        )
