"""Random streams, each with a named purpose, so that a new draw never changes other draws."""

from zlib import crc32

import numpy as np


def stream(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """A generator that depends on its purpose and keys, not on the order of draws.

    ``stream(seed, "placement")`` is the same on all ranks; ``stream(seed, "batches", device,
    round)`` differs between devices and rounds.
    """
    return np.random.Generator(np.random.Philox(_sequence(seed, purpose, *keys)))


def integer(seed: int, purpose: str, *keys: int) -> int:
    """A 63-bit seed for generators that are not numpy's, such as torch's."""
    return int(_sequence(seed, purpose, *keys).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _sequence(seed: int, purpose: str, *keys: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, crc32(purpose.encode()), *keys])
