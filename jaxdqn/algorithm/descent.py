"""One clipped Adam step down a gradient, unless it would leave the finite numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from jaxdqn.config import Config
from jaxdqn.method import LearnInfo
from jaxdqn.networks.network import Network
from jaxdqn.types import Array, Params


class Descent(NamedTuple):
    """An optimiser as pure functions.

    Attributes:
        init: ``(params) -> opt_state``.
        step: ``(agent, loss [], q_mean [], grads) -> (agent, info)``; of the agent's state it
            changes ``params``, ``opt_state``, ``updates`` and ``halted``. A gradient that isn't
            finite halts it for good, with the weights as they were.
    """

    init: Callable[[Params], Any]
    step: Callable[[Any, Array, Array, Params], tuple[Any, LearnInfo]]


def make(config: Config, network: Network) -> Descent:
    """Build the optimiser of a network's weights."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.scale_by_adam(eps=config.adam_epsilon),
    )

    def init(params: Params) -> Any:
        return optimizer.init(_flat(params)[0])

    def step(agent: Any, loss: Array, q_mean: Array, grads: Params) -> tuple[Any, LearnInfo]:
        # One long vector: a kernel for each step of the optimiser instead of one for each of its
        # steps and each array.
        gradient, unravel = _flat(grads)
        direction, opt_state = optimizer.update(gradient, agent.opt_state)
        change = step_size(config, agent.updates) * direction
        grad_norm = optax.tree.norm(gradient)
        # A norm shows a single number that isn't finite in all of the gradient, and config.check
        # keeps Adam's numbers in bounds within which finite gradients give finite weights.
        halted = agent.halted | ~(jnp.isfinite(loss) & jnp.isfinite(grad_norm))
        change = jnp.where(halted, 0.0, change)
        agent = agent.replace(
            params=jax.tree.map(jnp.subtract, agent.params, network.paced(unravel(change))),
            opt_state=opt_state,
            updates=agent.updates + ~halted,
            halted=halted,
        )
        info = LearnInfo(loss, q_mean, grad_norm)
        return agent, jax.tree.map(lambda x: jnp.where(halted, jnp.nan, x), info)

    return Descent(init, step)


def step_size(config: Config, updates: Array) -> Array:
    """Return Adam's step size after so many updates ``[]``: it falls, or rises, linearly."""
    done = updates / config.schedule.updates
    factor = 1.0 + jnp.minimum(done, 1.0) * (config.learning_rate_end_factor - 1.0)
    return config.learning_rate * factor


def _flat(tree: Params) -> tuple[Array, Callable[[Array], Params]]:
    """Return a tree's numbers as one vector, and how to make it a tree again."""
    _, unravel = ravel_pytree(tree)
    # Joined as rows: of vectors longer than some 60,000 numbers XLA on CPU lets every thread copy
    # all.
    rows = [x.reshape(1, -1) for x in jax.tree.leaves(tree)]
    return jnp.concatenate(rows, axis=1)[0], unravel
