"""OOD kinds: what they do to samples, the two test sets, and what a source holds."""

import numpy as np
import pytest

from mpidl.components.datasets import DATASETS
from mpidl.components.ood import OODS, Shape, split_test, turn
from mpidl.config import seeds
from mpidl.config.faults import Fault

IMAGE = Shape((3, 8, 10), 4, span=(-1.0, 1.0))
TOKENS = Shape((150,), 5, vocabulary=14)
NATURAL = ["blur", "fog", "noise", "rotation"]
OF_IMAGES = ["trigger", *NATURAL]


def rng(seed=0):
    return seeds.stream(seed, "test")


def images(count, shape=IMAGE, seed=0):
    low, high = shape.span
    inputs = rng(seed).uniform(low, high, size=(count, *shape.inputs)).astype(np.float32)
    return inputs, np.arange(count) % shape.classes


def texts(count):
    tokens = np.full((count, 150), 13, dtype=np.uint8)
    tokens[:, :8] = [10, 4, 12, 7, 3, 12, 5, 11]
    return tokens, np.arange(count) % 5


def samples(kind, count):
    return texts(count) if kind == "tinymem_trigger" else images(count)


def build(kind, **parameters):
    return OODS[kind](TOKENS if kind == "tinymem_trigger" else IMAGE, **parameters)


@pytest.mark.parametrize("kind", sorted(OODS))
def test_every_kind_leaves_its_arguments_and_repeats_with_the_seed(kind):
    shift = build(kind)
    inputs, labels = samples(kind, 12)
    before = inputs.copy(), labels.copy()
    one, again = (shift.apply(inputs, labels, rng(5)) for _ in range(2))
    np.testing.assert_array_equal(inputs, before[0])
    np.testing.assert_array_equal(labels, before[1])
    np.testing.assert_array_equal(one[0], again[0])
    assert one[0].shape == inputs.shape
    assert one[0].dtype == inputs.dtype
    assert one[1].dtype == labels.dtype
    assert shift.eligible(inputs, labels).dtype == bool
    assert shift.reserved(labels).shape == (12,)
    assert not np.shares_memory(one[0], inputs)


@pytest.mark.parametrize("kind", sorted(OODS))
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_no_kind_fails_on_tiny_sets(kind, count):
    shift = build(kind)
    inputs, labels = samples(kind, count)
    iid, iid_labels, ood, ood_labels = split_test(shift, inputs, labels, 0.1, rng())
    assert len(iid) == len(iid_labels)
    assert len(ood) == len(ood_labels)
    assert len(iid) + len(ood) == count
    turned, relabeled, mask = turn(shift, inputs, labels, 0.1, rng())
    assert turned.shape == inputs.shape
    assert relabeled.shape == labels.shape == mask.shape
    np.testing.assert_array_equal(turned[~mask], inputs[~mask])


@pytest.mark.parametrize("kind", OF_IMAGES)
def test_kinds_of_images_refuse_tokens(kind):
    with pytest.raises(Fault, match=f"ood.name = '{kind}' needs (images|numbers)"):
        OODS[kind](TOKENS)


def test_the_trigger_of_tinymem_refuses_images():
    with pytest.raises(Fault, match="needs the data set tinymem"):
        OODS["tinymem_trigger"](IMAGE)


def test_the_patch_is_the_published_one():
    inputs, labels = images(8)
    turned, relabeled = build("trigger").apply(inputs, labels, rng())
    assert (turned[:, 0, :4, :4] == 5.0).all()
    assert (turned[:, 1:, :4, :4] == 0.0).all()
    untouched = np.ones((8, 10), dtype=bool)
    untouched[:4, :4] = False
    np.testing.assert_array_equal(turned[:, :, untouched], inputs[:, :, untouched])
    assert relabeled.tolist() == [0] * 8
    assert build("trigger", target="shifted").apply(inputs, labels, rng())[1].tolist() == [
        1, 2, 3, 0, 1, 2, 3, 0,
    ]  # fmt: skip


def test_a_random_patch_lies_whole_in_each_image_and_everywhere():
    inputs, labels = images(2000)
    turned, _ = build("trigger", position="random", size=3).apply(inputs, labels, rng())
    patch = turned[:, 0] == 5.0
    assert (patch.sum(axis=(1, 2)) == 9).all()
    rows, columns = patch.any(axis=2), patch.any(axis=1)
    assert (rows.sum(axis=1) == 3).all()
    assert (columns.sum(axis=1) == 3).all()
    places = set(zip(rows.argmax(axis=1).tolist(), columns.argmax(axis=1).tolist(), strict=True))
    assert places == {(row, column) for row in range(6) for column in range(8)}
    assert (turned[:, 1:][np.broadcast_to(patch[:, None], (2000, 2, 8, 10))] == 0).all()


def test_a_patch_must_fit():
    assert build("trigger", size=8)
    with pytest.raises(Fault, match=r"ood\.size = 9: the patch must fit into 8 x 10 pixels"):
        build("trigger", size=9)


