"""The learning step: the loss of a batch, a step down its gradient, a moving target network."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxdqn.algorithm import descent
from jaxdqn.config import Config
from jaxdqn.losses import heads
from jaxdqn.losses.bootstrap import Bootstrap
from jaxdqn.losses.heads import Head
from jaxdqn.method import LearnInfo
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


SampleLoss = Callable[[Params, Params, Params, Any, PRNGKey], tuple[Array, Array, Array]]
"""``(online, target, choosing network, sample, key) -> (loss [], surprise [], value [])``."""


class Learner(NamedTuple):
    """Networks and optimiser as pure functions.

    Attributes:
        init: ``(key) -> state``; the key is consumed.
        outputs: ``(params, obs, key=None) -> [A, K]`` for one observation; the key pays for all
            chance in the network and is None for what it does without.
        q_values: ``(params, obs, key=None) -> [A]``, their means.
        learn: ``(state, batch, weights [B], key) -> (state, info, surprise [B])``, the batch being
            samples ``[B, ...]``; one gradient update, unless it isn't finite: then both
            networks stay as they were, for good.
    """

    init: Callable[[PRNGKey], AgentState]
    outputs: Callable[..., Array]
    q_values: Callable[..., Array]
    learn: Callable[[AgentState, Transition, Array, PRNGKey], tuple[AgentState, LearnInfo, Array]]


def transition_loss(
    config: Config,
    network: Network,
    head: Head,
    bootstrap: Bootstrap,
    params: Params,
    target_params: Params,
    fixed: Params,
    transition: Transition,
    key: PRNGKey,
) -> tuple[Array, Array, Array]:
    """Return the loss, the surprise and the value of the action of one transition, ``[]`` each.

    Args:
        config: the settings.
        network: online and target.
        head: the meaning of its outputs.
        bootstrap: what a state after the step is worth.
        params: the online network; the gradient flows through these.
        target_params: the target network.
        fixed: the online network, to choose actions by.
        transition: what happened.
        key: for all chance in the networks.
    """
    outputs, q_values = _readings(network, head)
    key_tm1, key_t = jax.random.split(key)
    return heads.temporal_difference_loss(
        head,
        bootstrap,
        transition.replace(discount_t=config.discount * transition.discount_t),
        outputs(params, transition.obs_tm1, key_tm1),
        outputs(target_params, transition.obs_t, key_t),
        online_t=lambda: q_values(fixed, transition.obs_t),
        target_at_midpoints_t=lambda: q_values(target_params, transition.obs_t),
        target_tm1=lambda: q_values(target_params, transition.obs_tm1),
    )


def make(config: Config, network: Network, head: Head, loss: SampleLoss, obs: Any) -> Learner:
    """Put a learner together.

    Args:
        config: the settings.
        network: of both kinds, online and target.
        head: the meaning of its outputs.
        loss: of one sample.
        obs: shape and dtype of an observation.
    """
    down = descent.make(config, network)
    outputs, q_values = _readings(network, head)

    def init(key: PRNGKey) -> AgentState:
        params = network.init(unrolled(key), jnp.zeros_like(obs))
        return AgentState(
            params=params,
            target_params=jax.tree.map(jnp.copy, params),
            opt_state=down.init(params),
            updates=jnp.int32(0),
            halted=jnp.bool_(False),
        )

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
        state, info = down.step(state, loss, q_mean, grads)
        return _moved(config, state), info, surprise

    return Learner(init, outputs, q_values, learn)


def _readings(network: Network, head: Head) -> tuple[Callable[..., Array], Callable[..., Array]]:
    """Return what gives outputs, and what gives action values, of one observation alone."""

    def outputs(params: Params, obs: Array, key: PRNGKey | None = None) -> Array:
        return network.apply(params, network.memory(), obs, True, key)[0]

    def q_values(params: Params, obs: Array, key: PRNGKey | None = None) -> Array:
        return head.mean(outputs(params, obs, key))

    return outputs, q_values


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


def _moved(config: Config, state: AgentState) -> AgentState:
    """Move the target network towards the online one, where it is time."""
    # A where on a small tree, not a cond: the same program whether or not it is time.
    due = ~state.halted & (state.updates % config.target_period == 0)
    moved = optax.incremental_update(state.params, state.target_params, config.target_rate)
    return state.replace(target_params=optax.tree.where(due, moved, state.target_params))
