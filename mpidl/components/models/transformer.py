"""The small language model of the paper's TinyMem task."""

from typing import TYPE_CHECKING

from mpidl.components.models.shape import MODELS, Depth, Shape, Width, divide

if TYPE_CHECKING:
    from torch import nn


@MODELS.add
def transformer(
    shape: Shape, /, layers: Depth = 4, heads: Width = 4, width: Width = 128
) -> "nn.Module":
    """GPT-2 style transformer that predicts the next token, with ReLU and tied embeddings.

    814,336 parameters on TinyMem (14 tokens, 150 positions), 219,520 with one layer. Maps integers
    ``(B, L)`` to logits ``(B, L, V)``. After Radford et al., "Language models are unsupervised
    multitask learners" (2019), without dropout and with the larger first weights of TinyMem.
    """
    divide(width, heads)
    positions = shape.tokens("transformer")
    from mpidl.components.models.attention import LanguageModel

    return LanguageModel(shape.vocabulary, positions, layers, heads, width)
