"""Dense layers in two streams, with noise in their weights, or asked at fractions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxdqn.random import unrolled
from jaxdqn.types import Array, Params, PRNGKey

SIGMA = 0.5
"""Scale of the noise at first, over the root of the number of inputs (Fortunato et al., 2018)."""
COSINES = 64
"""Of a fraction, for the network to read it by (Dabney et al., 2018)."""


class Linear(nn.Module):
    """A linear layer, of which one with a ``number`` has noise in its weights.

    The noise is factorised (Fortunato et al., 2018, arXiv:1706.10295): that of the weight from
    input ``i`` to output ``j`` is ``f(e_i) f(e_j)``, with ``f(e) = sign(e) sqrt(abs(e))`` of a
    normal number for each input and output. Its scales are learned beside the means.
    """

    outputs: int
    number: int | None

    @nn.compact
    def __call__(self, x: Array, key: PRNGKey | None) -> Array:
        """Map ``[..., inputs]`` to ``[..., outputs]``; without a key by the means."""
        inputs = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (inputs, self.outputs))
        bias = self.param("bias", nn.initializers.zeros, (self.outputs,))
        y = x @ kernel + _like(bias, x)
        # Weights that ``perturb`` has made have their noise in them and no scales.
        has_scales = self.is_initializing() or self.has_variable("params", "kernel_scale")
        if self.number is None or not has_scales:
            return y
        scale = nn.initializers.constant(SIGMA / inputs**0.5)
        kernel_scale = self.param("kernel_scale", scale, kernel.shape)
        bias_scale = self.param("bias_scale", scale, bias.shape)
        if key is None:
            return y
        # Not by noisy weights: a matrix for each environment costs more than a second product.
        of_inputs, of_outputs = noise(key, self.number, *kernel.shape)
        noisy = (x * _like(of_inputs, x)) @ kernel_scale + _like(bias_scale, x)
        return y + _like(of_outputs, x) * noisy


class Streams(nn.Module):
    """Hidden dense layers, then one or two streams to ``[A, K]``.

    With ``dueling`` (Wang et al., 2016, arXiv:1511.06581) the last hidden layer is there twice:
    for the value of the state, and for the advantages of the actions, whose mean is taken off.

    With ``at_fractions`` (Dabney et al., 2018, arXiv:1806.06923) the last hidden layer reads the
    features times an embedding of each of K fractions, and outputs are ``[A, 2 K]``: the values,
    then the fractions. With a key these are drawn, without one they are midpoints.
    """

    num_actions: int
    width: int  # K
    widths: Sequence[int]
    activation: Callable[[Array], Array]
    layer_norm: bool
    dueling: bool
    noisy: bool
    at_fractions: bool

    @nn.compact
    def __call__(self, features: Array, key: PRNGKey | None = None) -> Array:
        """Map features ``[...]``, flattened, to outputs; the key pays for noise and fractions."""
        key_fractions, key_noise = (None, None) if key is None else jax.random.split(unrolled(key))
        count = 0

        def linear(x: Array, outputs: int) -> Array:
            nonlocal count
            count += 1
            number = count if self.noisy else None
            return Linear(outputs, number, name=f"linear_{count}")(x, key_noise)

        def hidden(x: Array, widths: Sequence[int]) -> Array:
            for size in widths:
                x = linear(x, size)
                x = self.activation(nn.LayerNorm()(x) if self.layer_norm else x)
            return x

        def stream(x: Array, rows: int, columns: int) -> Array:
            y = linear(hidden(x, self.widths[-1:]), rows * columns)
            return y.reshape(*y.shape[:-1], rows, columns)

        x = hidden(features.reshape(-1), self.widths[:-1])
        if self.at_fractions:
            fractions = _fractions(self.width, key_fractions)
            waves = jnp.cos(jnp.pi * fractions[:, None] * jnp.arange(COSINES)[None, :])
            x = x[None, :] * jax.nn.relu(nn.Dense(x.size, name="fractions")(waves))
        columns = 1 if self.at_fractions else self.width
        outputs = stream(x, self.num_actions, columns)
        if self.dueling:
            outputs = outputs - jnp.mean(outputs, axis=-2, keepdims=True)
            outputs = outputs + stream(x, 1, columns)
        if not self.at_fractions:
            return outputs
        values = outputs[..., 0].T
        return jnp.concatenate([values, jnp.broadcast_to(fractions[None], values.shape)], axis=1)


def perturb(params: Params, key: PRNGKey) -> Params:
    """Return weights with one draw of noise in them, in place of means and scales.

    Many observations are read by these at the price of one draw, and of one product each.
    """

    def within(tree: Any, name: str) -> Any:
        if not isinstance(tree, Mapping):
            return tree
        if "kernel_scale" not in tree:
            return {inner: within(value, inner) for inner, value in tree.items()}
        number = int(name.rpartition("_")[2])
        of_inputs, of_outputs = noise(key, number, *tree["kernel"].shape)
        return {
            "kernel": tree["kernel"] + tree["kernel_scale"] * jnp.outer(of_inputs, of_outputs),
            "bias": tree["bias"] + tree["bias_scale"] * of_outputs,
        }

    return within(params, "")


def noise(key: PRNGKey, number: int, inputs: int, outputs: int) -> tuple[Array, Array]:
    """Return the factors of one layer's noise, ``[inputs]`` and ``[outputs]``."""
    half = -(-(inputs + outputs) // 2)

    def draw(turn: Array) -> Array:
        drawn = jax.random.normal(jax.random.fold_in(unrolled(key), turn), (half,))
        return jnp.sign(drawn) * jnp.sqrt(jnp.abs(drawn))

    # In a loop of two turns, since XLA fuses nothing with a loop and takes one turn for none: else
    # it would draw anew for each of the weights that a factor multiplies.
    factors = jax.lax.map(draw, 2 * number + jnp.arange(2)).reshape(-1)
    return factors[:inputs], factors[inputs : inputs + outputs]


def _fractions(count: int, key: PRNGKey | None) -> Array:
    if key is None:
        return (jnp.arange(count) + 0.5) / count
    return jax.random.uniform(key, (count,))


def _like(vector: Array, array: Array) -> Array:
    """Return a vector ``[K]`` with as many axes as an array ``[..., K]``."""
    return vector.reshape((1,) * (array.ndim - 1) + vector.shape)
