"""The residual Q-network, for observations that are grids."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxdqn.networks.dense import BY_OUTPUT, DenseSettings
from jaxdqn.networks.grids import check_is_grid
from jaxdqn.networks.network import Seen, SideBySide
from jaxdqn.settings import static
from jaxdqn.types import Array, PRNGKey

FILLS_A_GPU = 64
"""Channels from which on one agent keeps a GPU busy."""


def of_shifts(x: Array, kernel: Array) -> Array:
    """Return the 3×3 convolution of ``[H, W, C]``, zeros around, with a kernel ``[O, 9 C]``."""
    height, width, _ = x.shape
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
    shifted = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.einsum("hwi,oi->hwo", jnp.concatenate(shifted, axis=-1), kernel)


def of_windows(x: Array, kernel: Array) -> Array:
    """Return the same by the device's own convolution."""
    by_place = kernel.reshape(len(kernel), 3, 3, x.shape[-1])
    orders = ("NHWC", "OHWI", "NHWC")
    found = jax.lax.conv_general_dilated(
        x[None], by_place, (1, 1), "SAME", dimension_numbers=orders
    )
    return found[0]


class Conv3x3(nn.Module):
    """A 3×3 convolution with zero padding, as nine shifted grids times one matrix.

    The device's own is several times slower on a CPU, inside a scan, and under a vmap over weights
    it becomes a grouped convolution, where a matrix product stays a matrix product. It is taken on
    a GPU, for channels so many that agents take turns.

    Attributes:
        channels: of the result.
        dtype: of what is multiplied, and of the products' sums.
    """

    channels: int
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map a grid ``[H, W, C]`` to ``[H, W, channels]``, float32."""
        inputs = x.shape[-1]
        kernel, bias = Weights((self.channels, 9 * inputs), name="Einsum_0")()
        wide = min(inputs, self.channels) >= FILLS_A_GPU
        # Chosen here rather than by lax.platform_dependent, a branch of which the gradient keeps
        # what both sides need.
        convolve = of_windows if wide and jax.default_backend() == "gpu" else of_shifts
        found = convolve(x.astype(self.dtype), kernel.astype(self.dtype))
        return found.astype(jnp.float32) + bias[None, None]


class Weights(nn.Module):
    """Those of a linear map: kernel ``[outputs, inputs]`` and bias ``[outputs]``."""

    shape: tuple[int, int]

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        """Return both, float32."""
        kernel = self.param("kernel", BY_OUTPUT, self.shape)
        return kernel, self.param("bias", nn.initializers.zeros, self.shape[:1])


class Residual(nn.Module):
    """A pre-activation residual network for grids (He et al., 2016, arXiv:1603.05027).

    Stem, ``blocks`` residual blocks of two 3×3 convolutions, then ``dense``. The grid keeps its
    size throughout and is flattened, not pooled, since in a maze the place is the point.
    """

    dense: nn.Module
    channels: int
    blocks: int
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, obs: Array, key: PRNGKey | None = None) -> Array:
        """Map one observation ``[H, W, C]`` of any dtype to outputs ``[A, K]``."""
        act, norm = self.dense.activation, self.dense.layer_norm
        x = Conv3x3(self.channels, dtype=self.dtype)(obs.astype(jnp.float32))
        for _ in range(self.blocks):
            y = x
            for _ in range(2):
                y = act(nn.LayerNorm()(y) if norm else y)
                y = Conv3x3(self.channels, dtype=self.dtype)(y)
            x = x + y
        return self.dense(act(x), key)


class ResidualSettings(DenseSettings):
    """A residual convolutional network, for grids (H, W, C)."""

    channels: int = static(32, low=1)
    """Channels of the convolutions."""
    blocks: int = static(2, low=1)
    """Residual blocks, of two convolutions each."""
    precision: Literal["float32", "bfloat16"] = static("float32")
    """Of what convolutions take and give; all between them is float32."""

    @property
    def products(self) -> float:
        """Multiplications for one observation: a grid's are many, whatever its size."""
        return math.inf

    def check_reads(self, seen: Seen) -> None:
        """Refuse, with a ``ConfigError``, observations that are no grid."""
        check_is_grid("residual", seen)

    def side_by_side(self, width: int) -> SideBySide:
        """Most agents to train at the same time, with ``width`` numbers for each action."""
        del width  # convolutions are most of it
        return SideBySide(core=1, other=1 if self.channels >= FILLS_A_GPU else None)

    def module(self, layers: nn.Module, categories: int | None) -> nn.Module:
        """Return what reads a grid, and dense layers behind it."""
        del categories  # planes are quantities
        dtype = jnp.dtype(self.precision)
        return Residual(layers, channels=self.channels, blocks=self.blocks, dtype=dtype)
