"""The residual Q-network, for observations that are grids."""

import math

import jax.numpy as jnp
from flax import linen as nn

from jaxdqn.networks.dense import BY_OUTPUT, DenseSettings
from jaxdqn.networks.network import Seen
from jaxdqn.settings import static
from jaxdqn.types import Array, ConfigError, PRNGKey


class Conv3x3(nn.Module):
    """A 3×3 convolution with zero padding, as nine shifted grids times one matrix.

    ``nn.Conv`` is the same function, but XLA on CPU runs it several times slower inside a scan,
    and under a vmap over weights it becomes a grouped convolution, where a matrix product stays a
    matrix product.
    """

    channels: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map a grid ``[H, W, C]`` to ``[H, W, channels]``."""
        height, width, channels = x.shape
        padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
        shifted = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
        shape = (self.channels, 9 * channels)
        linear = nn.Einsum(shape, "hwi,oi->hwo", kernel_init=BY_OUTPUT)
        return linear(jnp.concatenate(shifted, axis=-1))


class Residual(nn.Module):
    """A pre-activation residual network for grids (He et al., 2016, arXiv:1603.05027).

    Stem, ``blocks`` residual blocks of two 3×3 convolutions, then ``dense``. The grid keeps its
    size throughout and is flattened, not pooled, since in a maze the place is the point.
    """

    dense: nn.Module
    channels: int
    blocks: int

    @nn.compact
    def __call__(self, obs: Array, key: PRNGKey | None = None) -> Array:
        """Map one observation ``[H, W, C]`` of any dtype to outputs ``[A, K]``."""
        act, norm = self.dense.activation, self.dense.layer_norm
        x = Conv3x3(self.channels)(obs.astype(jnp.float32))
        for _ in range(self.blocks):
            y = x
            for _ in range(2):
                y = act(nn.LayerNorm()(y) if norm else y)
                y = Conv3x3(self.channels)(y)
            x = x + y
        return self.dense(act(x), key)


class ResidualSettings(DenseSettings):
    """A residual convolutional network, for grids (H, W, C)."""

    channels: int = static(32, low=1)
    """Channels of the convolutions."""
    blocks: int = static(2, low=1)
    """Residual blocks, of two convolutions each."""

    @property
    def products(self) -> float:
        """Multiplications for one observation: a grid's are many, whatever its size."""
        return math.inf

    def check_reads(self, seen: Seen) -> None:
        """Refuse, with a ``ConfigError``, observations that are no grid."""
        if len(seen.shape) != 3:
            remedy = "env_kwargs.observation = 'planes'" if seen.is_maze else "network = 'mlp'"
            raise ConfigError(
                f"network ('residual') needs observations of shape (H, W, C), but {seen.env} gives "
                f"{seen.shape}: set {remedy}."
            )

    @property
    def side_by_side(self) -> int:
        """Most agents to train side by side on one CPU core."""
        return 1

    def module(self, layers: nn.Module, categories: int | None) -> nn.Module:
        """Return what reads a grid, and dense layers behind it."""
        del categories  # planes are quantities
        return Residual(layers, channels=self.channels, blocks=self.blocks)
