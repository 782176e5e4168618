"""Eleven steps on a machine with one GPU, in eight minutes: what is true of it that was believed.

    python3 tests/gpu/day.py --wheels FOLDER --out FOLDER

Each step has a limit of its own, and none ends the others. What they find is appended to
OUT/day.jsonl as it comes, what they print to OUT/day.log; OUT/gpu.md is made from it at the end.
Needs only Python, before anything is installed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
MARK = "MPIDL_DAY_STEP"
"""Variable of the environment by which the processes of a step are known."""

GRACE = 3.0
"""Seconds in which a step may end after it was asked to."""


def main() -> int:
    """Run the steps that are wanted; 0 if all of them ended by themselves."""
    options = parse()
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * options.minutes * options.slower
    folder = Path(tempfile.mkdtemp(prefix="mpidl-day-"))
    environment = prepared(folder, options, out)
    # The copy does not change while it runs.
    steps = options.steps or folder / "tree" / "tests" / "gpu" / "steps"
    known = tomllib.loads((steps.parent / "beliefs.toml").read_text())
    codes = []
    for name, step in known.items():
        if not options.only or name in options.only:
            limit = min(options.slower * step["limit"], deadline - time.monotonic())
            codes.append(run(name, steps / step["script"], limit, environment, out, folder))
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(Exception):
        import table

        (out / "gpu.md").write_text(table.made(known, table.read(out / "day.jsonl")))
    return int(any(codes))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--wheels", type=Path, help="what wheels.sh made; without it the machine has all")
    add("--out", type=Path, required=True, help="where the results go")
    add("--only", nargs="+", metavar="STEP", help="E0 to E10; the others are left out")
    add("--minutes", type=float, default=8, help="for all steps together")
    add("--slower", type=float, default=1, help="times all limits, to rehearse on a slow machine")
    add("--first", type=Path, help="a folder in front of PYTHONPATH, such as a GPU to rehearse on")
    add("--steps", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def prepared(folder: Path, options: argparse.Namespace, out: Path) -> dict[str, str]:
    """Install, and give the environment of all steps."""
    began = time.monotonic()
    wheels = [str(options.wheels)] if options.wheels else []
    unpack = [sys.executable, str(HERE / "unpack.py"), str(folder), *wheels]
    done = subprocess.run(unpack, capture_output=True, text=True)
    note(out, "E0", "install.exit", done.returncode)
    note(out, "E0", "install.seconds", time.monotonic() - began)
    carried = [line for line in done.stdout.splitlines() if "carried" in line or "native" in line]
    note(out, "E0", "install.carried", "; ".join(carried) or "nothing")
    with open(out / "day.log", "a") as log:
        log.write(f"== install\n{done.stdout}{done.stderr}")
    site, tree = folder / "site", folder / "tree"
    old = os.environ
    first = [str(options.first.resolve())] if options.first else []
    changes = {
        "PATH": f"{Path(sys.executable).parent}:{site / 'bin'}:{old.get('PATH', '')}",
        "PYTHONPATH": ":".join([*first, str(tree), str(site), old.get("PYTHONPATH", "")]).strip(
            ":"
        ),
        "PYTHONUNBUFFERED": "1",
        "MPIDL_DAY_FOUND": str(out / "day.jsonl"),
        "MPIDL_DAY_FOLDER": str(folder),
        "MPIDL_DAY_SLOWER": str(options.slower),
        # Site files do so too: a folder of this node.
        "TRITON_CACHE_DIR": str(folder / "triton"),
    }
    if (site / "bin" / "mpiexec").exists():
        libraries = [str(site / "lib"), old.get("LD_LIBRARY_PATH", "")]
        changes |= {"LD_LIBRARY_PATH": ":".join(libraries).strip(":"), "MPI4PY_MPIABI": "mpich"}
        changes["PATH"] = f"{site / 'bin'}:{changes['PATH']}"
    return {**old, **changes}


def note(out: Path, step: str, key: str, value: object) -> None:
    """Write down what was found."""
    with open(out / "day.jsonl", "a") as file:
        file.write(json.dumps({"step": step, "key": key, "value": value}) + "\n")


def run(
    name: str, script: Path, limit: float, environment: dict[str, str], out: Path, folder: Path
) -> int:
    """Run one step, for so many seconds at most; its exit code, 124 where it took longer."""
    began, code = time.monotonic(), 124
    print(f"{name} {script.stem} ...", flush=True)
    if limit > 0:
        with open(out / "day.log", "a") as log:
            log.write(f"\n== {name} {script.stem}, at most {limit:.0f} s\n")
            log.flush()
            step = subprocess.Popen(
                [sys.executable, str(script)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**environment, MARK: name, "MPIDL_DAY_ENDS": str(time.time() + limit)},
                cwd=folder / "tree",
                start_new_session=True,
            )
            with suppress(subprocess.TimeoutExpired):
                code = step.wait(limit)
            left = clear(name)
            with suppress(subprocess.TimeoutExpired):
                step.wait(GRACE)
        note(out, name, "left behind", left)
    seconds = time.monotonic() - began
    note(out, name, "exit", code)
    note(out, name, "seconds", seconds)
    print(f"{name} ended with {code} after {seconds:.0f} s", flush=True)
    return code


def clear(name: str) -> int:
    """End what a step has left: asked first, killed then; how many processes there were."""
    first = marked(name)
    for signal_, pause in ((signal.SIGTERM, GRACE), (signal.SIGKILL, 0.5)):
        for process in marked(name):
            with suppress(OSError):
                os.kill(process, signal_)
        ends = time.monotonic() + pause
        while marked(name) and time.monotonic() < ends:
            time.sleep(0.05)
    return len(first)


def marked(name: str) -> list[int]:
    """The processes that have the mark of a step in their environment, but for this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"{MARK}={name}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return [process for process in found if process != os.getpid()]


if __name__ == "__main__":
    sys.exit(main())
