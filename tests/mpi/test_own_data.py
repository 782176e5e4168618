"""Runs on data of one's own, from a file to results."""

import numpy as np
import pytest

from mpidl.config.faults import Fault
from mpidl.devices import data

pytestmark = pytest.mark.dealt

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 6, 6), dtype=np.uint8)
LABELS = np.arange(60) % 3


@pytest.fixture
def mine(comm, shared_path):
    """Settings of a run on a file with a device for each sample, as many as devices of the run."""
    owners = np.arange(60) // 2 % (comm.size + 1)
    path = shared_path / "mine.npz"
    if comm.rank == 0:
        np.savez(path, x=PIXELS, y=LABELS, x_test=PIXELS[:20], y_test=LABELS[:20], devices=owners)
    comm.Barrier()
    names = "data.name=npz", f"data.file={path}", "data.train_samples=50", "data.test_samples=20"
    return (*names, f"topology.devices={comm.size + 1}"), owners


def test_samples_are_on_the_devices_that_the_data_name(comm, program, mine):
    settings, owners = mine
    found = program(*settings, "placement.name=given", "data.train_samples=60")
    want = [np.bincount(LABELS[owners == device], minlength=3) for device in range(comm.size + 1)]
    np.testing.assert_array_equal(found["placement/labels"], want)
    assert np.isfinite(found["series/iid_accuracy_mixed"]).all()


def test_a_part_of_the_data_keeps_its_devices(comm, planned, mine):
    settings, owners = mine
    run_data = data.provide(comm, planned(*settings, "placement.name=given"))
    assert sum(run_data.samples) == 50
    for device, (inputs, _) in run_data.shards.items():
        known = {image.tobytes() for image in PIXELS[owners == device, None] / np.float32(255)}
        # A source has samples of which none is as before.
        if device not in planned(*settings).sources:
            assert {image.tobytes() for image in inputs} <= known
    run_data.close()


def test_data_that_name_no_devices_cannot_be_placed_by_them(comm, planned):
    told = "data.name = 'digits' does not say which device a sample belongs to"
    with pytest.raises(Fault, match=told):
        data.provide(comm, planned("placement.name=given"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("ood.size=7",), "the patch must fit into 6 x 6 pixels"),
        (("data.shape=[36]",), "'trigger' needs images; this data set has samples of 36, which 'n"),
        (("data.file=none.npz",), r"data\.file = 'none\.npz': there is no such file"),
    ],
    ids=["patch", "no images", "no file"],
)
def test_what_does_not_fit_the_data_is_refused(comm, planned, mine, settings, sentence):
    with pytest.raises(Fault, match=sentence):
        data.provide(comm, planned(*mine[0], *settings))


def test_noise_and_a_held_out_class_need_no_images(comm, program, mine):
    for kind in ("noise", "held_out_class"):
        found = program(*mine[0], "data.shape=[36]", f"ood.name={kind}", "model.name=logistic")
        assert np.isfinite(found["series/ood_accuracy_mixed"]).any()
