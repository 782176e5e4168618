"""Memory of the fake GPU that is too small: known before a run, or told where it ends one."""

import re

import pytest

pytestmark = [pytest.mark.fake_cuda, pytest.mark.slow]

SMALL = (
    *("topology.devices=4", "topology.name=ring", "model.hidden=[8]"),
    *("data.train_samples=60", "data.test_samples=20", "training.rounds=2"),
)


@pytest.fixture
def run(on_fake, tmp_path):
    """As ``run(*settings, options, **variables)``: exit code and sentences of a run on 2 ranks."""

    def start(*settings, options=(), **variables):
        words = [f"--set={setting}" for setting in (*SMALL, *settings)]
        job = on_fake(2, "mpidl.run", "--out", str(tmp_path), *words, *options, **variables)
        assert "Traceback" not in job.stdout, job.stdout
        return job.returncode, re.findall(r"mpidl: .*", job.stdout)

    return start


def test_what_all_ranks_of_a_gpu_need_is_refused_where_what_one_needs_would_do(run):
    wide = {"options": ["--check"], "FAKE_CUDA_MEMORY": "1.5e6"}
    code, (sentence,) = run("model.hidden=[512]", **wide)
    assert code == 2
    assert sentence.endswith("for its cuda, which 2 ranks share.")
    assert run("model.hidden=[512]", **wide, FAKE_CUDA="own") == (0, [])


def test_a_rank_that_has_no_memory_left_says_so_and_ends_all(run):
    uneven = "placement.hosts=[0,1,1,1]", "data.train_samples=800"
    code, (sentence,) = run(*uneven, FAKE_CUDA_MEMORY="1.2e5")
    assert code in (1, 9)
    assert sentence.startswith("mpidl: rank 1: an accelerator of ")
    assert "has no memory left (CUDA out of memory" in sentence
