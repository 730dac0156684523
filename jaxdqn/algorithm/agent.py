"""The Double-DQN agent: parts chosen by the configuration, put together as pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from jaxdqn.algorithm import exploration, heads
from jaxdqn.config import Config
from jaxdqn.environment import Environment
from jaxdqn.networks import dense, residual
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


class Agent(NamedTuple):
    """The agent's verbs.

    Attributes:
        init: ``(key) -> state``; the key is consumed.
        q_values: ``(params, obs) -> [A]`` for one observation.
        act: ``(params, bits [2], obs, epsilon) -> action []`` for one observation; see
            ``exploration.epsilon_greedy``.
        learn: ``(state, transitions [B, ...]) -> (state, info)``; one gradient update, unless it
            isn't finite: then both networks stay as they were, for good.
    """

    init: Callable[[PRNGKey], AgentState]
    q_values: Callable[[Params, Array], Array]
    act: Callable[[Params, Array, Array, Array], Array]
    learn: Callable[[AgentState, Transition], tuple[AgentState, LearnInfo]]


def make(config: Config, environment: Environment) -> Agent:
    """Build the agent for an environment's observations and actions."""
    head = config.part("head").make()
    network = _network(config, environment, head.width)
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.scale_by_adam(eps=config.adam_epsilon),
    )
    total_updates = config.schedule.updates

    def init(key: PRNGKey) -> AgentState:
        params = network.init(key, jnp.zeros(environment.obs.shape, environment.obs.dtype))
        return AgentState(
            params=params,
            target_params=jax.tree.map(jnp.copy, params),
            opt_state=optimizer.init(_flat(params)[0]),
            updates=jnp.int32(0),
            halted=jnp.bool_(False),
        )

    def q_values(params: Params, obs: Array) -> Array:
        return head.mean(network.apply(params, obs))

    def act(params: Params, bits: Array, obs: Array, epsilon: Array) -> Array:
        return exploration.epsilon_greedy(bits, q_values(params, obs), epsilon)

    def batch_loss(params: Params, target_params: Params, batch: Transition) -> tuple[Array, Array]:
        apply = jax.vmap(network.apply, in_axes=(None, 0))
        outputs_tm1 = apply(params, batch.obs_tm1)
        target_t = apply(target_params, batch.obs_t)
        # The online network chooses, the target network judges; in DQN the latter does both.
        selector_t = target_t
        if config.double:
            selector_t = apply(jax.lax.stop_gradient(params), batch.obs_t)
        losses = jax.vmap(heads.double_q_loss, in_axes=(None, 0, 0, 0, 0, 0, 0))(
            head,
            outputs_tm1,
            batch.a_tm1,
            batch.r_t,
            config.discount * batch.discount_t,
            target_t,
            selector_t,
        )
        q_tm1 = jnp.take_along_axis(head.mean(outputs_tm1), batch.a_tm1[:, None], axis=1)
        return jnp.mean(losses), jnp.mean(q_tm1)

    def learn(state: AgentState, batch: Transition) -> tuple[AgentState, LearnInfo]:
        (loss, q_mean), grads = jax.value_and_grad(batch_loss, has_aux=True)(
            state.params, state.target_params, batch
        )
        # One long vector: a kernel for each step of the optimiser instead of one for each of its
        # steps and each array, which saves 19 % of an update (64-64, one agent, CPU).
        gradient, unravel = _flat(grads)
        direction, opt_state = optimizer.update(gradient, state.opt_state)
        done = state.updates / total_updates
        factor = 1.0 + jnp.minimum(done, 1.0) * (config.learning_rate_end_factor - 1.0)
        step = config.learning_rate * factor * direction
        info = LearnInfo(loss, q_mean, optax.tree.norm(gradient))
        # A norm shows a single number that isn't finite in all of the gradient, and config.check
        # keeps Adam's numbers in bounds within which finite gradients give finite weights.
        halted = state.halted | ~(jnp.isfinite(loss) & jnp.isfinite(info.grad_norm))
        step = jnp.where(halted, 0.0, step)
        params = jax.tree.map(jnp.subtract, state.params, unravel(step))
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
        return state, jax.tree.map(lambda x: jnp.where(halted, jnp.nan, x), info)

    return Agent(init, q_values, act, learn)


def _flat(tree: Params) -> tuple[Array, Callable[[Array], Params]]:
    """Return a tree's numbers as one vector, and how to make it a tree again."""
    _, unravel = ravel_pytree(tree)
    # Joined as rows: of vectors longer than some 60,000 numbers XLA on CPU lets every thread copy
    # all, which costs 1.2 ms instead of 0.02 (256-256, two cores).
    rows = [x.reshape(1, -1) for x in jax.tree.leaves(tree)]
    return jnp.concatenate(rows, axis=1)[0], unravel


def _network(config: Config, environment: Environment, width: int) -> Any:
    layers = dense.Dense(
        num_actions=environment.num_actions,
        width=width,
        widths=config.widths,
        activation=dense.ACTIVATIONS[config.activation],
        layer_norm=config.layer_norm,
    )
    if config.network == "residual":
        return residual.Residual(layers, channels=config.channels, blocks=config.blocks)
    return dense.MLP(layers, categories=environment.categories)
