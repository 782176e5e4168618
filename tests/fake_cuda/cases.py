"""Whole runs on the fake GPU that must be those of the CPU: of all that there is, by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import get_args

from mpidl.components.algorithms import ALGORITHMS
from mpidl.components.algorithms.compression import COMPRESSORS
from mpidl.components.attacks import ATTACKS
from mpidl.components.models import MODELS
from mpidl.components.strategies import STRATEGIES
from mpidl.config.runfile import TrainingSettings

ROUNDING = 1e-6
"""How far numbers may be apart, by the largest of their kind, where devices are side by side: a GPU
evaluates more samples at a time, so that losses are summed in another order."""


@dataclass(frozen=True)
class Way:
    """Ranks and GPUs, and how vectors travel between them.

    Attributes:
        ranks: How many.
        gpus: How many each of them sees, or ``own``, as ``FAKE_CUDA`` has it.
        settings: Of the run there alone, such as the exchange, where ``auto`` takes another.
        exchange: As the results file names it; empty where that is not asked.
    """

    ranks: int
    gpus: str = "1"
    settings: tuple[str, ...] = ()
    exchange: str = ""


@dataclass(frozen=True)
class Case:
    """A run on the GPU and what may be between it and that on the CPU.

    Attributes:
        name: Of the test.
        settings: Of both.
        way: Of the one on the GPU.
        apart: How far numbers may be apart, by the largest of their kind; 0 is not a bit.
        chunk: Bytes of a vector that NCCL sends at a time, so that there are several chunks.
    """

    name: str
    settings: tuple[str, ...]
    way: Way
    apart: float = 0.0
    chunk: int = 1024


WAYS = (Way(1), Way(2), Way(3, "own"))
"""On one GPU alone, on one together (``ipc``), and on one each (``nccl``)."""

SMALL = (
    *("topology.devices=6", "training.batched=no", "training.steps=2", "training.rounds=3"),
    *("data.train_samples=60", "data.test_samples=20"),
)

RING = ("topology.name=ring", "strategy.name=metropolis_hastings")

HUGE = ("resnet18", "resnet50", "vgg16")
"""Models of more than ten million parameters, which are tried on few devices."""

IMAGES = ("data.name=blots", "data.train_samples=48", "data.test_samples=16")

MODEL_SETTINGS = {
    "mlp": ("model.hidden=[8]",),
    "vgg16": ("data.side=32", *IMAGES),
    "vit": (
        *("model.patch=4", "model.layers=1", "model.heads=2"),
        *("model.width=16", "model.hidden=16"),
    ),
    "transformer": (
        *("data.name=tinymem", "ood.name=tinymem_trigger", "data.train_samples=40"),
        *("data.test_samples=20", "model.layers=1", "model.heads=2", "model.width=16"),
    ),
}

ALGORITHM_SETTINGS = {
    "relay_sum": [("topology.name=binary_tree", "strategy.name=unweighted")],
    "choco": [(*RING, f"algorithm.compressor={name}") for name in sorted(COMPRESSORS)],
    "dsgd": [
        (*RING, f"algorithm.order={order}")
        for order in ("adapt_then_combine", "combine_then_adapt", "consensus")
    ],
}

STRATEGY_SETTINGS = {"given": "topology.name=base_k topology.allow_disconnected=true"}

CHANGING = {
    "base_k": "strategy.name=given",
    "epidemic": "algorithm.name=push_sum topology.degree=1",
    "matcha": "topology.base=ring strategy.name=given training.participation=0.6",
    "mobility": "topology.speed=0.2 strategy.name=betweenness topology.refresh=3",
    "one_peer_exponential": "strategy.name=unweighted",
    "random_matching": "strategy.name=degree_similarity",
    "regular_each_round": "topology.degree=2 network.leave=0.3 strategy.name=sinkhorn",
}

NETWORKS = {
    "late": "network.delay=2 placement.hosts=round_robin",
    "late-by-link": "network.delay=[0,3] topology.link_probability=0.7",
    "late-anew": "network.delay=[1,2] network.delay_draw=per_round training.momentum=0.5",
    "late-attacked": "network.delay=1 strategy.name=median attack.name=noise",
    "outages": "network.outages=[[0,1,3]] network.leave=0.3",
    "clock": "network.latency=1 network.jitter=0.5 network.step_seconds=0.1",
}

ORDERS = {
    "sequential": "exchange.mixing=sequential strategy.name=random",
    "in-sequence": "exchange.mixing=sequential exchange.sequence=[5,4,3,2,1,0]",
    "delayed": "exchange.mixing=delayed training.momentum=0.5",
    "participation": "training.participation=0.6 evaluation.every=2 evaluation.moment=mixed",
    "padded": "evaluation.accuracy=padded training.init=per_device training.order=fixed",
}

STEPS = {
    "momentum": "training.momentum=0.9 training.weight_decay=0.01",
    "adam": "training.optimizer=adam training.proximal=0.1",
    "adamw": "training.optimizer=adamw training.optimizer_state=reset",
}

BATCHED = {
    name: f"{words} training.batched=yes"
    for name, words in {
        **STEPS,
        "tracking": "algorithm.name=gradient_tracking strategy.name=metropolis_hastings",
        "late": "network.delay=1 training.participation=0.6",
    }.items()
}

SCHEDULES = {
    "cosine": "schedule.name=cosine strategy.name=closeness",
    "oscillating": "schedule.name=oscillating strategy.name=eigenvector",
}

CARRIED = {
    "ring": "topology.name=ring",
    "complete": "topology.name=complete",
    "changing": "topology.name=epidemic strategy.name=random",
    "late": "network.delay=1 topology.name=star",
}
"""Graphs that have exchanges take each of their paths."""

ON_THE_CPU = {"tf32": "float32"}
"""What a precision of GPUs alone is on the fake one, whose arithmetic is the processor's."""

