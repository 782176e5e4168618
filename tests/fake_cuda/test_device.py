"""The fake GPU itself: ``on_device.py``, run in a process that has it."""

import re
from pathlib import Path

import pytest

pytestmark = [pytest.mark.fake_cuda, pytest.mark.slow]

INSIDE = Path(__file__).with_name("on_device.py")


@pytest.fixture(scope="module")
def told(on_fake):
    """What pytest says of the tests there."""
    return on_fake(1, "pytest", str(INSIDE), "-rA", "-p", "no:cacheprovider").stdout


@pytest.mark.parametrize("name", re.findall(r"^def (test_\w+)", INSIDE.read_text(), re.M))
def test_it_does_and_refuses_what_cuda_does(told, name):
    ends = re.findall(rf"^(\w+) \S*on_device.py::{name}\b", told, re.M)
    assert ends
    assert set(ends) == {"PASSED"}, told
