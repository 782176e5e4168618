"""Rehearse on the GPU of tests.fake_cuda: day.py --first tests/gpu/stand_in.

Python imports this when it starts; the device is installed by whoever imports torch first.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

# Each rank has a device of its own to install, so none is forked from another.
os.environ["MPIDL_FORK"] = "0"


class Torch:
    """Finds torch once, and gives it with the device installed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Claim torch, and nothing else."""
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        return ModuleSpec("torch", self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Import torch as it is, with the device."""
        from tests.fake_cuda import shim

        shim.install()
        return sys.modules["torch"]

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""


sys.meta_path.insert(0, Torch())
