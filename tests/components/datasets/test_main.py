"""The command that fetches and verifies, against a server on this machine."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import tarfile
import threading
import zipfile

import pytest

from mpidl.components.datasets import DATASETS
from mpidl.components.datasets import __main__ as command
from mpidl.components.datasets.sources import Source

PLAIN = b"\0\0\x08\x01" + (3).to_bytes(4, "big") + b"\x01\x02\x03"
RECORD = bytes([3]) + bytes(3072)


def sha(data):
    return hashlib.sha256(data).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def home(tmp_path, monkeypatch, declare):
    """A public home of two small data sets, served from this machine."""
    monkeypatch.setenv("NO_PROXY", "*")
    folder = tmp_path / "home"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        packed = gzip.compress(PLAIN)
        (folder / "labels.gz").write_bytes(packed)
        labels = Source("labels.gz", (url + "labels.gz",), sha(packed), {"labels": sha(PLAIN)})
        inner = {"bin/one.bin": sha(RECORD), "bin/two.bin": sha(RECORD * 2)}
        with tarfile.open(folder / "all.tar.gz", "w:gz") as tar:
            for name, data in (("bin/one.bin", RECORD), ("bin/two.bin", RECORD * 2)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            tar.addfile(tarfile.TarInfo("../evil"))
        digest = sha((folder / "all.tar.gz").read_bytes())
        declare("mnist", sources=(labels,))
        archive = Source("all.tar.gz", (url + "all.tar.gz",), digest, inner)
        declare("cifar10", sources=(archive,))
        yield folder
        server.shutdown()


def test_fetch_then_verify(home, tmp_path, capsys):
    to = tmp_path / "new" / "data"
    assert command.main(["fetch", "mnist", "--to", str(to)]) == 0
    assert gzip.decompress((to / "labels.gz").read_bytes()) == PLAIN
    assert command.main(["verify", "mnist", str(to)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{to / 'labels.gz'}: ok"


def test_an_archive_is_unpacked_without_what_does_not_belong_to_it(home, tmp_path):
    to = tmp_path / "data"
    assert command.main(["fetch", "cifar10", "--to", str(to)]) == 0
    assert sorted(str(path.relative_to(to)) for path in to.rglob("*")) == [
        "bin",
        "bin/one.bin",
        "bin/two.bin",
    ]
    assert not (tmp_path / "evil").exists()
    assert command.main(["verify", "cifar10", str(to)]) == 0


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_only_regular_files_are_unpacked(home, tmp_path, declare, capsys, kind):
    with tarfile.open(home / "all.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("bin/one.bin")
        member.type, member.linkname = kind, "../../evil"
        tar.addfile(member)
    digest = sha((home / "all.tar.gz").read_bytes())
    (source,) = DATASETS.properties("cifar10").sources
    inner = {"bin/one.bin": sha(RECORD)}
    declare("cifar10", sources=(Source(source.name, source.urls, digest, inner),))
    to = tmp_path / "data"
    assert command.main(["fetch", "cifar10", "--to", str(to)]) == 2
    assert "bin/one.bin in it is not a regular file" in capsys.readouterr().err
    assert [path.name for path in to.iterdir()] == ["all.tar.gz"]


def test_what_is_not_what_it_should_be_is_never_opened(home, tmp_path, monkeypatch):
    (home / "all.tar.gz").write_bytes(b"changed")
    monkeypatch.setattr(tarfile, "open", lambda *_: pytest.fail("opened before it was checked"))
    assert command.main(["fetch", "cifar10", "--to", str(tmp_path / "data")]) == 2
    assert list((tmp_path / "data").iterdir()) == []


def test_a_pipe_in_place_of_a_file_is_no_endless_wait(home, tmp_path, capsys):
    os.mkfifo(tmp_path / "labels.gz")
    assert command.main(["fetch", "mnist", "--to", str(tmp_path)]) == 2
    assert "is not a file; move it away" in capsys.readouterr().err


def test_what_is_there_is_not_fetched_again_and_never_overwritten(home, tmp_path, capsys):
    to = tmp_path / "data"
    assert command.main(["fetch", "mnist", "--to", str(to)]) == 0
    (home / "labels.gz").unlink()
    assert command.main(["fetch", "mnist", "--to", str(to)]) == 0
    assert "is there already" in capsys.readouterr().out
    (to / "labels.gz").write_bytes(b"precious")
    assert command.main(["fetch", "mnist", "--to", str(to)]) == 2
    assert "is not the published file; move it away" in capsys.readouterr().err
    assert (to / "labels.gz").read_bytes() == b"precious"


def test_a_changed_file_is_refused(home, tmp_path, capsys):
    (home / "labels.gz").write_bytes(b"changed")
    assert command.main(["fetch", "mnist", "--to", str(tmp_path / "data")]) == 2
    told = capsys.readouterr().err
    assert told.endswith("the download is not the published file.\n")
    assert told.count("\n") == 1
    assert not (tmp_path / "data" / "labels.gz").exists()


def test_a_second_home_serves_where_the_first_does_not(home, tmp_path, declare):
    (source,) = DATASETS.properties("mnist").sources
    urls = ("http://127.0.0.1:1/labels.gz", *source.urls)
    declare("mnist", sources=(Source(source.name, urls, source.sha256, source.contents),))
    assert command.main(["fetch", "mnist", "--to", str(tmp_path / "data")]) == 0


def test_without_a_network_fetch_is_one_sentence(tmp_path, monkeypatch, capsys, declare):
    monkeypatch.setenv("NO_PROXY", "*")
    source = Source("labels.gz", ("http://127.0.0.1:1/labels.gz",), "0" * 64, {"labels": "0" * 64})
    declare("mnist", sources=(source,))
    assert command.main(["fetch", "mnist", "--to", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.err == (
        f"mpidl: Cannot download http://127.0.0.1:1/labels.gz to {tmp_path}: ConnectionError.\n"
    )


def test_fetching_into_a_file_is_one_sentence(home, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert command.main(["fetch", "mnist", "--to", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "which is not there"),
        (gzip.compress(PLAIN)[:-9], "is a damaged gzip file"),
        (PLAIN[:-1], "is truncated"),
        (PLAIN[:-1] + b"\x04", "is not that of the published file"),
    ],
    ids=["missing", "corrupt", "truncated", "changed"],
)
def test_verify_tells_each_damage_in_a_line(home, tmp_path, capsys, data, sentence):
    if data is not None:
        (tmp_path / "labels").write_bytes(data)
    assert command.main(["verify", "mnist", str(tmp_path)]) == 2
    told = capsys.readouterr().out
    assert sentence in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fetch"],
        ["fetch", "mnist"],
        ["fetch", "mnits", "--to", "x"],
        ["verify", "mnist"],
        ["verify", "nothing", "x"],
        ["verify", "mnist", "nowhere"],
        ["verify", "mnist", __file__],
        ["remove", "mnist"],
        ["verify", "mnist", "x", "--fast"],
    ],
)
def test_bad_arguments_are_one_sentence(arguments, capsys):
    assert command.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["digits", "tinymem"])
def test_what_comes_with_the_program_needs_nothing(name, tmp_path, capsys):
    assert command.main(["fetch", name, "--to", str(tmp_path)]) == 0
    assert command.main(["verify", name, str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("needs no files") == 2


def test_a_data_set_of_ones_own_is_named_by_its_file(home, tmp_path, forget, capsys):
    (tmp_path / "mine.py").write_text(
        "import mpidl\nfrom mpidl.components.datasets import DATASETS\n"
        "@mpidl.dataset(sources=DATASETS.properties('mnist').sources)\n"
        "def mine(folder, seed, /): ...\ndef other(folder, seed, /): ...\n"
    )
    file, to = tmp_path / "mine.py", str(tmp_path / "data")
    assert command.main(["fetch", f"{file}:mine", "--to", to]) == 0
    assert command.main(["verify", f"{file}:mine", to]) == 0
    assert command.main(["verify", f"{file}:other", to]) == 0
    assert "mine.py:other: declares no files" in capsys.readouterr().out


def test_what_is_not_known_of_a_file_is_told(home, tmp_path, declare, capsys):
    (source,) = DATASETS.properties("mnist").sources
    unknown = Source(source.name, source.urls, source.sha256, {"labels": ""})
    declare("mnist", sources=(unknown,))
    assert command.main(["fetch", "mnist", "--to", str(tmp_path)]) == 0
    assert command.main(["verify", "mnist", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("labels.gz: ok\n")
    (tmp_path / "labels.gz").write_bytes(PLAIN)
    assert command.main(["verify", "mnist", str(tmp_path)]) == 0
    assert "the published file is not known here" in capsys.readouterr().out


def test_a_zip_archive_is_unpacked(home, tmp_path, declare):
    with zipfile.ZipFile(home / "all.zip", "w") as pack:
        for name in ("gzip/labels.gz", "gzip/more", "../evil"):
            pack.writestr(name, gzip.compress(PLAIN))
    digest = sha((home / "all.zip").read_bytes())
    url = DATASETS.properties("mnist").sources[0].urls[0].replace("labels.gz", "all.zip")
    source = Source("all.zip", (url,), digest, {"gzip/labels.gz": ""}, ("gzip/",))
    declare("emnist", sources=(source,))
    to = tmp_path / "data"
    assert command.main(["fetch", "emnist", "--to", str(to)]) == 0
    assert [str(path.relative_to(to)) for path in to.rglob("*")] == ["gzip", "gzip/labels.gz"]
    assert command.main(["verify", "emnist", str(to)]) == 0
    assert command.main(["fetch", "emnist", "--to", str(to)]) == 0


def test_every_source_has_whole_digests_and_secure_or_checked_homes():
    for name in DATASETS.stored():
        for source in DATASETS.properties(name).sources:
            digests = [source.sha256, *filter(None, source.contents.values())]
            assert all(len(digest) == 64 and int(digest, 16) for digest in digests)
            assert all(url.endswith(source.name) for url in source.urls)


def test_there_is_nothing_to_fetch_of_data_of_ones_own(tmp_path, capsys):
    assert command.main(["fetch", "csv", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("csv: reads files of one's own")


@pytest.mark.parametrize(
    "words", ["--use a.py fetch mnist --to d", "fetch mnist --to d --use a.py", "verify mnist d"]
)
def test_code_of_ones_own_may_be_named_before_and_behind(words):
    assert command.parser().parse_args(words.split()).use == ["a.py"] * ("--use" in words)
