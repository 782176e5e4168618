"""Callback for Lightning, Trainer and Fabric: gossip between the models of all ranks."""

from typing import Any

from lightning.pytorch.callbacks import Callback
from torch import nn

from mpidl.config.faults import Fault
from mpidl.run.own_loop import Gossip


class GossipCallback(Callback):
    """Collective. Mixes the model of a Trainer or Fabric with its neighbors' every few steps.

    Each rank trains a model of its own on one device, and all take the same number of steps. A loop
    of Fabric calls the hooks: ``fabric.call("on_train_start", trainer=fabric, pl_module=model)``.

    Args:
        every: Optimizer steps, with Fabric calls, from one round of gossip to the next.
        settings: Arguments of :class:`mpidl.Gossip` beside the model; it is ``self.gossip``.
    """

    def __init__(self, every: int = 10, **settings: Any) -> None:
        if every < 1:
            raise Fault(f"every = {every}: must be at least 1.")
        self._every, self._settings, self._done, self._calls = every, settings, 0, 0
        self.gossip: Gossip | None = None

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Collective. Begin gossip with a model."""
        self._done = getattr(trainer, "global_step", 0)
        self._calls = 0
        self.gossip = Gossip(getattr(pl_module, "module", pl_module), **self._settings)

    def on_train_batch_end(
        self,
        trainer: Any,
        pl_module: nn.Module,
        outputs: Any = None,
        batch: Any = None,
        batch_idx: int = 0,
    ) -> None:
        """Collective. Do a round of gossip if it is due."""
        self._calls += 1
        # Where gradients are accumulated, not every batch ends with a step of the optimizer.
        step = getattr(trainer, "global_step", self._calls)
        if self.gossip is not None and step > self._done and step % self._every == 0:
            self.gossip.mix()
        self._done = step

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Collective. End gossip; the model keeps its numbers."""
        if self.gossip is not None:
            self.gossip.close()
