"""Nodes of this job, watched while ranks run on them.

OpenPBS lets a job go on whose first node lives, though another one is dead, and mpiexec may wait
for that one for ever, even when the ranks of the others have given up.
"""

import json
import threading
import time
from collections.abc import Sequence

from mpidl.config.faults import Fault
from mpidl.ensemble import allocation

LOOK = 30.0
"""Seconds between two looks at the nodes."""

UNSURE = "state-unknown"
"""State of all nodes, beside ``down``, while a server starts that has not heard of them yet."""


def down(names: Sequence[str]) -> set[str]:
    """Those of some nodes that PBS says are down; none where it does not answer."""
    try:
        told = json.loads(allocation.ask("pbsnodes", "-F", "json", *names))["nodes"]
        states = {name: set(str(node["state"]).split(",")) for name, node in told.items()}
    except (Fault, ValueError, KeyError, TypeError, AttributeError):
        return set()
    return {name for name, state in states.items() if "down" in state and UNSURE not in state}


class NodeWatch:
    """Watches the nodes of a run, where they are more than one.

    Args:
        hosts: The names of the nodes, as a job of PBS lists them.

    Attributes:
        lost: The nodes that were down at two looks in a row, or an empty text.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        self._names = [name.partition(".")[0] for name in hosts]
        self.lost, self._since = "", 0.0
        if len(hosts) > 1:
            threading.Thread(target=self._watch, daemon=True).start()

    @property
    def overdue(self) -> bool:
        """Whether they have been lost for longer than work may take to stop."""
        patience = allocation.reserve(float("inf"))
        return bool(self.lost) and time.monotonic() - self._since > patience

    def _watch(self) -> None:
        before = set[str]()
        while not self.lost:
            time.sleep(LOOK)
            now = down(self._names)
            if both := before & now:
                self._since = time.monotonic()
                self.lost = " ".join(sorted(both))
            before = now
