"""E7: ipc where torch's allocator makes memory that may not be exported."""

import jobs
from findings import kind, note, trying

ALLOCATORS = {
    "usual": "",
    "expandable": "expandable_segments:True",
    "async": "backend:cudaMallocAsync",
}


def main() -> None:
    """With each allocator what auto takes, and what becomes of an explicit ipc."""
    hardware = kind()
    settings = (*jobs.SMALL, "training.rounds=1", f"training.accelerator={hardware}")
    for name, setting in ALLOCATORS.items():
        # Both names: torch took the second one in 2.9.
        names = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF") if setting else ()
        environment = dict.fromkeys(names, setting)
        for backend in ("auto", "ipc") if name != "usual" else ("auto",):
            with trying(f"{name}.{backend}"):
                wanted = (*settings, f"exchange.backend={backend}")
                job = jobs.run(2, wanted, environment=environment, limit=12)
                note(f"{name}.{backend}", f"{job.ended}; {job.chosen}".strip("; "))


if __name__ == "__main__":
    main()
