"""E3: a rank with 16 devices on the GPU and on the processor: curves and phases."""

import jobs
from findings import kind, note, trying

ROUNDS = ("topology.devices=16", "training.rounds=3", "training.epochs=1", "data.train_samples=800")
MODELS = {"mlp": ("model.hidden=[64]",), "cnn": ()}


def main() -> None:
    """Two models, each on both."""
    hardware = kind()
    for name, parameters in MODELS.items():
        with trying(name):
            compare(name, parameters, hardware)


def compare(name: str, parameters: tuple[str, ...], hardware: str) -> None:
    """Run one model on both, and say how far apart they are and what phases took."""
    settings = (*ROUNDS, *parameters)
    text = f"model.name={name}"
    there, here = (
        jobs.run(1, (*settings, text, f"training.accelerator={on}"), limit=20)
        for on in (hardware, "cpu")
    )
    note(f"{name}.exit", f"on {hardware} {there.ended}; on cpu {here.ended}")
    note(f"{name}.chosen", there.chosen)
    note(f"{name}.curves", jobs.apart(there.path, here.path))
    note(f"{name}.ms", jobs.seconds(there.path))
    note(f"{name}.ms_cpu", jobs.seconds(here.path))
    for key in ("accelerator", "batched", "precision", "kernel"):
        if there.path.exists() and key in (told := jobs.attributes(there.path)):
            note(f"{name}.{key}", told[key])


if __name__ == "__main__":
    main()
