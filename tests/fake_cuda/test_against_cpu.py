"""Whole runs on the fake GPU: those of the CPU, whatever the model, algorithm and exchange."""

import pytest

from tests.fake_cuda import cases

pytestmark = [pytest.mark.fake_cuda, pytest.mark.slow]


@pytest.mark.parametrize("case", cases.cases(), ids=lambda case: case.name)
def test_a_run_on_the_gpu_is_that_on_the_cpu(outcome, case):
    found = outcome(case)
    assert "failure" not in found, found["failure"][-6000:]
    assert found["waits"] > 0
    assert case.way.exchange in ("", found["backend"])
    wrong = {key: far for key, far in found["apart"].items() if not far <= case.apart}
    assert wrong == {}
