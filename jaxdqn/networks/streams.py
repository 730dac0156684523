"""Dense layers in two streams, with noise in their weights, or asked at fractions."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxdqn.networks.linear import Factors, Features, Linear, flat, written
from jaxdqn.random import unrolled
from jaxdqn.types import Array, Params, PRNGKey

COSINES = 64
"""Of a fraction, for the network to read it by (Dabney et al., 2018)."""

SINE_OF_PI = np.array([
    (-1) ** n * math.pi ** (2 * n + 1) / math.factorial(2 * n + 1) for n in reversed(range(6))
], np.float32)  # fmt: skip
"""Taylor's series of sin(pi x) / x in x²; within 6e-8 for x up to 1/2."""


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

    @property
    def columns(self) -> int:
        """Numbers per action of the last layer."""
        return 1 if self.at_fractions else self.width

    def shapes(self, inputs: int) -> list[tuple[int, int]]:
        """Return inputs and outputs of each linear layer, in the order of their numbers."""
        shared = (inputs, *self.widths[:-1])
        streams = (self.num_actions, 1) if self.dueling else (self.num_actions,)
        lines = [(shared[-1], *self.widths[-1:], rows * self.columns) for rows in streams]
        return [pair for line in (shared, *lines) for pair in itertools.pairwise(line)]

    @nn.compact
    def __call__(self, features: Features, key: PRNGKey | None = None) -> Array:
        """Map features ``[...]``, flattened, to outputs; the key pays for noise and fractions."""
        key_fractions, key_noise = (None, None) if key is None else jax.random.split(unrolled(key))
        drawn: Iterator[Factors | None] = itertools.repeat(None)
        x = flat(features)
        if self.noisy and key_noise is not None:
            drawn = iter(noise(key_noise, self.shapes(x.shape[0])))
        numbers = itertools.count(1)

        def linear(x: Features, outputs: int) -> Array:
            name = f"linear_{next(numbers)}"
            return Linear(outputs, self.noisy, name=name)(x, next(drawn))

        def hidden(x: Features, widths: Sequence[int]) -> Features:
            for size in widths:
                x = linear(x, size)
                x = self.activation(nn.LayerNorm()(x) if self.layer_norm else x)
            return x

        def stream(x: Features, rows: int, columns: int) -> Array:
            y = linear(hidden(x, self.widths[-1:]), rows * columns)
            return y.reshape(*y.shape[:-1], rows, columns)

        x = hidden(x, self.widths[:-1])
        if self.at_fractions:
            x = written(x)
            fractions = _fractions(self.width, key_fractions)
            waves = cosines_of_pi(fractions[:, None] * jnp.arange(COSINES)[None, :])
            x = x[None, :] * jax.nn.relu(Linear(x.size, name="fractions")(waves))
        outputs = stream(x, self.num_actions, self.columns)
        if self.dueling:
            outputs = outputs - jnp.mean(outputs, axis=-2, keepdims=True)
            outputs = outputs + stream(x, 1, self.columns)
        if not self.at_fractions:
            return outputs
        values = outputs[..., 0].T
        return jnp.concatenate([values, jnp.broadcast_to(fractions[None], values.shape)], axis=1)


def perturb(params: Params, key: PRNGKey) -> Params:
    """Return weights with one draw of noise in them, in place of means and scales.

    Many observations are read by these at the price of one draw, and of one product each.
    """

    def within(tree: Any) -> Any:
        if not isinstance(tree, Mapping):
            return tree
        found = {name: within(inner) for name, inner in tree.items()}
        noisy = [name for name, inner in tree.items()
                 if isinstance(inner, Mapping) and "kernel_scale" in inner]  # fmt: skip
        if not noisy:
            return found
        # As they are numbered when they act: linear_10 isn't before linear_2.
        noisy.sort(key=lambda name: int(name.rpartition("_")[2]))
        drawn = noise(key, [tree[name]["kernel"].shape for name in noisy])
        for name, (of_inputs, of_outputs) in zip(noisy, drawn, strict=True):
            layer, weights = tree[name], jnp.outer(of_inputs, of_outputs)
            found[name] = {
                "kernel": layer["kernel"] + layer["kernel_scale"] * weights,
                "bias": layer["bias"] + layer["bias_scale"] * of_outputs,
            }
        return found

    return within(params)


def noise(key: PRNGKey, shapes: Sequence[tuple[int, int]]) -> list[Factors]:
    """Return the factors of each layer's noise, drawn at once: a draw for each took longer."""
    sizes = [size for shape in shapes for size in shape]
    count = sum(sizes)

    def draw(turn: Array) -> Array:
        drawn = jax.random.normal(jax.random.fold_in(unrolled(key), turn), (-(-count // 2),))
        return jnp.sign(drawn) * jnp.sqrt(jnp.abs(drawn))

    # In a loop of two turns, since XLA fuses nothing with a loop and takes one turn for none: else
    # it would draw anew for each of the weights that a factor multiplies.
    factors = jax.lax.map(draw, jnp.arange(2)).reshape(-1)[:count]
    parts = jnp.split(factors, np.cumsum(sizes)[:-1])
    return list(zip(parts[::2], parts[1::2], strict=True))


def cosines_of_pi(x: Array) -> Array:
    """Return ``cos(pi x)``, in a tenth of ``jnp.cos``'s time.

    Within 3e-7, since x isn't rounded; ``pi * x`` is, which moves the cosine by 1e-5 where x is 64.
    """
    # Whole waves are left out without rounding; of what is within a quarter of one, the sine.
    turned = 0.5 - jnp.abs(x - 2 * jnp.round(x / 2))
    return turned * jnp.polyval(jnp.asarray(SINE_OF_PI), turned * turned)


def _fractions(count: int, key: PRNGKey | None) -> Array:
    if key is None:
        return (jnp.arange(count) + 0.5) / count
    return jax.random.uniform(key, (count,))
