"""Command that copies a study, a run file, a batch script or a site file, to begin with.

python -m mpidl.new [NAME [--to DIR]]
"""

import shutil
import stat
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpidl.config import shipped
from mpidl.config.faults import Fault, Parser, command, nearest, shown

WIDTH = 100
"""Most characters of a line."""

STUDY = "study.toml"
"""The file by which a study goes by the name of its folder."""

SHARED = "environment.sh"
"""What every batch script reads, in ``launch/`` below the folder of submission."""


@dataclass(frozen=True)
class Template:
    """Files that can be copied under one name.

    Attributes:
        name: Their name.
        kind: What they are.
        files: For each file, where it goes below the folder for the copy, its place now.
        main: The one of them that says what they are.
        then: What to do with the copy, whose path stands for ``{}``.
    """

    name: str
    kind: str
    files: dict[Path, Path]
    main: Path
    then: str

    def about(self) -> str:
        """What the file says of itself, on one line."""
        lines = self.main.read_text(encoding="utf-8").splitlines()
        words = (line.removeprefix("#").strip() for line in lines if line.startswith("# "))
        width = WIDTH - len(f"  {self.name:20}  ")
        return textwrap.shorten(" ".join([*words]), width, placeholder=" ...")

    def next(self, folder: Path) -> str:
        """What to do with the copy in a folder."""
        [place] = [place for place, file in self.files.items() if file == self.main]
        return self.then.format(folder / (place.parent if place.name == STUDY else place))


def parser() -> Parser:
    """The command line of ``python -m mpidl.new``."""
    parser = Parser(
        prog="python -m mpidl.new",
        description="Copy a commented study, run file, batch script or site file that comes with "
        "mpidl, to change the copy. Without a name: list what there is.",
        epilog="Exit codes: 0 done, 2 wrong input, 130 Ctrl-C.",
    )
    add = parser.add_argument
    parser.offers["name"] = [*templates()]
    add("name", nargs="?", metavar="NAME", help="what to copy, such as smoke or slurm.sh")
    meaning = "the folder for the copy (the current one)"
    add("--to", type=Path, default=Path(), metavar="DIR", help=meaning)
    return parser


def templates() -> dict[str, Template]:
    """By its name everything that can be copied."""
    launch = shipped.folder() / "launch"
    found = [*_studies(launch / "studies"), *_run_files(launch / "studies")]
    found += [*_scripts(launch), *_sites(launch / "sites")]
    return {template.name: template for template in found}


def _studies(folder: Path) -> Iterator[Template]:
    for main in sorted(folder.glob(f"*/{STUDY}")):
        here, name = main.parent, main.parent.name
        own = (file for file in sorted(here.rglob("*")) if "__pycache__" not in file.parts)
        files = {name / file.relative_to(here): file for file in own if file.is_file()}
        yield Template(name, "studies", files, main, "mpidl study {} --check")


def _run_files(folder: Path) -> Iterator[Template]:
    for main in sorted(folder.glob("*/*.toml")):
        if not (main.parent / STUDY).exists():
            name, files = f"{main.parent.name}/{main.name}", {Path(main.name): main}
            yield Template(name, "run files", files, main, "mpidl check {}")


def _scripts(launch: Path) -> Iterator[Template]:
    for main in sorted([*launch.glob("*.pbs"), launch / "slurm.sh"]):
        files = {Path("launch") / file.name: file for file in (main, launch / SHARED)}
        then = "the first lines of {} say how to submit it, from the folder of launch/"
        yield Template(main.name, "batch scripts", files, main, then)


def _sites(folder: Path) -> Iterator[Template]:
    for main in sorted(folder.glob("*.toml")):
        files = {Path(main.name): main}
        yield Template(f"sites/{main.name}", "sites", files, main, "mpidl study STUDY --site {}")


def listed(known: dict[str, Template]) -> str:
    """The names of all that can be copied, and what it is."""
    lines, kind = list[str](), ""
    for name, template in known.items():
        if template.kind != kind:
            kind = template.kind
            lines += [f"[{kind}]"] if not lines else ["", f"[{kind}]"]
        lines.append(f"  {name:20}  {template.about()}")
    return "\n".join(lines)


def copy(template: Template, folder: Path) -> list[Path]:
    """Copy the files of a template into a folder; the paths of the copies.

    Raises:
        Fault: If one of them is there already, with other content, or cannot be written.
    """
    places = {folder / place: file for place, file in template.files.items()}
    try:
        for place, file in places.items():
            common = file.name == SHARED and place.is_file()
            if place.exists() and not (common and place.read_bytes() == file.read_bytes()):
                raise Fault(f"{place} is there already, and is not replaced; --to names a folder.")
        for place, file in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
            place.chmod(file.stat().st_mode | stat.S_IWUSR)
    except OSError as error:
        raise Fault(f"Cannot write to {folder}: {error.strerror or error}.") from None
    return [*places]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code: 0 done, 2 the user's fault, 130 Ctrl-C."""

    def work() -> int:
        options, known = parser().parse_args(arguments), templates()
        if options.name is None:
            print(listed(known), flush=True)
            return 0
        if options.name not in known:
            raise Fault(
                f"{shown(options.name)} is not there to copy; {nearest(options.name, known)}"
            )
        template = known[options.name]
        paths = copy(template, options.to)
        print("\n".join(map(str, paths)))
        print(f"next: {template.next(options.to)}", flush=True)
        return 0

    return command(work)


if __name__ == "__main__":
    sys.exit(main())
