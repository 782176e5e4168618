"""Intel's extension of torch: where it is loaded, and what is said where it does not load."""

import sys

import pytest
import torch

from mpidl.config.faults import Fault
from mpidl.ranks import accelerators

LOADED = "import torch; torch.xpu.is_available = lambda: True"
CASES = [
    # setting, torch, version of the extension, whether torch finds an XPU by itself; loaded or not
    ("xpu", "2.5.1", "2.5.10", False, True),
    ("auto", "2.5.1", "2.5.10", True, True),
    ("auto", "2.3.1", "2.3.110+xpu", False, True),
    ("auto", "2.7.0", "2.7.0", False, False),
    ("cpu", "2.5.1", "2.5.10+xpu", True, False),
    ("cuda", "2.5.1", "2.5.10+xpu", True, False),
    ("xpu", "2.8.0", "2.8.10+xpu", True, False),
    ("auto", "2.10.0a0+git1", "2.10.10", True, False),
]


@pytest.fixture
def extension(monkeypatch, tmp_path):
    """As ``extension(version, text)``: installs a package that stands in for Intel's."""

    def install(version, text):
        (tmp_path / f"{accelerators.EXTENSION}.py").write_text(text)
        folder = tmp_path / f"{accelerators.EXTENSION}-{version}.dist-info"
        folder.mkdir()
        named = "intel-extension-for-pytorch"
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {named}\nVersion: {version}\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))

    # What the package changes in torch is taken back.
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    yield install
    sys.modules.pop(accelerators.EXTENSION, None)


@pytest.mark.parametrize(("setting", "of_torch", "version", "native", "loaded"), CASES)
def test_the_extension_is_loaded_for_xpus_of_an_older_torch_alone(
    extension, monkeypatch, setting, of_torch, version, native, loaded
):
    extension(version, LOADED)
    monkeypatch.setattr(torch, "__version__", of_torch)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: native)
    if setting == "cuda":
        with pytest.raises(Fault, match="torch finds none on"):
            accelerators.chosen(setting)
    else:
        kind = "xpu" if setting != "cpu" and (loaded or native) else "cpu"
        assert accelerators.chosen(setting) == kind
    assert (accelerators.EXTENSION in sys.modules) == loaded


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise OSError('libsycl.so.8: no such file')", "OSError: libsycl.so.8: no such file"),
        ("exit(127)", "SystemExit: 127"),
        ("import os; os.exit(127)", "AttributeError: module 'os' has no attribute 'exit'"),
    ],
)
def test_an_extension_that_does_not_load_is_told_with_its_error(extension, monkeypatch, text, told):
    extension("2.5.10", text)
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    with pytest.raises(Fault, match="does not load on") as caught:
        accelerators.chosen("xpu")
    assert str(caught.value).startswith("training.accelerator = 'xpu': intel_extension_for_pytorch")
    assert f"({told}); 'cpu' works without it." in str(caught.value)


def test_without_the_extension_nothing_is_loaded(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    assert accelerators.chosen("auto") == "xpu"
