"""Schema of a results file: the name, shape and unit of each variable, for writer and reader."""

from dataclasses import dataclass

VERSION = 1
"""Version of the schema; a reader refuses a newer one."""


@dataclass(frozen=True)
class Variable:
    """A variable: one data set of a results file.

    ``dims`` name its axes, each of which has a scale in the same group. Rounds that are not written
    yet hold NaN, or -1 if the type is an integer. The type ``"O"`` is text.
    """

    dims: tuple[str, ...]
    text: str
    unit: str = "1"
    dtype: str = "f8"


PER_DEVICE = ("round", "device")
PER_CLASS = ("round", "device", "class")

SERIES = {
    "train_loss": Variable(PER_DEVICE, "mean training loss over the round's samples"),
    "finite": Variable(PER_DEVICE, "whether training's loss was a finite number", dtype="i8"),
    "consensus_distance": Variable(PER_DEVICE, "2-norm of x_i - mean_j x_j after mixing"),
    "bytes_sent": Variable(PER_DEVICE, "parameter bytes that other ranks got", "byte", "i8"),
    "bytes_received": Variable(PER_DEVICE, "parameter bytes got from other ranks", "byte", "i8"),
    "seconds_train": Variable(PER_DEVICE, "local training", "s"),
    "seconds_weights": Variable(PER_DEVICE, "making links, centralities and rows of W", "s"),
    "seconds_wait": Variable(PER_DEVICE, "waiting for slower ranks", "s"),
    "seconds_exchange": Variable(PER_DEVICE, "the exchange of parameters", "s"),
    "seconds_mix": Variable(PER_DEVICE, "the weighted sum and consensus distance", "s"),
    "seconds_evaluate": Variable(PER_DEVICE, "evaluation", "s"),
    "seconds_record": Variable(PER_DEVICE, "writing the rounds before this one", "s"),
    "simulated_seconds": Variable(
        PER_DEVICE, "end of the round by the clock of the run file's network; 0 without one", "s"
    ),
}
"""Series, recorded in each round for each device; scores are added below.

A run may have others of its own, and lack those of accuracies; see
:mod:`mpidl.storage.run_series`."""

SPECIAL = {
    "mass": Variable(PER_DEVICE, "push-sum's weight of the device, by which its vector is divided"),
    "staleness": Variable(PER_DEVICE, "mixings between begin and end of the training ended here"),
}
"""Series that are recorded only by algorithms that have them."""

SERIES |= SPECIAL

MOMENTS = {"trained": "after training, before mixing", "mixed": "after mixing"}
KINDS = {"iid": "in-distribution test set", "ood": "out-of-distribution test set"}

for _moment, _when in MOMENTS.items():
    for _kind, _which in KINDS.items():
        SERIES[f"{_kind}_loss_{_moment}"] = Variable(PER_DEVICE, f"loss on the {_which} {_when}")
        SERIES[f"{_kind}_accuracy_{_moment}"] = Variable(
            PER_DEVICE, f"share of correct predictions on the {_which} {_when}"
        )
    SERIES[f"iid_class_accuracy_{_moment}"] = Variable(
        PER_CLASS, f"accuracy by class on the {KINDS['iid']} {_when}", dtype="f4"
    )

SCALARS = tuple(key for key, variable in SERIES.items() if variable.dims == PER_DEVICE)
"""The series with one number per device and round, in order."""

GRAPH = {
    "edges": Variable(("edge", "end"), "source and destination of each link", dtype="i8"),
    "probability": Variable(("edge",), "probability that the link works in a round"),
    "weight": Variable(("edge",), "W[destination, source] that the link carries"),
    "lag": Variable(
        ("round", "edge"),
        "rounds by which what travels over the link is late; -1 where nothing travels",
        dtype="i2",
    ),
    "W": Variable(
        ("device", "member"),
        "mixing matrix of round 0, of push-sum with settled masses: x_i <- sum_j W[i, j] x_j",
    ),
    "centrality": Variable(("device",), "the centrality the strategy weighs by, or degree"),
    "stationary": Variable(("device",), "long-run influence: left Perron vector of W"),
    "eigenvalue": Variable(("mode",), "moduli of the eigenvalues of W, descending"),
    "name": Variable(("device",), "what the graph's file calls the device, if it does", dtype="O"),
    "hops": Variable(
        ("device",), "links from the nearest OOD source; -1 if none reaches", dtype="i8"
    ),
}

PLACEMENT = {
    "samples": Variable(("device",), "training samples", dtype="i8"),
    "ood_samples": Variable(("device",), "out-of-distribution training samples", dtype="i8"),
    "source": Variable(("device",), "1 where out-of-distribution data sits", dtype="i8"),
    "attacker": Variable(("device",), "1 where what is sent is not the model", dtype="i8"),
    "rank": Variable(("device",), "the MPI rank that hosts the device", dtype="i8"),
    "labels": Variable(("device", "class"), "training samples by label", dtype="i8"),
}


GROUPS = {"series": SERIES, "graph": GRAPH, "placement": PLACEMENT}

ROUNDS_DONE = "rounds_done"
"""Scalar: number of complete rounds in the file; written after their values."""

COMPLETED = "completed"
"""Scalar: 1 if the run is completed."""

OWN_SERIES = "own_series"
"""Attribute: names of the series that are not in :data:`SERIES`, with commas between; a file
without any lacks it."""

GRAPH_DIGEST = "graph_sha256"
"""Attribute: digest of the topology, see :func:`mpidl.components.graphs.digest`."""

DATA_DIGEST = "data_sha256"
"""Attribute: SHA-256 of the arrays of the data set, before any subset is taken."""

CODE = "code"
"""Attribute: the user's own code as JSON, a list of tables with ``name``, ``sha256``, ``version``,
``text`` and ``round``, the first round that it was used in."""

CODE_DIGEST = "code_sha256"
"""Attribute: SHA-256 of the SHA-256 of all own code, in ascending order."""

DIGESTS = (GRAPH_DIGEST, DATA_DIGEST, CODE_DIGEST)
"""Attributes by which runs of the same settings may differ."""

DATA_PUBLISHED = "data_published"
"""Attribute: whether the data is the published data: ``"yes"``, ``"no"`` or ``"unknown"``."""

ACCELERATOR = "accelerator"
"""Attribute: the accelerator, its driver and libraries, and the ranks that shared one."""

BATCHED = "batched"
"""Attribute: whether a rank trained its devices at once: ``"yes"``, ``"no"``, or on how many."""

PRECISION = "precision"
"""Attribute: the precision in which models computed, as in ``training.precision``."""
