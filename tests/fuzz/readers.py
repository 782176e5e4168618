"""Feeds damaged files to each reader: python -m tests.fuzz.readers TARGET SECONDS, by hand.

Needs ``pip install atheris``; targets are below. Options of libFuzzer may follow. A reader takes a
file or says in sentences why not; whatever else happens ends the fuzzer, and the input is kept
beside the folder that is printed first.
"""

import gzip
import io
import math
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris
import networkx as nx
import numpy as np
import scipy.sparse
from rich.console import Console

from tests.components.graphs.notations import node_link

os.environ["MPI4PY_RC_INITIALIZE"] = "0"

# An editable install has a loader of its own, which atheris cannot see into.
sys.meta_path[:] = [one for one in sys.meta_path if "ScikitBuild" not in type(one).__name__]

with atheris.instrument_imports(include=["mpidl", "tomllib", "gzip", "networkx.readwrite"]):
    from mpidl import plan
    from mpidl.components.datasets import cifar, digits, idx
    from mpidl.components.graphs import files
    from mpidl.config import resolved, runfile
    from mpidl.config.faults import Fault
    from mpidl.report import figures, page, products, summary, terminal
    from mpidl.report.shelf import Shelf
    from mpidl.storage import reader
    from mpidl.storage.checkpoint import heads, sealed
    from tests.fuzz import crafted

figures.of_run = figures.of_runs = lambda _: iter(())

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LONGEST = 1 << 16
"""Bytes of an input."""


def _idx(path: Path) -> None:
    images = idx.read(path, 3)
    assert images.ndim == 3
    assert images.size


def _labels(path: Path) -> None:
    idx.samples(digits.EMBEDDED / "digits-images-idx3-ubyte.gz", path, 8, 10)


def _cifar(path: Path) -> None:
    for classes in (10, 100):
        try:
            images, labels = cifar.records(path, classes)
        except Fault:
            continue
        else:
            assert len(images) == len(labels)
            assert labels.max() < classes


def _graph(path: Path) -> None:
    topology = files.read(path)
    graph = topology.graph
    assert not (all(topology.amiss) and topology.weighted and graph.edges)
    if topology.weighted and topology.sequence is None:
        assert all(0 <= weight < math.inf for *_, weight in graph.edges(data="weight"))
    assert list(graph) == list(range(len(graph)))
    assert all(0 < chance <= 1 for *_, chance in graph.edges(data="probability"))


def _runfile(path: Path) -> None:
    file = plan.read(path, [], 4)
    assert runfile.read(file.text(), (), plan.KINDS) == file


def _settings(path: Path) -> None:
    # As HDF5's attributes have it.
    resolved.flat(path, path.read_bytes().decode("utf-8", "surrogateescape"))


def _results(path: Path) -> None:
    """A results file of right structure whose contents an input says; see ``crafted``."""
    content = path.read_bytes()
    crafted.write(path.with_suffix(".h5"), content)
    reader.settings(path.with_suffix(".h5"))
    summary.read(path.with_suffix(".h5"))


def _report(path: Path) -> None:
    """Everything but figures that is made of such a file and a good one."""
    crafted.write(path.with_suffix(".h5"), path.read_bytes())
    collection = Shelf().read([crafted.GOLDEN, path.with_suffix(".h5")])
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        wanted = products.Wanted(csv=True, paper=True)
        products.make(collection, wanted, Path(folder), lambda what: lambda done, total: None)
    products.as_json(collection, wanted)
    page.text(collection)
    with open(os.devnull, "w") as nowhere:
        terminal.show(collection, Console(file=nowhere))


def _checkpoint(path: Path) -> None:
    """An input's first byte says whether its head gets the right checksum; the rest is the file."""
    content = path.read_bytes()
    line, _, rest = content[1:].partition(b"\n")
    head, _, data = rest.partition(b"\0")
    if content[:1] > b"\x10":
        line = f"mpidl checkpoint 1 {zlib.crc32(head):08x} {len(head)}".encode()
    path.write_bytes(line + b"\n" + head + b"\0" + data)
    try:
        found = heads.read(path)
        for device in range(min(found.devices, 5)):
            sealed.load(path, found, [device])
    except heads.Damaged:
        pass


