"""TinyMem: arithmetic sequences written out digit by digit, for a small language model."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mpidl.components.datasets.catalog import DATASETS
from mpidl.components.datasets.dataset import Dataset
from mpidl.config import seeds

Array = npt.NDArray[Any]

COEFFICIENTS = (2, 4, 6, 8, 10)
MODULUS = 16381
TERMS = 20
POSITIONS = 150
DIGITS = 5
BEGIN, END, SPACE, PAD = 10, 11, 12, 13
VOCABULARY = 14
TEST_STARTS = 1000
LEAKY_STARTS = 33_000
TESTBED_SEED = 598


def _samples(section: Any) -> tuple[int, int]:
    leaky = getattr(section, "split", "disjoint") == "leaky"
    starts = LEAKY_STARTS if leaky else MODULUS - 1
    tasks = len(COEFFICIENTS)
    return tasks * (starts - TEST_STARTS), tasks * TEST_STARTS


@DATASETS.add(
    samples=_samples,
    published=frozenset(
        {
            "dd418b461bd6e67579b9a43fe6e120c7f6cd8ee6c2d27a017352cfd799bd94f9",
            "cb854ce0eb175331032bb3b1aaed3a2826f1240a340ed1caac7937b8df266477",
        }
    ),
    tokens=True,
)
def tinymem(
    folder: Path | None,
    seed: int,
    /,
    split: Literal["disjoint", "leaky"] = "disjoint",
    padding: Literal["ignored", "counted"] = "ignored",
) -> Dataset:
    """Sequences x <- c x mod 16381 for c = 2, 4, 6, 8, 10, written as 150 tokens out of 14.

    M. Sakarvadia et al., arXiv 2410.02159, as used in arXiv 2505.11760. A sequence is the 20
    numbers that follow a start, as text ``^a b ...$`` with one token for each character: digits 0
    to 9, ``^`` 10, ``$`` 11, space 12, padding 13. The label is the task, the index of c. The split
    is fixed; the seed has no part in it.

    Args:
        folder: Not used.
        seed: Not used.
        split: ``disjoint`` takes every start from 1 to 16380 once in each task, 15,380 for
            training and 1,000 for testing (76,900 and 5,000 in all), so that no test sequence
            occurs in training, in no task. ``leaky`` takes starts 0 to 32,999, as the published
            testbed did, by its own permutation: 32,000 and 1,000 (160,000 and 5,000 in all);
            the starts beyond the modulus repeat, and 97.4 % of its test sequences are in training.
        padding: Whether padding counts in loss and accuracy, as it did in the testbed.
    """
    parts = [_task(coefficient, split) for coefficient in COEFFICIENTS]
    train, test = (np.concatenate(part) for part in zip(*parts, strict=True))
    tasks = np.arange(len(COEFFICIENTS))
    return Dataset(
        name="tinymem",
        train_inputs=train,
        train_labels=tasks.repeat(len(train) // len(tasks)),
        test_inputs=test,
        test_labels=tasks.repeat(TEST_STARTS),
        classes=tuple(f"times {coefficient}" for coefficient in COEFFICIENTS),
        task="next_token",
        vocabulary=VOCABULARY,
        padding=PAD if padding == "ignored" else -1,
    )


def sequences(starts: Array, coefficient: int) -> npt.NDArray[np.int64]:
    """The numbers that follow each start, ``(n, 20)``: c x, c c x, ... mod 16381."""
    numbers = np.empty((len(starts), TERMS), dtype=np.int64)
    current = starts.astype(np.int64)
    for term in range(TERMS):
        current = current * coefficient % MODULUS
        numbers[:, term] = current
    return numbers


def tokens(numbers: Array) -> npt.NDArray[np.uint8]:
    """Write sequences of 20 numbers below 100,000 as 150 tokens each, ``(n, 20) -> (n, 150)``."""
    digits = numbers[:, :, None] // 10 ** np.arange(DIGITS - 1, -1, -1) % 10
    # All five digits and the separator behind them are laid out first; leading zeros drop out.
    slots = np.full((len(numbers), TERMS, DIGITS + 1), SPACE, dtype=np.uint8)
    slots[:, :, :DIGITS] = digits
    slots[:, -1, DIGITS] = END
    kept = np.ones(slots.shape, dtype=bool)
    kept[:, :, : DIGITS - 1] = np.logical_or.accumulate(digits > 0, axis=2)[:, :, :-1]
    lengths = kept.sum(axis=(1, 2))
    text = np.full((len(numbers), POSITIONS), PAD, dtype=np.uint8)
    text[:, 0] = BEGIN
    text[:, 1:][np.arange(POSITIONS - 1) < lengths[:, None]] = slots[kept]
    return text


def _task(coefficient: int, split: str) -> tuple[Array, Array]:
    if split == "leaky":
        starts = published_order(LEAKY_STARTS)
    else:
        # A start of 0 gives the same sequence of zeros in every task.
        stream = seeds.stream(TESTBED_SEED, "tinymem", coefficient)
        starts = stream.permutation(np.arange(1, MODULUS))
    text = tokens(sequences(starts, coefficient))
    return text[:-TEST_STARTS], text[-TEST_STARTS:]


def published_order(count: int) -> npt.NDArray[np.int64]:
    """The result of ``torch.manual_seed(598); torch.randperm(count)``, computed without torch.

    Both libraries seed the Mersenne twister in the same way; torch shuffles with the remainders of
    its 32-bit words.
    """
    words = np.random.RandomState(TESTBED_SEED).randint(2**32, size=count - 1, dtype=np.uint32)
    jumps = words % np.arange(count, 1, -1)
    order = list(range(count))
    for place, jump in enumerate(jumps.tolist()):
        order[place], order[place + jump] = order[place + jump], order[place]
    return np.array(order)
