"""How a rank finds its accelerator and its MPI."""

from functools import partial

import pytest

from mpidl.config.faults import Breakdown
from mpidl.ranks import accelerators, mpi_library


@pytest.mark.parametrize(
    ("ranks", "count", "want"),
    [
        (4, 1, [0, 0, 0, 0]),  # a launcher's mask shows each rank one accelerator
        (12, 12, list(range(12))),  # Aurora, tiles as devices (FLAT)
        (12, 6, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),  # Aurora, whole GPUs (COMPOSITE)
        (24, 12, [rank // 2 for rank in range(24)]),  # two ranks a tile
        (4, 4, [0, 1, 2, 3]),  # Polaris
        (2, 4, [0, 1]),
        (5, 4, [0, 0, 1, 2, 3]),
    ],
)
def test_ranks_fill_accelerators_in_blocks(ranks, count, want):
    assert [accelerators.index(rank, ranks, count) for rank in range(ranks)] == want


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139 GiB",
            r"no memory left \(CUDA out of memory. Tried to allocate 2.00 GiB\): use fewer",
        ),
        ("CUDA error: out of memory\nCUDA kernel errors might", r"\(CUDA error: out of memory\): "),
        ("UR error: UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY", "left .UR error: UR_RESULT_ERROR_OUT"),
    ],
)
def test_an_accelerator_without_memory_is_told_in_a_sentence(error, sentence):
    with pytest.raises(Breakdown, match=sentence) as found, accelerators.explained():
        raise RuntimeError(error)
    assert "\n" not in str(found.value)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2$") as found, accelerators.explained():
        raise RuntimeError("mat1 and mat2")
    assert type(found.value) is RuntimeError


@pytest.mark.parametrize(
    ("precision", "want"), [("float32", False), ("bfloat16", False), ("tf32", True)]
)
@pytest.mark.parametrize("before", [(True, False), (False, True)])
def test_only_who_asks_for_tf32_gets_it(precision, want, before):
    torch = pytest.importorskip("torch")
    kinds = torch.backends.cudnn, torch.backends.cuda.matmul
    usual = [kind.allow_tf32 for kind in kinds]
    for kind, allowed in zip(kinds, before, strict=True):
        kind.allow_tf32 = allowed
    with accelerators.rounding(precision):
        assert [kind.allow_tf32 for kind in kinds] == [want, want]
    assert tuple(kind.allow_tf32 for kind in kinds) == before
    for kind, allowed in zip(kinds, usual, strict=True):
        kind.allow_tf32 = allowed


def test_mpi_takes_accelerator_memory_only_where_it_is_known(monkeypatch):
    for switch in mpi_library.SWITCHES:
        monkeypatch.delenv(switch, raising=False)
    assert not mpi_library.takes("cuda")
    monkeypatch.setenv("MPICH_GPU_SUPPORT_ENABLED", "1")
    monkeypatch.setattr(mpi_library, "supports", lambda _: None)
    assert mpi_library.takes("cuda")


class Library:
    """An MPI that says by functions of its own what memory it takes; others have none of these."""

    def __init__(self, kind=None, number=None):
        if kind is not None:
            self.MPIX_Query_cuda_support = lambda: int(kind == "cuda")
            self.MPIX_Query_ze_support = lambda: int(kind == "xpu")
        if number is not None:
            self.MPIX_GPU_query_support = partial(self._query, number)

    @staticmethod
    def _query(number, asked, found):
        found._obj.value = asked == number
        return 0


@pytest.mark.parametrize(
    ("library", "cuda", "xpu"),
    [
        (Library(), None, None),
        (Library("none"), False, False),
        (Library("cuda"), True, False),
        (Library("xpu", 1), False, True),
        (Library("none", 7), False, False),
        (Library(number=0), True, False),
    ],
)
def test_an_mpi_is_asked_what_it_was_built_for(monkeypatch, library, cuda, xpu):
    monkeypatch.setattr(mpi_library.ctypes, "CDLL", lambda _: library)
    assert (mpi_library.supports("cuda"), mpi_library.supports("xpu")) == (cuda, xpu)


@pytest.mark.parametrize("switch", mpi_library.SWITCHES)
def test_an_mpi_for_processors_is_not_believed_by_its_environment(monkeypatch, switch):
    monkeypatch.setenv(switch, "1")
    monkeypatch.setattr(mpi_library.ctypes, "CDLL", lambda _: Library("none", 7))
    assert not mpi_library.takes("cuda")


def test_library_is_one_line():
    assert "\n" not in mpi_library.version()
    assert mpi_library.version().split()[0] in {"MPICH", "Open", "Intel(R)", "CRAY"}
