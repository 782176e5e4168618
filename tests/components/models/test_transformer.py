"""The TinyMem transformer is causal, and is the GPT-2 of the ``transformers`` package."""

from typing import Any

import pytest
import torch
from torch import nn

from mpidl.components.models import MODELS, Shape

TINYMEM = Shape((150,), 14, vocabulary=14)
PARTS = {
    "norms.0": "ln_1",
    "norms.1": "ln_2",
    "attention.inward": "attn.c_attn",
    "attention.outward": "attn.c_proj",
    "inward": "mlp.c_fc",
    "outward": "mlp.c_proj",
}
"""Names of our layers inside a block, and GPT-2's names for the same."""


def build(**parameters: Any) -> nn.Module:
    torch.manual_seed(3)
    model: nn.Module = MODELS["transformer"](TINYMEM, **parameters)
    return model


def sequences(count: int) -> torch.Tensor:
    return torch.randint(0, 14, (count, 150), generator=torch.Generator().manual_seed(5))


def published_name(name: str) -> str:
    """GPT-2's name for one of our parameters."""
    whole = {
        "tokens.weight": "transformer.wte.weight",
        "positions.weight": "transformer.wpe.weight",
        "norm.weight": "transformer.ln_f.weight",
        "norm.bias": "transformer.ln_f.bias",
    }
    if name in whole:
        return whole[name]
    _, number, rest = name.split(".", 2)
    part, kind = rest.rsplit(".", 1)
    return f"transformer.h.{number}.{PARTS[part]}.{kind}"


@pytest.fixture(scope="module")
def gpt2() -> Any:
    transformers = pytest.importorskip(
        "transformers", reason="the reference GPT-2 is in transformers"
    )
    torch.manual_seed(7)
    config = transformers.GPT2Config(
        vocab_size=14,
        n_positions=150,
        n_embd=128,
        n_layer=4,
        n_head=4,
        activation_function="relu",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        layer_norm_epsilon=1e-5,
        initializer_range=0.8 / 128**0.5,
        bos_token_id=10,
        eos_token_id=11,
    )
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.mark.slow
@torch.no_grad()
def test_logits_equal_those_of_gpt2(gpt2):
    published = dict(gpt2.named_parameters())
    model = build().eval()
    names = {published_name(name) for name, _ in model.named_parameters()}
    assert names == set(published)

    for name, parameter in model.named_parameters():
        values = published[published_name(name)]
        # Biases and norms are moved off 0 and 1, lest a mix-up among them go unseen.
        if values.ndim == 1:
            values.add_(torch.randn_like(values), alpha=0.3)
        # GPT-2 keeps the transpose of every linear layer's matrix, but not of embeddings.
        linear = "blocks" in name and values.ndim == 2
        parameter.copy_(values.T if linear else values)

    for tokens in (sequences(4), sequences(2)[:, :17]):
        ours, theirs = model(tokens), gpt2(tokens).logits
        assert ours.std() > 0.5
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_first_weights_spread_as_those_of_gpt2(gpt2):
    for name, parameter in build().named_parameters():
        if parameter.ndim == 2:
            ours, theirs = parameter.std(), gpt2.get_parameter(published_name(name)).std()
            torch.testing.assert_close(ours, theirs, rtol=0.1, atol=0)
        else:
            expected = float("norm" in name and name.endswith("weight"))
            assert (parameter == expected).all(), name


@torch.no_grad()
def test_no_token_sees_a_later_one():
    model = build()
    tokens = sequences(2)
    changed = tokens.clone()
    changed[:, 60] = (changed[:, 60] + 1) % 14
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :60], after[:, :60], rtol=1e-5, atol=1e-5)
    assert (before[:, 60:] - after[:, 60:]).abs().amax(dim=(0, 2)).min() > 1e-4


@torch.no_grad()
def test_a_prefix_has_the_logits_it_has_in_the_whole():
    model, tokens = build(layers=2), sequences(2)
    torch.testing.assert_close(model(tokens[:, :9]), model(tokens)[:, :9], rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", [torch.uint8, torch.int32])
def test_tokens_of_any_integer_type(kind):
    model, tokens = build(layers=1, heads=2, width=16), sequences(2)
    assert torch.equal(model(tokens.to(kind)), model(tokens))
