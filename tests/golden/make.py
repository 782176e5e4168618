"""Makes the reference curves again; the same commit says why they changed.

    python tests/golden/make.py

Each JSON file beside this one has ``settings``, overrides of the embedded default, and ``series``,
what the run on one rank recorded: rounds by devices.
"""

import json
import tempfile
from pathlib import Path

from mpidl.ranks.world import Comm

HERE = Path(__file__).parent


def curves(settings: list[str], comm: Comm, folder: Path) -> dict[str, list[list[float]]]:
    """Collective. Run and read back what does not depend on time or on ranks; all ranks get it."""
    import h5py

    from mpidl import plan
    from mpidl.run import execution

    made = plan.make(plan.read(None, settings, comm.size), comm.size)
    path = folder / f"{made.file.name}.h5"
    execution.run(comm, made, path)
    comm.Barrier()
    with h5py.File(path, "r") as file:
        return {
            key: values[()].tolist()
            for key, values in file["series"].items()
            if values.ndim == 2 and not key.startswith(("bytes_", "seconds_"))
        }


def written(settings: list[str], series: dict[str, list[list[float]]]) -> str:
    """A reference curve as text: one row a line, so that changes can be read."""
    rows = {key: ",\n    ".join(json.dumps(row) for row in rows) for key, rows in series.items()}
    told = ",\n".join(f'  "{key}": [\n    {text}\n  ]' for key, text in rows.items())
    return f'{{"settings": {json.dumps(settings)},\n"series": {{\n{told}\n}}}}\n'


if __name__ == "__main__":
    from mpi4py import MPI

    with tempfile.TemporaryDirectory() as temporary:
        for file in sorted(HERE.glob("*.json")):
            asked = json.loads(file.read_text(encoding="utf-8"))["settings"]
            found = curves(asked, MPI.COMM_SELF, Path(temporary))
            file.write_text(written(asked, found), encoding="utf-8")
            print(file)
