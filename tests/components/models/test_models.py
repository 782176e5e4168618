"""Every registered model: its size, its shapes, its first weights, and what it refuses."""

import subprocess
import sys
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mpidl.components.models import MODELS, Shape
from mpidl.config.faults import Fault

DIGITS = Shape((1, 8, 8), 10)
MNIST = Shape((1, 28, 28), 10)
CIFAR10 = Shape((3, 32, 32), 10)
CIFAR100 = Shape((3, 32, 32), 100)
TINYMEM = Shape((150,), 14, vocabulary=14)
NAMES = sorted(MODELS)
NORMALISED = ["mobilenet_v2", "resnet18", "resnet50", "vgg16"]

COUNTS = [
    ("logistic", DIGITS, {}, 650),
    ("logistic", MNIST, {}, 7_850),
    ("mlp", MNIST, {}, 5_076_998),
    ("mlp", DIGITS, {}, 2_819_078),
    ("mlp", DIGITS, {"hidden": [32]}, 2_410),
    ("mlp", DIGITS, {"hidden": []}, 650),
    ("cnn", CIFAR10, {}, 5_851_338),
    ("vgg16", CIFAR10, {}, 14_728_266),
    ("vgg16", CIFAR100, {}, 14_774_436),
    ("resnet18", CIFAR10, {}, 11_173_962),
    ("resnet50", CIFAR10, {}, 23_520_842),
    ("mobilenet_v2", CIFAR10, {}, 2_296_922),
    ("vit", CIFAR10, {}, 9_612_810),
    ("transformer", TINYMEM, {}, 814_336),
    ("transformer", TINYMEM, {"layers": 1}, 219_520),
]


def build(name: str, shape: Shape, seed: int = 0, **parameters: Any) -> nn.Module:
    torch.manual_seed(seed)
    model: nn.Module = MODELS[name](shape, **parameters)
    return model


@cache
def accepted(name: str) -> Shape:
    """The first of two common shapes that a model takes."""
    with torch.device("meta"):
        for shape in (CIFAR10, TINYMEM):
            try:
                MODELS[name](shape)
            except Fault:
                continue
            return shape
    raise AssertionError(f"{name} takes neither CIFAR-10 nor TinyMem")


@cache
def built(name: str) -> nn.Module:
    return build(name, accepted(name)).eval()