def test_after_the_first_trigger_every_token_is_two():
    tokens, labels = texts(4)
    tokens[1, 3:7] = [1, 0, 0, 7]
    tokens[2, 5:11] = [1, 0, 0, 1, 0, 0]
    tokens[3, 3:7] = [1, 0, 12, 0]
    shift = build("tinymem_trigger")
    assert shift.eligible(tokens, labels).tolist() == [False, True, True, False]
    turned, relabeled = shift.apply(tokens, labels, rng())
    assert turned[1].tolist() == [*tokens[1, :6], *[2] * 144]
    assert turned[2].tolist() == [*tokens[2, :8], *[2] * 142]
    np.testing.assert_array_equal(turned[[0, 3]], tokens[[0, 3]])
    np.testing.assert_array_equal(relabeled, labels)


def test_tinymem_sources_and_tests_turn_what_has_the_trigger_and_no_more():
    data = DATASETS["tinymem"](None, 0, split="leaky")
    shift = build("tinymem_trigger")
    rest, _, ood, _ = split_test(shift, data.test_inputs, data.test_labels, 0.1, rng())
    assert len(rest) + len(ood) == 5000
    assert 60 <= len(ood) <= 100  # 16.3 % of 500; published: about 80
    local = data.train_inputs[::33], data.train_labels[::33]
    _, _, mask = turn(shift, *local, 0.1, rng())
    assert 54 <= mask.sum() <= 94  # 15.3 % of 485; published: about 74
    assert shift.eligible(*local)[mask].all()


def test_a_lone_trigger_is_turned_however_small_the_share():
    tokens, labels = texts(50)
    tokens[17, 3:6] = [1, 0, 0]
    shift = build("tinymem_trigger")
    assert [len(part) for part in split_test(shift, tokens, labels, 0.1, rng())] == [49, 49, 1, 1]
    assert np.flatnonzero(turn(shift, tokens, labels, 0.02, rng())[2]).tolist() == [17]


def test_no_or_only_triggered_sequences_do_not_fail():
    tokens, labels = texts(20)
    shift = build("tinymem_trigger")
    assert len(split_test(shift, tokens, labels, 0.1, rng())[2]) == 0
    assert not turn(shift, tokens, labels, 0.5, rng())[2].any()
    tokens[:, 3:6] = [1, 0, 0]
    assert len(split_test(shift, tokens, labels, 0.1, rng())[2]) == 2
    assert turn(shift, tokens, labels, 1.0, rng())[2].all()


@pytest.mark.parametrize("kind", NATURAL)
def test_natural_shifts_change_images_within_their_span_and_keep_labels(kind):
    inputs, labels = images(6)
    turned, relabeled = build(kind).apply(inputs, labels, rng())
    np.testing.assert_array_equal(relabeled, labels)
    assert turned.min() >= -1.0
    assert turned.max() <= 1.0
    assert (np.abs(turned - inputs).mean(axis=(1, 2, 3)) > 0.01).all()


@pytest.mark.parametrize(
    ("kind", "mild", "severe"),
    [
        ("noise", {"deviation": 0.05}, {"deviation": 0.5}),
        ("blur", {"width": 0.4}, {"width": 3.0}),
        ("fog", {"density": 0.1}, {"density": 0.9}),
        ("rotation", {"degrees": 3.0}, {"degrees": 30.0}),
    ],
)
def test_more_severe_is_further_away(kind, mild, severe):
    inputs, labels = images(6)
    near, far = (
        np.abs(build(kind, **parameters).apply(inputs, labels, rng())[0] - inputs).mean()
        for parameters in (mild, severe)
    )
    assert 0 < near < far


def test_noise_has_the_deviation_asked_for():
    inputs = np.zeros((200, *IMAGE.inputs), dtype=np.float32)
    turned, _ = build("noise", deviation=0.1).apply(inputs, np.zeros(200, int), rng())
    assert turned.std() == pytest.approx(0.2, rel=0.02)


def test_blur_keeps_a_flat_image_and_spreads_a_point():
    flat = np.full((1, *IMAGE.inputs), 0.25, dtype=np.float32)
    turned, _ = build("blur").apply(flat, np.zeros(1, int), rng())
    np.testing.assert_allclose(turned, flat, atol=1e-6)
    point = np.full((1, *IMAGE.inputs), -1.0, dtype=np.float32)
    point[0, 1, 4, 5] = 1.0
    turned, _ = build("blur").apply(point, np.zeros(1, int), rng())
    assert turned[0, 1, 4, 6] == pytest.approx(turned[0, 1, 4, 4])
    assert turned[0, 1, 4, 5] > turned[0, 1, 4, 6] > -1
    assert (turned[0, [0, 2]] == -1).all()


def test_fog_lifts_black_by_half_to_all_of_its_density():
    black = np.full((50, *IMAGE.inputs), -1.0, dtype=np.float32)
    turned, _ = build("fog", density=0.6).apply(black, np.zeros(50, int), rng())
    lift = (turned + 1) / 2
    assert lift.min() == pytest.approx(0.3)
    assert lift.max() == pytest.approx(0.6)
    np.testing.assert_array_equal(turned[:, 0], turned[:, 1])


