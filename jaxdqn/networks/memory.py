"""What a network remembers of an episode: nothing, or a state that is carried from step to step.

A gated recurrent unit (Cho et al., 2014, arXiv:1406.1078) rather than an LSTM, which would double
the bytes that a replay keeps of each step, and rather than attention over a window, which forgets
a sign at the start of a corridor that is longer than it, and reads the whole window at each step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct

from jaxdqn.errors import ConfigError
from jaxdqn.networks.dense import DenseSettings
from jaxdqn.networks.linear import Features, Linear, flat, written
from jaxdqn.networks.network import Memory, Network, SideBySide, forgotten
from jaxdqn.networks.planning import PlanningSettings
from jaxdqn.networks.transformer import TransformerSettings
from jaxdqn.settings import Float, NetworkSettings, RunSettings, leaf, static
from jaxdqn.types import Array, Params, PRNGKey


class NoMemorySettings(struct.PyTreeNode):
    """Nothing: what is seen now is all that counts."""

    @property
    def remembers(self) -> bool:
        """Whether it is a memory."""
        return False

    def make(
        self,
        network: Any,
        num_actions: int,
        width: int,
        categories: int | None,
        at_fractions: bool = False,
    ) -> Network:
        """Return the network as it is; see ``DenseSettings.make``."""
        made: Network = network.make(num_actions, width, categories, at_fractions)
        return made


class GRUSettings(struct.PyTreeNode):
    """A gated recurrent unit before the last hidden layer."""

    memory_width: int = static(64, low=1)
    """Numbers that are remembered (W)."""
    memory_span: Float = leaf(100.0, low=2.0)
    """Steps over which the slowest of them fade at first; the quickest fade in two."""

    @property
    def remembers(self) -> bool:
        """Whether it is a memory."""
        return True

    def check_network(self, network: NetworkSettings, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, what can't be carried from step to step."""
        del run
        for name, kind in (("transformer", TransformerSettings), ("planning", PlanningSettings)):
            if isinstance(network, kind):
                raise ConfigError(
                    f"network ({name!r}) reads a whole maze at once, and memory ('gru') is for "
                    "partial views: set network = 'mlp' or memory = 'none'."
                )
        if not isinstance(network, DenseSettings):
            raise ConfigError(
                f"network ({type(network).__name__}) is one of your own, and memory ('gru') stands "
                "within the layers of those here: set memory = 'none', or network = 'mlp'."
            )
        if network.noisy:
            raise ConfigError(
                "noisy (True) acts by other weights at each step, and memory ('gru') would carry "
                "what one of them wrote to the next: set noisy = false or memory = 'none'."
            )
        if not network.widths:
            raise ConfigError(
                "widths ([]) has no hidden layer that could read memory ('gru'): give one or more."
            )

    def make(
        self,
        network: DenseSettings,
        num_actions: int,
        width: int,
        categories: int | None,
        at_fractions: bool = False,
    ) -> Network:
        """Return the network with this memory in it; see ``DenseSettings.make``.

        It stands where R2D2's does (Kapturowski et al., 2019): behind the trunk and all hidden
        layers but the last, which reads it, in one stream or in two.
        """
        last = network.replace(widths=network.widths[-1:])
        layers = Remembering(
            behind=last.layers_to(num_actions, width, at_fractions),
            widths=network.widths[:-1],
            size=self.memory_width,
            span=self.memory_span,
        )
        fresh = {"dense": {"state": jnp.zeros(self.memory_width)}}
        module, agents = network.module(layers, categories), network.side_by_side(width)
        return recurrent(module, fresh, agents)