def _checkpoint_seeds() -> Iterator[bytes]:
    story = heads.Story(
        run_file="a = 1", origin={"graph": 1}, started="now", resumed=[1], mpidl="1", commit=""
    )
    arrays = {"vector": np.ones(3, np.float32), "steps": np.array(2), "rows": np.ones((2, 2))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        head = sealed.lay_out(path, story, 2, [sealed.forms(arrays)] * 2)
        descriptor = os.open(path, os.O_WRONLY)
        for device in range(2):
            sealed.write(descriptor, head, device, arrays)
        os.close(descriptor)
        yield b"\x00" + path.read_bytes()
        yield b"\xff" + path.read_bytes()


def _idx_seeds() -> Iterator[bytes]:
    whole = bytes([0, 0, 8, 3, *(0, 0, 0, 2) * 3]) + bytes(range(8))
    yield from (whole, gzip.compress(whole))


def _label_seeds() -> Iterator[bytes]:
    packed = (digits.EMBEDDED / "digits-labels-idx1-ubyte.gz").read_bytes()
    yield from (packed, gzip.decompress(packed))


def _cifar_seeds() -> Iterator[bytes]:
    yield from (bytes(3073), bytes(3074), bytes(2 * 3073))


def _graph_seeds() -> Iterator[bytes]:
    yield from (path.read_bytes() for path in (ROOT / "topologies").glob("*_8_*.txt"))
    yield b"# matrix: W\n.5,.5\n.25 .75\n"
    yield b"# columns: i j probability weight\n0 1 .5 .7\n1 1 1 .3\n# round: 0\n"
    yield b"# devices: 4\n# directed\n0 1 .5\n1,2\n# published ood ranks: 1 0\n"
    yield (
        b'<?xml version="1.0" encoding="utf-8"?><graphml xmlns="http://graphml.graphdrawing.org/'
        b'xmlns"><key id="d0" for="edge" attr.name="probability" attr.type="double"><default>1'
        b'</default></key><graph edgedefault="directed"><node id="0"/><node id="1"><data key="d0">'
        b'1</data></node><edge source="0" target="1"><data key="d0">0.5</data></edge></graph>'
        b"</graphml>"
    )


def _notation_seeds() -> Iterator[bytes]:
    graph = nx.relabel_nodes(nx.cycle_graph(4), dict(enumerate(("Lyon", "Paris", "Ulm", "Bonn"))))
    for write in (nx.generate_gml, nx.generate_gexf, nx.generate_graphml):
        yield "\n".join(write(graph)).encode()
    yield node_link(graph).encode()
    yield b'*Vertices 3\n1 "a"\n*Arcs\n1 2 1\n*Edges\n2 3 1\n*Arcslist\n3 1 2\n*Matrix\n0 1 0\n'
    yield b"%%MatrixMarket matrix array real symmetric\n2 2\n0\n.5\n0\n"
    yield b"%%MatrixMarket matrix array real symmetric\n% matrix: W\n2 2\n.5\n.5\n.5\n"
    yield b"%%MatrixMarket matrix coordinate pattern general\n2 2 1\n1 2\n"
    yield b"0 1 {'weight': 4, 'probability': 0.5}\n1 2 {}\n"
    for form in ("csr", "csc", "coo", "bsr", "dia"):
        packed = io.BytesIO()
        scipy.sparse.save_npz(packed, scipy.sparse.coo_array(np.eye(3)[::-1]).asformat(form))
        yield packed.getvalue()
    mixing = io.BytesIO()
    np.savez(mixing, W=np.full((2, 2), 0.5))
    yield mixing.getvalue()
    dense = io.BytesIO()
    np.save(dense, np.eye(3)[::-1])
    yield dense.getvalue()


def _runfile_seeds() -> Iterator[bytes]:
    yield from (path.read_bytes() for path in (ROOT / "launch/studies").glob("*/*.toml"))


TARGETS: dict[str, tuple[Callable[[Path], None], Callable[[], Iterator[bytes]]]] = {
    "idx": (_idx, _idx_seeds),
    "labels": (_labels, _label_seeds),
    "cifar": (_cifar, _cifar_seeds),
    "graph": (_graph, _graph_seeds),
    "graphml": (_graph, _graph_seeds),
    "notations": (_graph, _notation_seeds),
    "runfile": (_runfile, _runfile_seeds),
    "settings": (_settings, _runfile_seeds),
    "results": (_results, crafted.seeds),
    "checkpoint": (_checkpoint, _checkpoint_seeds),
    "report": (_report, crafted.seeds),
}


def main() -> None:
    """Fuzz one target for so many seconds."""
    name, seconds, *options = sys.argv[1:]
    target, seeds = TARGETS[name]
    corpus = Path(tempfile.mkdtemp(prefix=f"mpidl-fuzz-{name}-"))
    print(corpus, flush=True)
    for number, content in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(content)
    place = Path(tempfile.mkdtemp(dir="/dev/shm"), f"input.{name}")

    def once(data: bytes) -> None:
        place.write_bytes(data)
        try:
            target(place)
        except Fault as fault:
            # A run file may be wrong in many ways, a sentence for each.
            assert name == "runfile" or len(fault.sentences) == 1  # noqa: PT017

    words = ["-only_ascii=0", "-timeout=20", "-rss_limit_mb=4096", f"-max_len={LONGEST}"]
    told = [f"-max_total_time={seconds}", f"-artifact_prefix={corpus}-", *words, *options]
    atheris.Setup([sys.argv[0], *told, str(corpus)], once)
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(place.parent, ignore_errors=True)


if __name__ == "__main__":
    main()
