"""Transformers for tokens and for images, made of one kind of block."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention of a sequence to itself; causal if no token may see a later one."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)

    def forward(self, sequence: Tensor) -> Tensor:
        """Map ``(B, L, width)`` to ``(B, L, width)``."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.inward(sequence).chunk(3, dim=-1)
        )
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        attended: Tensor = self.outward(seen.transpose(1, 2).flatten(2))
        return attended


class Block(nn.Module):
    """Attention, then a perceptron, each after a layer norm and added to its input."""

    def __init__(
        self, width: int, heads: int, hidden: int, activation: nn.Module, causal: bool
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = Attention(width, heads, causal)
        self.inward = nn.Linear(width, hidden)
        self.activation = activation
        self.outward = nn.Linear(hidden, width)

    def forward(self, sequence: Tensor) -> Tensor:
        """Map ``(B, L, width)`` to ``(B, L, width)``."""
        sequence = sequence + self.attention(self.norms[0](sequence))
        inner = self.activation(self.inward(self.norms[1](sequence)))
        total: Tensor = sequence + self.outward(inner)
        return total


class LanguageModel(nn.Module):
    """GPT-2: logits of the next token at each position; input and output share one embedding."""

    def __init__(
        self, vocabulary: int, positions: int, layers: int, heads: int, width: int
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.blocks = nn.Sequential(
            *(Block(width, heads, 4 * width, nn.ReLU(inplace=True), True) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width)
        self._draw(0.8 / width**0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map integer tokens ``(B, L)``, of any integer type, to logits ``(B, L, V)``."""
        sequence = self.tokens(tokens.long()) + self.positions.weight[: tokens.shape[1]]
        return functional.linear(self.norm(self.blocks(sequence)), self.tokens.weight)

    def _draw(self, deviation: float) -> None:
        # As in GPT-2, additions to the residual stream start smaller in a deeper model.
        residual = deviation / (2 * len(self.blocks)) ** 0.5
        for name, part in self.named_modules():
            if isinstance(part, nn.Embedding | nn.Linear):
                nn.init.normal_(part.weight, std=residual if "outward" in name else deviation)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)


class VisionTransformer(nn.Module):
    """Class scores of an image cut into square patches, read from a class token in front."""

    def __init__(
        self,
        image: tuple[int, int, int],
        outputs: int,
        patch: int,
        layers: int,
        heads: int,
        width: int,
        hidden: int,
    ) -> None:
        super().__init__()
        channels, high, wide = image
        length = 1 + (high // patch) * (wide // patch)
        self.patches = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        self.start = nn.Embedding(1, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.Sequential(
            *(Block(width, heads, hidden, nn.GELU(), causal=False) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)
        nn.init.normal_(self.start.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(B, channels, H, W)`` to scores ``(B, C)``."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        # Under autocast patches are half precision while the class token is not.
        start = self.start.weight.to(patches.dtype).expand(len(images), 1, -1)
        sequence = torch.cat([start, patches], dim=1) + self.positions.weight
        scores: Tensor = self.head(self.norm(self.blocks(sequence))[:, 0])
        return scores
