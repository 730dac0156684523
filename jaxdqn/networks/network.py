"""What an algorithm asks of a network, with or without memory."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxdqn.types import Array, Params, PRNGKey

Memory = Any
"""What a network carries from one step of an episode to the next; ``()`` where it has none."""


class SideBySide(NamedTuple):
    """Most agents to train at the same time; others take turns.

    Attributes:
        core: on a CPU core.
        other: on another device; None: as many as its memory takes.
    """

    core: int
    other: int | None = None


ALONE = SideBySide(core=1)


class Network(NamedTuple):
    """A network's functions, for one observation.

    Attributes:
        init: ``(key, obs) -> params``; the key is consumed.
        apply: ``(params, memory, obs, first [], key) -> (outputs [A, K], memory)``; ``first``
            says whether an episode starts here, so that what is remembered is forgotten; ``key``
            pays for all chance in the network and is None for what it does without.
        memory: ``() -> memory`` at the start of an episode.
        paced: ``(step) -> step``, how far each weight goes of a step down the gradient, a tree like
            ``params``.
        side_by_side: most agents to train at the same time.
        perturb: ``(params, key) -> params`` with one draw of the noise in the weights, to read
            many observations by; the same weights where they have none.
    """

    init: Callable[[PRNGKey, Array], Params]
    apply: Callable[[Params, Memory, Array, bool | Array, PRNGKey | None], tuple[Array, Memory]]
    memory: Callable[[], Memory]
    paced: Callable[[Params], Params]
    side_by_side: SideBySide
    perturb: Callable[[Params, PRNGKey], Params]

    @property
    def remembers(self) -> bool:
        """Whether outputs depend on more than what is seen now."""
        return bool(jax.tree.leaves(self.memory()))


class Seen(NamedTuple):
    """What a network is asked to read, for refusals.

    Attributes:
        env: name of the environment.
        env_kwargs: what it was made with.
        shape: of one observation.
        categories: values of an observation that consists of names; None for quantities.
        num_actions: actions that can be chosen.
        is_maze: whether other observations can be chosen.
        dtype: of one observation.
    """

    env: str
    env_kwargs: Mapping[str, Any]
    shape: tuple[int, ...]
    categories: int | None
    num_actions: int
    is_maze: bool
    dtype: Any = jnp.float32


def feedforward(
    module: nn.Module,
    side_by_side: SideBySide = ALONE,
    perturb: Callable[[Params, PRNGKey], Params] = lambda params, _: params,
) -> Network:
    """Make a network of a module of an observation and a key, which remembers nothing.

    Args:
        module: from an observation to outputs ``[A, K]``; its key may be None.
        side_by_side: most agents to train at the same time.
        perturb: as in ``Network``.
    """

    def apply(
        params: Params, memory: Memory, obs: Array, first: bool | Array, key: PRNGKey | None
    ) -> tuple[Array, Memory]:
        del first
        outputs: Any = module.apply(params, obs, key)
        return outputs, memory

    return Network(module.init, apply, lambda: (), lambda step: step, side_by_side, perturb)


def forgotten(fresh: Memory, first: bool | Array, memory: Memory) -> Memory:
    """Return a memory, or the fresh one where an episode starts."""
    return jax.tree.map(lambda new, old: jnp.where(first, new, old), fresh, memory)