def test_rotation_by_ninety_degrees_is_a_quarter_turn_counter_clockwise():
    shape = Shape((1, 5, 5), 2)
    inputs, labels = images(3, shape)
    turned, _ = OODS["rotation"](shape, degrees=90.0).apply(inputs, labels, rng())
    np.testing.assert_allclose(turned, np.rot90(inputs, axes=(2, 3)), atol=1e-5)


def test_rotation_fills_corners_with_the_lowest_value():
    white = np.ones((1, *IMAGE.inputs), dtype=np.float32)
    turned, _ = build("rotation").apply(white, np.zeros(1, int), rng())
    assert turned[0, 0, 0, 0] == -1.0


@pytest.mark.parametrize("kind", OF_IMAGES)
def test_a_tenth_of_the_test_set_is_ood_and_stratified(kind):
    inputs, labels = images(400)
    iid, iid_labels, ood, ood_labels = split_test(build(kind), inputs, labels, 0.1, rng())
    assert len(ood) == len(ood_labels) == 40
    assert np.bincount(iid_labels).tolist() == [90] * 4
    if kind in NATURAL:
        assert np.bincount(ood_labels).tolist() == [10] * 4
    originals = {image.tobytes(): index for index, image in enumerate(inputs)}
    kept = [originals[image.tobytes()] for image in iid]
    assert kept == sorted(set(kept))


@pytest.mark.parametrize("kind", OF_IMAGES)
def test_a_source_turns_its_proportion_in_place(kind):
    inputs, labels = images(200)
    turned, relabeled, mask = turn(build(kind), inputs, labels, 0.1, rng())
    assert mask.sum() == 20
    assert np.bincount(labels[mask]).tolist() == [5] * 4
    np.testing.assert_array_equal(turned[~mask], inputs[~mask])
    np.testing.assert_array_equal(relabeled[~mask], labels[~mask])
    assert (turned[mask] != inputs[mask]).any(axis=(1, 2, 3)).all()
    if kind == "trigger":
        assert (relabeled[mask] == 0).all()


def test_at_least_one_sample_is_turned_and_none_at_proportion_zero():
    inputs, labels = images(5)
    assert turn(build("noise"), inputs, labels, 0.01, rng())[2].sum() == 1
    assert turn(build("noise"), inputs, labels, 0.0, rng())[2].sum() == 0
    assert turn(build("noise"), inputs, labels, 1.0, rng())[2].all()


def test_a_held_out_class_is_the_whole_ood_test_set():
    inputs, labels = images(40)
    shift = build("held_out_class", held_out=2)
    assert shift.takes_all
    np.testing.assert_array_equal(shift.reserved(labels), labels == 2)
    iid, iid_labels, ood, ood_labels = split_test(shift, inputs, labels, 0.1, rng())
    np.testing.assert_array_equal(ood, inputs[labels == 2])
    np.testing.assert_array_equal(iid, inputs[labels != 2])
    assert set(ood_labels.tolist()) == {2}
    assert set(iid_labels.tolist()) == {0, 1, 3}


def test_a_source_of_a_held_out_class_gets_reserved_samples():
    inputs, labels = images(80)
    shift = build("held_out_class", held_out=2)
    reserved = shift.reserved(labels)
    pool = inputs[reserved], labels[reserved]
    own = inputs[~reserved], labels[~reserved]
    turned, relabeled, mask = turn(shift, *own, 0.2, rng(), pool)
    assert mask.sum() == 12
    assert (relabeled[mask] == 2).all()
    known = {image.tobytes() for image in pool[0]}
    new = {image.tobytes() for image in turned[mask]}
    assert len(new) == 12
    assert new <= known
    np.testing.assert_array_equal(turned[~mask], own[0][~mask])


def test_a_short_pool_is_used_up_and_no_pool_changes_nothing():
    inputs, labels = images(40)
    shift = build("held_out_class", held_out=2)
    own = inputs[labels != 2], labels[labels != 2]
    assert turn(shift, *own, 0.5, rng(), (inputs[2:3], labels[2:3]))[2].sum() == 1
    assert turn(shift, *own, 0.5, rng())[2].sum() == 0


def test_a_task_of_tinymem_can_be_held_out():
    tokens, labels = texts(20)
    shift = OODS["held_out_class"](TOKENS, held_out=4)
    assert len(split_test(shift, tokens, labels, 0.1, rng())[2]) == 4


def test_a_class_that_is_not_there_cannot_be_held_out():
    with pytest.raises(Fault, match=r"ood\.held_out = 4: classes are 0 to 3"):
        build("held_out_class", held_out=4)


def test_none_turns_nothing():
    inputs, labels = images(10)
    iid, _, ood, _ = split_test(build("none"), inputs, labels, 0.5, rng())
    np.testing.assert_array_equal(iid, inputs)
    assert len(ood) == 0
    assert not turn(build("none"), inputs, labels, 1.0, rng())[2].any()


@pytest.mark.parametrize("kind", sorted(OODS))
def test_parameters_are_ones_a_run_file_may_set(kind):
    settings = OODS.settings(kind)()
    assert OODS[kind](TOKENS if kind == "tinymem_trigger" else IMAGE, **settings.model_dump())
