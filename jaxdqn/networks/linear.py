"""Linear layers, with noise in their weights or without, and vectors that they read by rows."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from jaxdqn.types import Array

Factors = tuple[Array, Array]
"""Of one layer's noise, ``[inputs]`` and ``[outputs]``."""
SIGMA = 0.5
"""Scale of the noise at first, over the root of the number of inputs (Fortunato et al., 2018)."""


class OneHot(struct.PyTreeNode):
    """Names, one-hot encoded and joined to one vector ``[T * N]`` that is never written.

    Its product with a matrix is the sum of T rows.

    Attributes:
        names: int32 ``[T]``.
        count: of different names (N).
        factors: what the ones are multiplied by, float32 ``[T]``; None for ones.
    """

    names: Array
    count: int = struct.field(pytree_node=False)
    factors: Array | None = None

    @property
    def shape(self) -> tuple[int]:
        """Of the vector."""
        return (self.names.size * self.count,)

    def _of(self, rows: Array) -> Array:
        """Return the entries ``[T, ...]`` of rows ``[T * N, ...]`` where the ones are."""
        return _rows(rows.reshape(self.names.size, self.count, *rows.shape[1:]), self.names)

    def __mul__(self, vector: Array) -> "OneHot":
        factors = self._of(vector)
        return self.replace(factors=factors if self.factors is None else self.factors * factors)

    def __matmul__(self, matrix: Array) -> Array:
        rows = self._of(matrix)
        return jnp.sum(rows if self.factors is None else self.factors[:, None] * rows, axis=0)

    def written(self) -> Array:
        """Return the vector."""
        vector = jax.nn.one_hot(self.names, self.count)
        return (vector if self.factors is None else self.factors[:, None] * vector).reshape(-1)


Features = Array | OneHot


@jax.custom_jvp
def _rows(tables: Array, names: Array) -> Array:
    """Return the row of each of T tables ``[T, N, ...]`` that a name says, ``[T, ...]``."""
    count = tables.shape[1]
    places = jnp.arange(len(names)) * count + names
    lines = tables.reshape(-1, *tables.shape[2:])
    found: Array = jnp.asarray(lines).at[places].get(mode="promise_in_bounds")
    return found


@_rows.defjvp
def _rows_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return rows, and their tangents as products: the transpose of a lookup is a scatter."""
    tables, names = primals
    chosen = jax.nn.one_hot(names, tables.shape[1])
    return _rows(tables, names), jnp.einsum("tn,tn...->t...", chosen, tangents[0])


def flat(features: Features) -> Features:
    """Return features ``[...]`` as one vector."""
    return features if isinstance(features, OneHot) else features.reshape(-1)


def written(x: Features) -> Array:
    """Return a vector as an array, for what isn't a linear layer."""
    return x.written() if isinstance(x, OneHot) else x


class Linear(nn.Module):
    """A linear layer, if ``noisy`` with noise in its weights.

    The noise is factorised (Fortunato et al., 2018, arXiv:1706.10295): that of the weight from
    input ``i`` to output ``j`` is ``f(e_i) f(e_j)``, with ``f(e) = sign(e) sqrt(abs(e))`` of a
    normal number for each input and output. Its scales are learned beside the means.
    """

    outputs: int
    noisy: bool = False

    @nn.compact
    def __call__(self, x: Features, factors: Factors | None = None) -> Array:
        """Map ``[..., inputs]`` to ``[..., outputs]``; without factors by the means."""
        inputs = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (inputs, self.outputs))
        bias = self.param("bias", nn.initializers.zeros, (self.outputs,))
        y = product(x, kernel) + _like(bias, x)
        # Weights that ``perturb`` has made have their noise in them and no scales.
        has_scales = self.is_initializing() or self.has_variable("params", "kernel_scale")
        if not (self.noisy and has_scales):
            return y
        scale = nn.initializers.constant(SIGMA / inputs**0.5)
        kernel_scale = self.param("kernel_scale", scale, kernel.shape)
        bias_scale = self.param("bias_scale", scale, bias.shape)
        if factors is None:
            return y
        # Not by noisy weights: a matrix for each environment costs more than a second product.
        of_inputs, of_outputs = factors
        noisy = (x * _like(of_inputs, x)) @ kernel_scale + _like(bias_scale, x)
        return y + _like(of_outputs, x) * noisy


def product(x: Features, kernel: Array) -> Array:
    """Return ``x @ kernel``."""
    if isinstance(x, OneHot) or x.ndim < 2:
        return x @ kernel
    # Of several rows for each sample XLA on CPU computes the kernel's gradient three to twelve
    # times as fast where the kernel lies by outputs (benchmarks/NOTES.md).
    by_output = jax.lax.optimization_barrier(kernel.T)
    return jnp.einsum("...i,oi->...o", x, by_output)


def _like(vector: Array, x: Features) -> Array:
    """Return a vector ``[K]`` with as many axes as features ``[..., inputs]``."""
    return vector.reshape((1,) * (len(x.shape) - 1) + vector.shape)
