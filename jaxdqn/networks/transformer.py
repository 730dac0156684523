"""A decoder-only transformer: one trunk, read as a language model and as a Q-network."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from jaxdqn.settings import static
from jaxdqn.types import Array

WIDER = 4
"""Width of the layer within a block, in widths of the trunk."""

SMALL = nn.initializers.normal(0.02)


class Block(nn.Module):
    """Attention, then two dense layers, each added to what it is given after normalising it
    (Vaswani et al., 2017, arXiv:1706.03762; normalised before as in Xiong et al., 2020,
    arXiv:2002.04745).
    """

    heads: int
    depth: int
    decode: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Array, mask: Array | None) -> Array:
        """Map ``[T, D]`` to ``[T, D]``."""
        # What is added to the trunk starts the smaller the more of it there is (GPT-2).
        last = nn.initializers.normal(0.02 / (2 * self.depth) ** 0.5)
        size = x.shape[-1]
        attention = nn.MultiHeadDotProductAttention(
            self.heads, dtype=self.dtype, kernel_init=SMALL, out_kernel_init=last,
            decode=self.decode, name="attention",
        )  # fmt: skip
        x = x + attention(nn.LayerNorm(dtype=self.dtype)(x), mask=mask)
        y = nn.Dense(WIDER * size, dtype=self.dtype, kernel_init=SMALL, name="widen")(
            nn.LayerNorm(dtype=self.dtype)(x)
        )
        return x + nn.Dense(size, dtype=self.dtype, kernel_init=last, name="narrow")(nn.gelu(y))


class Trunk(nn.Module):
    """Tokens to what is known after each of them.

    Attributes:
        vocabulary: tokens that there are.
        context: most tokens in a text.
        layers: blocks.
        heads: of attention.
        width: numbers per token (D).
        decode: read one token at a time, attending to those before through a cache, which
            ``init`` on a text of the length to come makes.
        dtype: of the activations; weights are float32.
    """

    vocabulary: int
    context: int
    layers: int
    heads: int
    width: int
    decode: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        """Map tokens ``[T]`` to ``[T, D]``; row t depends on tokens up to t alone."""
        embed = nn.Embed(self.vocabulary, self.width, embedding_init=SMALL, name="tokens")
        places = self.param("places", SMALL, (self.context, self.width))
        if self.decode:
            # Of a cache that is being made the place isn't moved.
            made = self.has_variable("cache", "place")
            place = self.variable("cache", "place", lambda: jnp.int32(0))
            here = jax.lax.dynamic_slice_in_dim(places, place.value, len(tokens) if made else 1)
            place.value += len(tokens) if made else 0
            mask = None
        else:
            here, mask = places[: len(tokens)], nn.make_causal_mask(tokens)
        x = (embed(tokens.astype(jnp.int32)) + here).astype(self.dtype)
        for layer in range(self.layers):
            block = Block(self.heads, self.layers, self.decode, self.dtype, name=f"block_{layer}")
            x = block(x, mask)
        return nn.LayerNorm(dtype=self.dtype, name="norm")(x)


class LanguageModel(nn.Module):
    """The trunk, then a number for each token that may be next."""

    trunk: Trunk

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        """Map tokens ``[T]`` to logits of the next ones, float32 ``[T, V]``."""
        logits = nn.Dense(self.trunk.vocabulary, kernel_init=SMALL, name="output")
        return logits(self.trunk(tokens).astype(jnp.float32))


class TrunkSettings(struct.PyTreeNode):
    """The shape of a transformer."""

    layers: int = static(2, low=1)
    """Blocks of attention and dense layers."""
    heads: int = static(4, low=1)
    """Heads of attention in a block."""
    width: int = static(64, low=1)
    """Numbers per token, a multiple of heads."""
