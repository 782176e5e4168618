"""oneCCL's old bindings on processors, where they are built: the bits of shared memory."""

import pytest

from tests.stacks import ccl


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_oneccl_s_old_bindings_give_the_bits_of_shared_memory(ranks):
    if not ccl.built():
        pytest.skip("takes long to build: MPIDL_TORCH_CCL=FOLDER python -m tests.stacks.ccl")
    equal, other = ccl.compared(ranks)
    assert equal > 0
    assert [name for name in other if not name.startswith("series/bytes_")] == []
