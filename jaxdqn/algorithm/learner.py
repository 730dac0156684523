"""The learning step: the loss of a batch, one clipped Adam step, a moving target network."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from jaxdqn.algorithm import heads
from jaxdqn.algorithm.bootstrap import Bootstrap
from jaxdqn.algorithm.heads import Head
from jaxdqn.config import Config
from jaxdqn.networks.network import Network
from jaxdqn.random import unrolled
from jaxdqn.types import Array, Params, PRNGKey, Transition


class AgentState(struct.PyTreeNode):
    """All that learning changes.

    Attributes:
        params: the online network.
        target_params: the target network.
        opt_state: Adam's moments, of all weights as one vector.
        updates: gradient updates so far, int32 ``[]``.
        halted: whether learning has stopped for good, since the next update would have left the
            finite numbers, bool ``[]``; the moments mean nothing then.
    """

    params: Params
    target_params: Params
    opt_state: Any
    updates: Array
    halted: Array


class LearnInfo(struct.PyTreeNode):
    """What one update measured, over its batch; float32 ``[]`` each; NaN once learning halted.

    Attributes:
        loss: mean loss.
        q_mean: mean value of the actions in the batch, before the update.
        grad_norm: global norm of the gradient, before clipping.
    """

    loss: Array
    q_mean: Array
    grad_norm: Array


class Learner(NamedTuple):
    """Networks and optimiser as pure functions.

    Attributes:
        init: ``(key) -> state``; the key is consumed.
        outputs: ``(params, obs, key=None) -> [A, K]`` for one observation; the key pays for all
            chance in the network and is None for what it does without.
        q_values: ``(params, obs, key=None) -> [A]``, their means.
        learn: ``(state, batch, weights [B], key) -> (state, info, surprise [B])``, the batch being
            transitions ``[B, ...]``; one gradient update, unless it isn't finite: then both
            networks stay as they were, for good.
    """

    init: Callable[[PRNGKey], AgentState]
    outputs: Callable[..., Array]
    q_values: Callable[..., Array]
    learn: Callable[[AgentState, Transition, Array, PRNGKey], tuple[AgentState, LearnInfo, Array]]


def make(config: Config, network: Network, head: Head, bootstrap: Bootstrap, obs: Array) -> Learner:
    """Put a learner together.

    Args:
        config: the settings.
        network: of both kinds, online and target.
        head: the meaning of its outputs.
        bootstrap: what a state after the step is worth.
        obs: an observation, for its shape and dtype.
    """
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.scale_by_adam(eps=config.adam_epsilon),
    )

    def init(key: PRNGKey) -> AgentState:
        params = network.init(unrolled(key), obs)
        return AgentState(
            params=params,
            target_params=jax.tree.map(jnp.copy, params),
            opt_state=optimizer.init(_flat(params)[0]),
            updates=jnp.int32(0),
            halted=jnp.bool_(False),
        )

    def outputs(params: Params, obs: Array, key: PRNGKey | None = None) -> Array:
        return network.apply(params, network.memory(), obs, True, key)[0]

    def q_values(params: Params, obs: Array, key: PRNGKey | None = None) -> Array:
        return head.mean(outputs(params, obs, key))

    def loss(
        params: Params, target_params: Params, fixed: Params, transition: Transition, key: PRNGKey
    ) -> tuple[Array, Array, Array]:
        """Return the loss, the surprise and the value of the action of one transition."""
        key_tm1, key_t = jax.random.split(key)
        outputs_tm1 = outputs(params, transition.obs_tm1, key_tm1)
        found, surprise = heads.temporal_difference_loss(
            head,
            bootstrap,
            transition.replace(discount_t=config.discount * transition.discount_t),
            outputs_tm1,
            outputs(target_params, transition.obs_t, key_t),
            online_t=lambda: q_values(fixed, transition.obs_t),
            target_tm1=lambda: q_values(target_params, transition.obs_tm1),
        )
        return found, surprise, head.mean(outputs_tm1)[transition.a_tm1]

    def batch_loss(
        params: Params, target_params: Params, batch: Transition, weights: Array, key: PRNGKey
    ) -> tuple[Array, tuple[Array, Array]]:
        key_noise, key_each = jax.random.split(key)
        networks = _perturbed(network, params, target_params, key_noise)
        keys = jax.random.split(key_each, len(weights))
        losses, surprise, q_tm1 = jax.vmap(loss, (None, None, None, 0, 0))(*networks, batch, keys)
        return jnp.mean(weights * losses), (jnp.mean(q_tm1), surprise)

    def learn(
        state: AgentState, batch: Transition, weights: Array, key: PRNGKey
    ) -> tuple[AgentState, LearnInfo, Array]:
        (loss, (q_mean, surprise)), grads = jax.value_and_grad(batch_loss, has_aux=True)(
            state.params, state.target_params, batch, weights, key
        )
        state, grad_norm = _descend(config, optimizer, network, state, loss, grads)
        info = LearnInfo(loss, q_mean, grad_norm)
        info = jax.tree.map(lambda x: jnp.where(state.halted, jnp.nan, x), info)
        return state, info, surprise

    return Learner(init, outputs, q_values, learn)


def _perturbed(
    network: Network, params: Params, target_params: Params, key: PRNGKey
) -> tuple[Params, Params, Params]:
    """Return online, target and choosing network of one update, each with a draw of its noise."""
    key_online, key_target, key_fixed = jax.random.split(key, 3)
    return (
        network.perturb(params, key_online),
        network.perturb(target_params, key_target),
        network.perturb(jax.lax.stop_gradient(params), key_fixed),
    )


def _descend(
    config: Config,
    optimizer: optax.GradientTransformation,
    network: Network,
    state: AgentState,
    loss: Array,
    grads: Params,
) -> tuple[AgentState, Array]:
    """Take one step down the gradient unless it isn't finite; also return the gradient's norm."""
    # One long vector: a kernel for each step of the optimiser instead of one for each of its steps
    # and each array.
    gradient, unravel = _flat(grads)
    direction, opt_state = optimizer.update(gradient, state.opt_state)
    done = state.updates / config.schedule.updates
    factor = 1.0 + jnp.minimum(done, 1.0) * (config.learning_rate_end_factor - 1.0)
    step = config.learning_rate * factor * direction
    grad_norm = optax.tree.norm(gradient)
    # A norm shows a single number that isn't finite in all of the gradient, and config.check keeps
    # Adam's numbers in bounds within which finite gradients give finite weights.
    halted = state.halted | ~(jnp.isfinite(loss) & jnp.isfinite(grad_norm))
    step = jnp.where(halted, 0.0, step)
    params = jax.tree.map(jnp.subtract, state.params, network.paced(unravel(step)))
    updates = state.updates + ~halted
    # A where on a small tree, not a cond: the same program whether or not it is time.
    due = ~halted & (updates % config.target_period == 0)
    moved = optax.incremental_update(params, state.target_params, config.target_rate)
    state = AgentState(
        params=params,
        target_params=optax.tree.where(due, moved, state.target_params),
        opt_state=opt_state,
        updates=updates,
        halted=halted,
    )
    return state, grad_norm


def _flat(tree: Params) -> tuple[Array, Callable[[Array], Params]]:
    """Return a tree's numbers as one vector, and how to make it a tree again."""
    _, unravel = ravel_pytree(tree)
    # Joined as rows: of vectors longer than some 60,000 numbers XLA on CPU lets every thread copy
    # all.
    rows = [x.reshape(1, -1) for x in jax.tree.leaves(tree)]
    return jnp.concatenate(rows, axis=1)[0], unravel
