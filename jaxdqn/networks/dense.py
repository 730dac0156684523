"""Dense Q-networks: one observation in, K numbers for each of A actions out."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxdqn.errors import ConfigError
from jaxdqn.networks import streams
from jaxdqn.networks.linear import Features, Linear, OneHot, flat, written
from jaxdqn.networks.network import Network, SideBySide, feedforward
from jaxdqn.networks.streams import Streams
from jaxdqn.settings import NetworkSettings, RunSettings, static
from jaxdqn.types import Array, PRNGKey

Activation = Callable[[Array], Array]

ACTIVATIONS: dict[str, Activation] = {
    "relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": jax.nn.gelu, "silu": jax.nn.silu,
    "elu": jax.nn.elu,
}  # fmt: skip


BY_OUTPUT = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
"""Of kernels ``[outputs, inputs]``: where outputs are few, XLA on CPU computes the gradient of a
kernel stored this way by its faster product; where they are many, the usual way is faster."""


class Dense(nn.Module):
    """Hidden dense layers, then one linear layer to ``[A, K]``."""

    num_actions: int
    width: int  # K
    widths: Sequence[int]
    activation: Activation
    layer_norm: bool

    @nn.compact
    def __call__(self, features: Features, key: PRNGKey | None = None) -> Array:
        """Map features ``[...]``, flattened, to outputs ``[A, K]``; nothing is left to chance."""
        del key
        x = flat(features)
        for layer, size in enumerate(self.widths):
            x = Linear(size, name=f"Dense_{layer}")(x)
            x = self.activation(nn.LayerNorm()(x) if self.layer_norm else x)
        x = written(x)
        shape = (self.num_actions * self.width, x.size)
        outputs = nn.Einsum(shape, "i,oi->o", kernel_init=BY_OUTPUT, name="output")(x)
        return outputs.reshape(self.num_actions, self.width)


class MLP(nn.Module):
    """A multilayer perceptron over the flattened observation.

    ``categories`` is the number of values where the observation consists of names (a cell, or
    tokens), each of which is one-hot encoded; None where it consists of quantities.
    """

    dense: nn.Module
    categories: int | None = None

    def __call__(self, obs: Array, key: PRNGKey | None = None) -> Array:
        """Map one observation to outputs ``[A, K]``."""
        if self.categories is not None:
            return self.dense(OneHot(obs.reshape(-1).astype(jnp.int32), self.categories), key)
        return self.dense(obs.astype(jnp.float32), key)


class DenseSettings(NetworkSettings):
    """A multilayer perceptron, for any observation."""

    widths: tuple[int, ...] = static((128, 128), low=1)
    """Widths of the dense layers."""
    activation: Literal["relu", "tanh", "gelu", "silu", "elu"] = static("relu")
    """Non-linearity."""
    layer_norm: bool = static(False, idle={"network": "mlp", "widths": ()})
    """Layer normalisation before each non-linearity."""
    dueling: bool = static(False)
    """The last hidden layer is there twice, for the state's value and the actions' advantages."""
    noisy: bool = static(False)
    """Learned noise in the weights of the hidden and output layers, to explore by: epsilon is then
    0 unless it is set, too."""
    shared_noise: bool = static(False)
    """One draw of the noise for all environments at each step; else each acts by its own."""

    knows_fractions = True

    def check(self, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, to share what isn't there."""
        del run
        if self.shared_noise and not self.noisy:
            raise ConfigError("shared_noise (True) has no noise to share: leave it out.")

    @property
    def products(self) -> float:
        """Multiplications for one observation from the first hidden layer on, about."""
        return sum(m * n for m, n in itertools.pairwise((*self.widths, 1)))

    def layers_to(self, num_actions: int, width: int, at_fractions: bool) -> Dense | Streams:
        """Return the dense layers to ``[A, K]``."""
        shape: dict[str, Any] = {
            "num_actions": num_actions,
            "width": width,
            "widths": self.widths,
            "activation": ACTIVATIONS[self.activation],
            "layer_norm": self.layer_norm,
        }
        if not (self.dueling or self.noisy or at_fractions):
            return Dense(**shape)
        return Streams(**shape, dueling=self.dueling, noisy=self.noisy, at_fractions=at_fractions)

    def side_by_side(self, width: int) -> SideBySide:
        """Most agents to train at the same time, with ``width`` numbers for each action."""
        # What several agents work with must stay in a core's cache: eight of 64-64 are a tenth
        # sooner than one, eight of its quantiles half as soon (benchmarks/NOTES.md).
        load = self.products * width * (1 + self.dueling) * (1 + self.noisy)
        return SideBySide(core=8 if load < 10_000 else 4 if load < 20_000 else 1)

    def module(self, layers: nn.Module, categories: int | None) -> nn.Module:
        """Return what reads an observation, and dense layers behind it."""
        return MLP(layers, categories)

    def make(
        self, num_actions: int, width: int, categories: int | None, at_fractions: bool = False
    ) -> Network:
        """Return the network of ``width`` numbers for each action.

        Args:
            num_actions: actions (A).
            width: numbers per action (K).
            categories: values of an observation that consists of names; None for quantities.
            at_fractions: whether the numbers stand at fractions, which it gives, too.
        """
        layers = self.layers_to(num_actions, width, at_fractions)
        module, agents = self.module(layers, categories), self.side_by_side(width)
        return feedforward(module, agents, streams.perturb)
