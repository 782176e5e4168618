"""Callback for the Trainer of transformers: gossip between the models of all ranks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import TrainerCallback

from mpidl.config.faults import Fault
from mpidl.run.own_loop import Gossip

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "WORLD_SIZE", "LOCAL_RANK")
"""Variables by which a Trainer finds that a launcher started several processes."""


@contextmanager
def apart() -> Iterator[None]:
    """A context for making ``TrainingArguments``: the Trainer does not average over ranks."""
    hidden = {name: os.environ.pop(name) for name in SIZES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


class GossipCallback(TrainerCallback):
    """Collective. Mixes a Trainer's model with those of its neighbors every so many steps.

    Each rank has a Trainer of its own, made :func:`apart`, and all take ``max_steps`` alike.

    Args:
        every: Optimizer steps from one round of gossip to the next.
        settings: Arguments of :class:`mpidl.Gossip` beside the model; it is ``self.gossip``.
    """

    def __init__(self, every: int = 10, **settings: Any) -> None:
        if every < 1:
            raise Fault(f"every = {every}: must be at least 1.")
        self._every, self._settings = every, settings
        self.gossip: Gossip | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Collective. Begin gossip."""
        if args.world_size > 1:
            raise Fault("GossipCallback: TrainingArguments must be made within apart().")
        self.gossip = Gossip(given["model"], **self._settings)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Collective. Do a round of gossip if it is due."""
        if self.gossip is not None and state.global_step % self._every == 0:
            self.gossip.mix()

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Collective. End gossip; the model keeps its numbers."""
        if self.gossip is not None:
            self.gossip.close()
