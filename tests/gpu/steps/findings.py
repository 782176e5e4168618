"""What all steps share: how they write down what they find, and which hardware they have."""

import json
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


def note(key: str, value: object) -> None:
    """Append a finding, so that what follows cannot take it away."""
    line = {"step": os.environ.get("MPIDL_DAY_STEP", "?"), "key": key, "value": value}
    print(f"{key}: {value}", flush=True)
    path = os.environ.get("MPIDL_DAY_FOUND")
    if path:
        with open(path, "a") as file:
            file.write(json.dumps(line, default=str) + "\n")


@contextmanager
def trying(key: str) -> Iterator[None]:
    """Go on after whatever goes wrong within, with the error as the finding."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        told = (str(error).splitlines() or [""])[0]
        note(key, f"{type(error).__name__}: {told[:160]}")


def left() -> float:
    """Seconds that this step still has."""
    return float(os.environ.get("MPIDL_DAY_ENDS", "inf")) - time.time()


def kind() -> str:
    """``cuda``, or ``cpu`` where there is no GPU; that there is none, or no real one, is told."""
    import torch

    found = "cuda" if torch.cuda.is_available() else "cpu"
    if not real():
        what = "no GPU" if found == "cpu" else "a stand-in for a GPU"
        note("hardware", f"{what}, this ran on the processor")
    return found


def real() -> bool:
    """Whether there is a GPU; a rehearsal without one makes its work smaller."""
    import torch

    return torch.cuda.is_available() and torch.version.cuda is not None


def used() -> int:
    """Megabytes of the GPU's memory that are taken, by whoever; 0 without a GPU."""
    import torch

    if not torch.cuda.is_available():
        return 0
    free, whole = torch.cuda.mem_get_info()
    return (whole - free) >> 20