class Remembering(nn.Module):
    """Hidden dense layers, a gated recurrent unit, then the layers behind it.

    Its state is a variable ``state [W]`` of the collection ``memory``, so that what stands before
    it needs to know of none. With reset ``r``, keep ``z`` and new ``n``, a state is
    ``z * before + (1 - z) * n``. The biases of ``z`` are drawn so that at first the numbers fade
    over 2 to ``span`` steps (Tallec and Ollivier, 2018, arXiv:1804.11188): without that nothing
    that was seen a hundred steps ago has a gradient.
    """

    behind: Any  # Dense or Streams
    widths: Sequence[int]
    size: int  # W
    span: float | Array

    @property
    def activation(self) -> Callable[[Array], Array]:
        """Of the layers behind it, which is that of all."""
        activation: Callable[[Array], Array] = self.behind.activation
        return activation

    @property
    def layer_norm(self) -> bool:
        """Of the layers behind it, which is that of all."""
        return bool(self.behind.layer_norm)

    @nn.compact
    def __call__(self, features: Features, key: PRNGKey | None = None) -> Array:
        """Map features ``[...]``, flattened, to outputs; the state is read and written."""
        x = flat(features)
        for layer, width in enumerate(self.widths):
            x = Linear(width, name=f"Dense_{layer}")(x)
            x = self.activation(nn.LayerNorm()(x) if self.layer_norm else x)
        state = self.variable("memory", "state", jnp.zeros, self.size)
        seen = nn.Dense(3 * self.size, bias_init=self._biases, name="seen")(written(x))
        kept = nn.Dense(3 * self.size, use_bias=False, name="kept")(state.value)
        (r, z, n), (r_kept, z_kept, n_kept) = jnp.split(seen, 3), jnp.split(kept, 3)
        z = jax.nn.sigmoid(z + z_kept)
        new = jnp.tanh(n + jax.nn.sigmoid(r + r_kept) * n_kept)
        state.value = z * state.value + (1.0 - z) * new
        outputs: Array = self.behind(state.value, key)
        return outputs

    def _biases(self, key: PRNGKey, shape: Any, dtype: Any = jnp.float32) -> Array:
        """Draw those of ``z``: the logarithm of a uniform number of steps, less one."""
        fading = jax.random.uniform(key, (self.size,), dtype, 1.0, self.span - 1.0)
        return jnp.zeros(shape, dtype).at[self.size : 2 * self.size].set(jnp.log(fading))


def recurrent(module: nn.Module, fresh: Memory, side_by_side: SideBySide) -> Network:
    """Make a network of a module that reads and writes the collection ``memory``.

    Args:
        module: of an observation and a key.
        fresh: that collection at the start of an episode.
        side_by_side: most agents to train at the same time.
    """

    def init(key: PRNGKey, obs: Array) -> Params:
        return {"params": module.init(key, obs)["params"]}

    def apply(
        params: Params, memory: Memory, obs: Array, first: bool | Array, key: PRNGKey | None
    ) -> tuple[Array, Memory]:
        known = {**params, "memory": forgotten(fresh, first, memory)}
        outputs, changed = module.apply(known, obs, key, mutable="memory")
        return outputs, changed["memory"]

    return Network(
        init, apply, lambda: fresh, lambda step: step, side_by_side, lambda params, _: params
    )


def begins(last: Array) -> Array:
    """Return where an episode starts within steps in line, of which ``last [T]`` end one, ``[T]``.

    Not before the first of them: what is remembered there is its own.
    """
    return jnp.concatenate([jnp.zeros_like(last[:1]), last[:-1]])


def unroll(
    network: Network,
    params: Params,
    memory: Memory,
    obs: Array,
    first: Array,
    key: PRNGKey | None = None,
) -> tuple[Array, Memory]:
    """Read the observations of one environment in line.

    Args:
        network: with a memory.
        params: its weights.
        memory: before the first observation.
        obs: ``[T, ...]``.
        first: where an episode starts, so that all before is forgotten, ``[T]``.
        key: for all chance in the network; None for what it does without.

    Returns:
        Outputs ``[T, A, K]``, and memories after each observation, leaves ``[T, ...]``.
    """

    def step(memory: Memory, seen: tuple[Any, ...]) -> tuple[Memory, tuple[Array, Memory]]:
        outputs, memory = network.apply(params, memory, *seen)
        return memory, (outputs, memory)

    keys = None if key is None else jax.random.split(key, len(first))
    found: tuple[Array, Memory] = jax.lax.scan(step, memory, (obs, first, keys))[1]
    return found
