"""Facts of a run to be, or of a graph: what is known of it without training.

Shapes: N devices, ranks of MPI, P numbers of a model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from mpidl.components.datasets import Content
from mpidl.components.graphs import prediction

Rounds = Sequence[float | None]
"""Predicted rounds, ``(N,)``; None stands for never, or for not known."""


def _told(default: Any, when: Callable[[Any], bool]) -> Any:
    """A field that is told when something holds, be it None; others are where they are not None."""
    return field(default=default, metadata={"when": when})


def _of_run(default: Any) -> Any:
    return _told(default, lambda found: found.ranks > 0)


@dataclass(frozen=True)
class Counts:
    """The data of a run in numbers.

    Attributes:
        content: What the whole data set holds.
        samples: Training samples of each device, ``(N,)``.
        placed: Training samples in all.
        ood: Out-of-distribution training samples of each device, ``(N,)``.
        tests: Samples of the test sets ``iid`` and ``ood``.
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
    """What mixing matrices say; what is not known of them is None.

    Attributes:
        spectral_gap: Disagreement shrinks to one minus this in a round.
        moduli: Of the eigenvalues of W, descending, ``(N,)``.
        stationary: Each device's share in what all agree on, ``(N,)``.
        followed: For how many rounds a W was followed that is another in each.
        agreed: After how many of them all agree exactly; None if they come closer by and by.
        effective_neighbors: Over how many devices mixing averages noise.
        passage: Until knowledge of the sources arrives, ``(N,)``; empty without sources.
        passage_worst: The longest rounds to all others from each as the only source, ``(N,)``.
        passage_mean: The mean of these, ``(N,)``.
        fastest: The device from which all others are reached first; None if from nowhere.
        long_run: Why gap and shares are not known.
        left_out: Why nothing is known.
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
    """A strategy, the device from which it carries knowledge to all first, and in what rounds."""

    strategy: str
    device: int
    passage_worst: float


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a run, or of a graph for which every strategy is asked.

    What is of the other kind is empty; what is not known, or takes too long, is None.

    Attributes:
        name: Of the run.
        strategy: Of a graph, the one that is told in detail.
        devices: N.
        ranks: Of a run.
        links: How many, directed.
        components: Strongly connected ones.
        diameter: None also where there is none.
        notes: How the file of a graph was understood, sentences.
        names: Of devices, ``(N,)``, or empty.
        sources: Devices with OOD data, ascending.
        data: What the data set holds.
        samples: Training samples of each device, ``(N,)``.
        training_samples: In all.
        ood_samples: Out-of-distribution training samples of each device, ``(N,)``.
        test_samples: Of the test sets ``iid`` and ``ood``.
        parameters: P.
        bytes_sent_per_rank: In a round, ``(ranks,)``, of a graph that changes in its first.
        bytes_received_per_rank: The same.
        memory_per_rank: Bytes beside torch and activations, ``(ranks,)``.
        attackers: Devices that send what they should not, ascending.
        stragglers: Slow devices, ascending.
        simulated_seconds: Of all rounds, by the clock of the network.
        degree: Of each device, how many it hears, ``(N,)``.
        bridges: Links without which the graph falls apart.
        communities: Their devices.
        modularity: Of these; None also where there is none.
        first_links: Of the first round, where the graph changes.
        weighed: What the mixing matrices of a run say.
        weights: Of each device those of its members, by device.
        strategies: Of a graph, what each strategy makes of it.
        cautions: What to beware of, sentences.
        advice: What would take less time, sentences; of a graph how knowledge spreads first, None
            also where it surely does from nowhere.
        run_file: Resolved, as TOML.
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
    """The same as plain values for JSON; what the mixing matrices of a run say lies beside all."""
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
