"""Facts that are known of a planned run, or of a graph, without training.

Shapes: N devices, P numbers of a model, ``ranks`` the number of MPI ranks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from mpidl.components.datasets import Content
from mpidl.components.graphs import prediction

Rounds = Sequence[float | None]
"""Predicted rounds, ``(N,)``; None means never, or not known."""


def _told(default: Any, when: Callable[[Any], bool]) -> Any:
    """A field that JSON has if a condition holds, even as None; other fields it has if not None."""
    return field(default=default, metadata={"when": when})


def _of_run(default: Any) -> Any:
    return _told(default, lambda found: found.ranks > 0)


@dataclass(frozen=True)
class Counts:
    """The data of a run in numbers.

    Attributes:
        content: The content of the whole data set.
        samples: Training samples of each device, ``(N,)``.
        placed: Training samples of all devices.
        ood: Out-of-distribution training samples of each device, ``(N,)``.
        tests: Number of samples of the test sets ``iid`` and ``ood``.
        sample_bytes: Bytes of a sample and its label.
    """

    content: Content
    samples: Sequence[int]
    placed: int
    ood: Sequence[int]
    tests: Mapping[str, int]
    sample_bytes: int


@dataclass(frozen=True)
class Weighed:
    """Properties of mixing matrices; a property that is not known is None.

    Attributes:
        spectral_gap: One minus the factor by which disagreement shrinks in a round.
        moduli: Moduli of the eigenvalues of W, descending, ``(N,)``.
        stationary: Each device's share in the consensus, ``(N,)``.
        followed: The number of rounds for which a W that changes was followed.
        agreed: The round after which all agree exactly; None if they only come closer.
        effective_neighbors: The number of devices over which mixing averages noise.
        passage: Rounds until knowledge of the sources arrives, ``(N,)``; empty without sources.
        passage_worst: With each device as the only source, the most rounds to another, ``(N,)``.
        passage_mean: The same, the mean over the others, ``(N,)``.
        fastest: The device from which all others are reached first; None if there is none.
        long_run: The reason why gap and shares are not known.
        left_out: The reason why nothing is known.
    """

    spectral_gap: float | None = None
    moduli: Sequence[float] | None = None
    stationary: Sequence[float] | None = None
    followed: int | None = None
    agreed: int | None = _told(None, lambda found: found.followed is not None)
    effective_neighbors: float | None = None
    passage: Rounds | None = None
    passage_worst: Rounds | None = None
    passage_mean: Rounds | None = None
    fastest: int | None = _told(None, lambda found: found.passage is not None)
    long_run: str | None = None
    left_out: str | None = None


@dataclass(frozen=True)
class Advice:
    """A strategy, and the device from which it carries knowledge to all others first."""

    strategy: str
    device: int
    passage_worst: float


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts of a run, or of a graph with every strategy.

    Facts of the other kind are empty; facts that are not known, or take too long, are None.

    Attributes:
        name: The name of the run.
        strategy: For a graph, the strategy that is shown in detail.
        devices: N.
        ranks: The number of ranks; 0 for a graph.
        links: The number of directed links.
        components: The number of strongly connected components.
        diameter: The diameter; None also if there is none.
        notes: Sentences on how the file of a graph was read.
        names: The names of devices, ``(N,)``, or empty.
        sources: Devices with OOD data, ascending.
        data: The content of the data set.
        samples: Training samples of each device, ``(N,)``.
        training_samples: Training samples of all devices.
        ood_samples: Out-of-distribution training samples of each device, ``(N,)``.
        test_samples: Number of samples of the test sets ``iid`` and ``ood``.
        parameters: P.
        bytes_sent_per_rank: Bytes in a round, ``(ranks,)``; if the graph changes, in the first.
        bytes_received_per_rank: The same for bytes that arrive.
        memory_per_rank: Bytes beside torch and activations, ``(ranks,)``.
        attackers: Devices that attack, ascending.
        stragglers: Slow devices, ascending.
        simulated_seconds: Seconds of all rounds, by the clock of the network.
        degree: The number of in-neighbors of each device, ``(N,)``.
        bridges: Links without which the graph falls apart.
        communities: The devices of each community.
        modularity: The modularity of the communities; None also if there is none.
        first_links: If the graph changes, the number of links in the first round.
        weighed: Properties of the mixing matrices of a run.
        weights: By device, the mixing weights of its members.
        strategies: For a graph, the properties of each strategy's mixing matrices.
        cautions: Sentences of warning.
        advice: For a run, sentences on how to save time; for a graph, the strategy and the device
            that spread knowledge first, None also if none surely does.
        run_file: The resolved run file, as TOML.
    """

    name: str
    strategy: str | None = None
    devices: int
    ranks: int = _of_run(0)
    links: int
    components: int
    diameter: int | None = _told(None, lambda _: True)
    notes: Sequence[str]
    names: Sequence[str]
    sources: Sequence[int]
    data: Content | None = None
    samples: Sequence[int] = _of_run(())
    training_samples: int = _of_run(0)
    ood_samples: Sequence[int] = _of_run(())
    test_samples: Mapping[str, int] = field(
        default_factory=dict, metadata={"when": lambda found: found.ranks > 0}
    )
    parameters: int = _of_run(0)
    bytes_sent_per_rank: Sequence[int] = _of_run(())
    bytes_received_per_rank: Sequence[int] = _of_run(())
    memory_per_rank: Sequence[int] = _of_run(())
    attackers: Sequence[int] = _of_run(())
    stragglers: Sequence[int] = _of_run(())
    simulated_seconds: float | None = None
    degree: Sequence[int] = _told((), lambda found: found.strategies)
    bridges: Sequence[tuple[int, int]] | None = None
    communities: Sequence[Sequence[int]] | None = None
    modularity: float | None = _told(None, lambda found: found.bridges is not None)
    first_links: int | None = None
    weighed: Weighed = Weighed()
    weights: Mapping[int, Mapping[int, float]] | None = None
    strategies: Mapping[str, Weighed] = field(
        default_factory=dict, metadata={"when": lambda found: found.strategies}
    )
    cautions: Sequence[str] = _of_run(())
    advice: Sequence[str] | Advice | None = field(
        default=None, metadata={"when": lambda found: found.ranks > 0 or found.advisable}
    )
    run_file: str = _of_run("")

    @property
    def advisable(self) -> bool:
        """Whether a strategy and a device are sought from which knowledge spreads first."""
        return bool(self.strategies) and 1 < self.devices <= prediction.CLOSE


def plain(found: Facts | Weighed | Advice) -> dict[str, Any]:
    """Plain values for JSON; those of ``weighed`` stand beside the others."""
    values: dict[str, Any] = {}
    for one in fields(found):
        value, when = getattr(found, one.name), one.metadata.get("when")
        if one.name == "weighed":
            values |= plain(value)
        elif when(found) if when else value is not None:
            values[one.name] = _plain(value)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Content):
        return {"sha256": value.digest, "published": value.published}
    if is_dataclass(value):
        return plain(value)  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value