AWARE = "exchange.accelerator_aware=yes"

CARRIERS = {
    "ipc-on-one-gpu": [Way(n, "1", ("exchange.backend=ipc",), "ipc") for n in (2, 3)],
    "ipc-between-gpus": [Way(n, str(n), ("exchange.backend=ipc",), "ipc") for n in (2, 3)],
    "nccl": [Way(n, "own", ("exchange.backend=nccl",), "nccl") for n in (1, 2, 3)],
    "mpi-staged": [Way(n, "1", ("exchange.backend=mpi",)) for n in (2, 3)],
    "mpi-direct": [Way(n, "own", ("exchange.backend=mpi", AWARE)) for n in (1, 2, 3)],
}


def spread(kind: str, settings: Mapping[str, str], apart: float = 0.0) -> Iterator[Case]:
    """Each of some settings in all usual ways."""
    for name, words in settings.items():
        for way in WAYS:
            case = f"{kind}-{name}-{way.ranks}"
            yield Case(case, (*SMALL, *words.split()), way, apart)


def models() -> Iterator[Case]:
    """Every model, its devices one after another and side by side."""
    few = ("training.rounds=1", "training.batch_size=8", "evaluation.moment=trained")
    for place, name in enumerate(sorted(MODELS)):
        own = (*SMALL, *few, f"model.name={name}", *MODEL_SETTINGS.get(name, IMAGES))
        one, many = (WAYS[0 if name in HUGE else place % count] for count in (3, 2))
        devices = f"topology.devices={max(2, one.ranks)}"
        yield Case(f"model-{name}", (*own, devices), one, chunk=1 << 22)
        together = (f"topology.devices={2 * many.ranks}", "training.batched=yes")
        yield Case(f"model-{name}-batched", (*own, *together), many, ROUNDING)


def algorithms() -> dict[str, str]:
    """Every algorithm, with each of what it may do."""
    return {
        f"{name}{place or ''}": " ".join((f"algorithm.name={name}", *settings))
        for name in sorted(ALGORITHMS)
        for place, settings in enumerate(ALGORITHM_SETTINGS.get(name, [RING]))
    }


def strategies() -> dict[str, str]:
    """Every strategy."""
    return {
        name: f"strategy.name={name} {STRATEGY_SETTINGS.get(name, '')}"
        for name in sorted(STRATEGIES)
    }


def precisions() -> Iterator[Case]:
    """Every precision, a device at a time and side by side."""
    for name in get_args(TrainingSettings.model_fields["precision"].annotation):
        here = (*SMALL, f"training.precision={ON_THE_CPU.get(name, name)}")
        for usual in WAYS:
            way = replace(usual, settings=(f"training.precision={name}",))
            alone = (*here, "training.rounds=2", "model.name=cnn")
            yield Case(f"precision-{name}-{way.ranks}", alone, way, chunk=1 << 20)
            together = (*here, "training.batched=yes")
            yield Case(f"precision-{name}-batched-{way.ranks}", together, way, ROUNDING)


def carriers() -> Iterator[Case]:
    """All that carry vectors of GPUs, over graphs of each kind."""
    for carrier, ways in CARRIERS.items():
        for way in ways:
            for graph, words in CARRIED.items():
                settings = (*SMALL, *words.split())
                yield Case(f"{carrier}-{graph}-{way.ranks}", settings, way)


def cases() -> list[Case]:
    """All of them."""
    alone = "topology.allow_disconnected=true"
    changing = {name: f"topology.name={name} {alone} {more}" for name, more in CHANGING.items()}
    lies = {name: f"attack.name={name} strategy.name=krum" for name in sorted(ATTACKS)}
    return [
        *models(),
        *precisions(),
        *carriers(),
        *spread("algorithm", algorithms()),
        *spread("batched", BATCHED, ROUNDING),
        *spread("strategy", strategies()),
        *spread("attack", lies),
        *spread("changing", changing),
        *spread("network", NETWORKS),
        *spread("order", ORDERS),
        *spread("steps", STEPS),
        *spread("schedule", SCHEDULES),
    ]
