"""E6: eight ranks on the GPU, by what auto takes and by mpi, beside one rank with eight devices."""

import os
import threading
import time

import jobs
from findings import kind, note, trying, used

SETTINGS = (
    "topology.devices=8",
    "training.rounds=6",
    "training.epochs=1",
    "data.test_samples=360",
    "training.batched=no",
)


def main() -> None:
    """The three jobs, and what they leave."""
    hardware = kind()
    before, memory = set(os.listdir("/dev/shm")), used()
    jobs_ = {
        "auto": (8, ()),
        "mpi": (8, ("exchange.backend=mpi",)),
        "one": (1, ("training.batched=auto",)),
    }
    found = {}
    for name, (ranks, more) in jobs_.items():
        with trying(name):
            on = f"training.accelerator={hardware}"
            with watched() as top:
                found[name] = jobs.run(ranks, (*SETTINGS, on, *more), limit=25)
            job = found[name]
            note(f"{name}.exit", job.ended)
            note(f"{name}.chosen", job.chosen)
            note(f"{name}.ms", jobs.seconds(job.path))
            note(f"{name}.memory", f"{max(top, default=memory) - memory} MB of the GPU at most")
    with trying("curves"):
        note("curves", jobs.apart(found["auto"].path, found["mpi"].path))
        note("curves_one", jobs.apart(found["auto"].path, found["one"].path))
    note("shm", sorted(set(os.listdir("/dev/shm")) - before) or "nothing new")
    note("memory_after", f"{used() - memory} MB more than before")


class watched:  # noqa: N801
    """The GPU's memory in use while something runs, looked at now and then."""

    def __enter__(self) -> list[int]:
        self._seen: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self._seen

    def _look(self) -> None:
        while not self._over.wait(0.2):
            self._seen.append(used())

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(timeout=2)
        time.sleep(0)


if __name__ == "__main__":
    main()