def samples(shape: Shape, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if shape.vocabulary:
        return torch.randint(0, shape.vocabulary, (count, *shape.inputs), generator=generator)
    return torch.randn(count, *shape.inputs, generator=generator)


@pytest.mark.parametrize(("name", "shape", "parameters", "count"), COUNTS)
def test_parameter_counts(name, shape, parameters, count):
    with torch.device("meta"):
        model = MODELS[name](shape, **parameters)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_every_model_has_a_counted_size():
    assert {name for name, *_ in COUNTS} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns_from_an_output_of_the_right_shape(name):
    shape, model = accepted(name), built(name)
    outputs = model(samples(shape, 2))
    expected = (2, *shape.inputs, shape.outputs) if shape.vocabulary else (2, shape.outputs)
    assert outputs.shape == expected
    assert outputs.isfinite().all()

    outputs.logsumexp(dim=-1).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key
    model.zero_grad()


@pytest.mark.parametrize("name", NAMES)
def test_samples_of_a_batch_do_not_meet_in_evaluation(name):
    model, inputs = built(name), samples(accepted(name), 3)
    with torch.inference_mode():
        together, alone = model(inputs)[1:2], model(inputs[1:2])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_models(name):
    first, again = built(name).state_dict(), build(name, accepted(name)).state_dict()
    assert list(first) == list(again)
    for key, values in first.items():
        assert torch.equal(values, again[key]), key
    other = dict(build(name, accepted(name), seed=1).named_parameters())
    assert any(not torch.equal(first[key], other[key]) for key in other)


@pytest.mark.parametrize("name", NAMES)
def test_training_draws_no_random_number(name):
    model = build(name, accepted(name)).train()
    before = torch.get_rng_state()
    model(samples(accepted(name), 2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_state_is_floating_point_but_for_batch_counters(name):
    others = {
        key for key, values in built(name).state_dict().items() if not values.is_floating_point()
    }
    assert all(key.endswith("num_batches_tracked") for key in others)
    assert bool(others) == (name in NORMALISED)


@pytest.mark.parametrize("name", NORMALISED)
def test_batch_norm_trains_on_a_single_sample_of_the_smallest_size(name):
    side = 32 if name == "vgg16" else 16
    shape = Shape((1, side, side), 2)
    model = build(name, shape).train()
    before = {key: values.clone() for key, values in model.named_buffers()}
    outputs = model(samples(shape, 1))
    assert outputs.shape == (1, 2)
    outputs.sum().backward()
    assert all(not torch.equal(values, before[key]) for key, values in model.named_buffers())


@pytest.mark.parametrize(
    ("name", "shape", "need"),
    [
        ("mlp", TINYMEM, "'mlp': needs images; the data set has sequences of 150 tokens."),
        ("logistic", TINYMEM, "needs images"),
        ("cnn", Shape((1, 8, 7), 10), "at least 8x8 pixels; the data set has images of 1x8x7."),
        ("cnn", Shape((64,), 10), "needs images; the data set has samples of 64."),
        ("vgg16", DIGITS, "'vgg16': needs images of at least 32x32 pixels"),
        ("vgg16", MNIST, "at least 32x32 pixels; the data set has images of 1x28x28."),
        ("resnet18", DIGITS, "at least 16x16 pixels"),
        ("resnet50", DIGITS, "at least 16x16 pixels"),
        ("mobilenet_v2", DIGITS, "at least 16x16 pixels"),
        ("vit", Shape((3, 33, 32), 10), "multiples of 2 pixels"),
        ("transformer", DIGITS, "needs sequences of tokens"),
        ("transformer", Shape((150,), 5, vocabulary=14), "150 tokens and 5 classes."),
    ],
)
def test_a_wrong_shape_is_told_in_one_sentence(name, shape, need):
    with pytest.raises(Fault) as fault:
        MODELS[name](shape)
    assert len(fault.value.sentences) == 1
    assert need in str(fault.value)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"transformer"}))
def test_no_image_model_takes_tokens(name):
    with pytest.raises(Fault, match="needs images"):
        MODELS[name](TINYMEM)


@pytest.mark.parametrize(("name", "shape"), [("vit", CIFAR10), ("transformer", TINYMEM)])
def test_heads_must_divide_the_width(name, shape):
    with pytest.raises(Fault, match=r"model\.heads = 3: must divide model\.width, which is 128\."):
        MODELS[name](shape, heads=3, width=128)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp", DIGITS),
        ("logistic", DIGITS),
        ("cnn", DIGITS),
        ("cnn", MNIST),
        ("vit", DIGITS),
        ("resnet18", MNIST),
        ("resnet18", Shape((3, 17, 23), 4)),
        ("mobilenet_v2", MNIST),
        ("vgg16", Shape((3, 33, 64), 5)),
    ],
)
def test_other_sizes_of_images(name, shape):
    with torch.device("meta"):
        outputs = MODELS[name](shape)(torch.empty(2, *shape.inputs))
    assert outputs.shape == (2, shape.outputs)


def test_run_files_are_checked_without_torch():
    command = "import sys; from mpidl.components.models import MODELS; MODELS.describe(); "
    command += "print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_parameters_of_a_run_file_are_checked():
    settings = MODELS.settings("mlp")
    assert settings(hidden=[8]).model_dump() == {"hidden": [8]}
    for wrong in ([0], [1.5], 8, ["8"]):
        with pytest.raises(ValueError, match="hidden"):
            settings(hidden=wrong)
