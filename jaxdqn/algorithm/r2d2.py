"""Double DQN with a memory: sequences from a replay, each begun with what was remembered there.

The recurrent replay of R2D2 (Kapturowski et al., 2019): what the network remembered is stored with
each step, and is refreshed over ``burn_in`` steps before anything is learned. Its actors on many
machines and its rescaled values are not here; with memory ``"none"``, ``burn_in`` 0 and ``unroll``
1 it is Double DQN. A sequence never crosses the replay's write position; episodes that end in it
are followed by the next, before which all is forgotten.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdqn.algorithm import acting, codec, dqn, exploration, learner
from jaxdqn.algorithm.acting import Stepped
from jaxdqn.algorithm.codec import Codec
from jaxdqn.algorithm.learner import Learner
from jaxdqn.config import Config
from jaxdqn.environment import Environment
from jaxdqn.losses import heads
from jaxdqn.losses.bootstrap import Bootstrap
from jaxdqn.losses.heads import Head
from jaxdqn.method import Method, State, Tally
from jaxdqn.networks.memory import begins, unroll
from jaxdqn.networks.network import Memory, Network, forgotten
from jaxdqn.replay import windows
from jaxdqn.replay.ring import Replay
from jaxdqn.types import Array, Params, PRNGKey, Transition

PEAK = 0.9
"""How much the largest surprise of a sequence counts for it, beside the mean one."""

Choose = Callable[[Array, Array, PRNGKey, Memory], tuple[Array, Memory]]
"""``(bits [2], obs, key, memory) -> (action [], memory)`` in one environment."""


class Step(Transition):
    """One step of one environment, and what was remembered before it; ``last`` is always there."""

    memory_tm1: Memory = ()


class _Parts(NamedTuple):
    """What the settings chose, put together."""

    config: Config
    environment: Environment
    env_params: Any
    network: Network
    head: Head
    learner: Learner
    codec: Codec
    replay: Replay


def make(config: Config, environment: Environment, env_params: Any) -> Method:
    """Build the method for an environment's observations and actions."""
    head = config.part("head").make()
    network = config.part("memory").make(
        config.part("network"), environment.num_actions, head.width, environment.categories,
        head.at_fractions,
    )  # fmt: skip
    loss = partial(sequence_loss, config, network, head, dqn.bootstrap_of(config, head))
    how = learner.make(config, network, head, loss, environment.obs)
    stored = codec.make(config, environment, env_params)
    example = jax.eval_shape(
        lambda row: _step(row, jnp.bool_(False), network.memory()), stored.example
    )
    replay = config.part("replay").make(
        config.capacity, config.batch_size, example, config.part("method").window,
        config.num_envs, config.schedule.updates,
    )  # fmt: skip
    parts = _Parts(config, environment, env_params, network, head, how, stored, replay)

    def act(params: Params, memory: Memory, obs: Array, _: PRNGKey) -> tuple[Array, Memory]:
        outputs, memory = network.apply(params, memory, obs, False, None)
        return jnp.argmax(head.mean(outputs)), memory

    return Method(
        init=lambda key: (how.init(key), replay.init()),
        warmup=partial(_warmup, parts),
        iterate=partial(_iterate, parts),
        epsilon=partial(dqn.epsilon, config),
        memory=network.memory,
        act=act,
        outputs=how.outputs,
        q_values=None if network.remembers else how.q_values,
        side_by_side=network.side_by_side,
        bytes_per_transition=replay.bytes_per_transition,
        kept_by=("capacity", "num_envs"),
        learned_by=("batch_size", "unroll"),
        returns=None
        if network.remembers
        else head.returns and (lambda params, obs: head.returns(how.outputs(params, obs))),
    )


def sequence_loss(
    config: Config,
    network: Network,
    head: Head,
    bootstrap: Bootstrap,
    params: Params,
    target_params: Params,
    fixed: Params,
    steps: Step,
    key: PRNGKey,
) -> tuple[Array, Array, Array]:
    """Return the loss, the surprise and the value of the actions of one sequence, ``[]`` each.

    What follows a step is valued with what was remembered in it, also where its episode ended: by
    the clock, so that what was seen last is worth what it is there.

    Args:
        config: the settings.
        network: online and target.
        head: the meaning of its outputs.
        bootstrap: what a state after a step is worth.
        params: the online network; the gradient flows through these.
        target_params: the target network.
        fixed: the online network, to choose actions by.
        steps: of one environment in line, leaves ``[burn_in + unroll + n_step - 1, ...]``.
        key: for all chance in the networks.
    """
    key_tm1, key_t = jax.random.split(key)
    outputs_tm1, memory = _along(config, network, params, steps, key_tm1)
    target_tm1, target_memory = _along(config, network, target_params, steps, None)
    learned = jax.tree.map(lambda x: x[config.burn_in :], steps.replace(memory_tm1=()))
    seen = learned.replace(obs_t=(learned.obs_t, jax.lax.stop_gradient(memory), target_memory))

    def one(
        transition: Transition, outputs_tm1: Array, target_tm1: Array, key: PRNGKey
    ) -> tuple[Array, Array, Array]:
        obs_t, memory_t, target_memory_t = transition.obs_t

        def values_t(params: Params, memory_t: Any) -> Array:
            return head.mean(network.apply(params, memory_t, obs_t, False, None)[0])

        return heads.temporal_difference_loss(
            head,
            bootstrap,
            transition.replace(discount_t=config.discount * transition.discount_t),
            outputs_tm1,
            network.apply(target_params, target_memory_t, obs_t, False, key)[0],
            online_t=lambda: values_t(fixed, memory_t),
            target_at_midpoints_t=lambda: values_t(target_params, target_memory_t),
            target_tm1=lambda: head.mean(target_tm1),
        )

    transitions = _folded(config, seen)
    losses, surprise, q_tm1 = jax.vmap(one)(
        transitions, outputs_tm1, target_tm1, jax.random.split(key_t, config.unroll)
    )
    peak = PEAK * jnp.max(surprise) + (1.0 - PEAK) * jnp.mean(surprise)
    return jnp.mean(losses), peak, jnp.mean(q_tm1)


def _along(
    config: Config, network: Network, params: Params, steps: Step, key: PRNGKey | None
) -> tuple[Array, Memory]:
    """Return outputs before the steps to learn from, and memories in these and in what follows.

    Leaves are ``[unroll, ...]`` and ``[unroll + n_step - 1, ...]``.
    """
    burn_in = config.burn_in
    memory = jax.tree.map(lambda x: x[0], steps.memory_tm1)
    first = begins(steps.last)
    if burn_in:
        _, memories = unroll(network, params, memory, steps.obs_tm1[:burn_in], first[:burn_in])
        memory = jax.lax.stop_gradient(jax.tree.map(lambda x: x[-1], memories))
    outputs, memories = unroll(
        network, params, memory, steps.obs_tm1[burn_in:], first[burn_in:], key
    )
    return outputs[: config.unroll], memories


def _folded(config: Config, steps: Step) -> Transition:
    """Return the transitions of ``n_step`` steps that start in each of the first ``unroll``."""

    def line(x: Array) -> Array:
        return jnp.stack([x[k : k + config.unroll] for k in range(config.n_step)], axis=1)

    return windows.folding(config.n_step, config.discount)(jax.tree.map(line, steps))


def _step(row: Transition, last: Array, memory: Memory) -> Step:
    return Step(**{**vars(row), "last": last, "memory_tm1": memory})


def _warmup(parts: _Parts, state: State) -> State:
    """Act at random, reading what is seen, until the replay holds what learning starts from."""

    def choose(bits: Array, obs: Array, key: PRNGKey, memory: Memory) -> tuple[Array, Memory]:
        _, memory = parts.network.apply(state.agent.params, memory, obs, False, key)
        return exploration.random_action(bits, parts.environment.num_actions), memory

    return dqn.warm_up(parts.config, lambda state: _act_and_store(parts, state, choose)[0], state)


def _iterate(parts: _Parts, state: State, tally: Tally) -> tuple[State, Tally]:
    """Act by the network of the moment, and learn from all that was stored."""
    learn = partial(dqn.sample_and_learn, parts.learner, parts.replay, partial(_batch, parts))

    def act(state: State, tally: Tally) -> tuple[State, Tally]:
        epsilon = dqn.epsilon(parts.config, state)

        def choose(bits: Array, obs: Array, key: PRNGKey, memory: Memory) -> tuple[Array, Memory]:
            outputs, memory = parts.network.apply(state.agent.params, memory, obs, False, key)
            return exploration.epsilon_greedy(bits, parts.head.mean(outputs), epsilon), memory

        state, seen = _act_and_store(parts, state, choose)
        return state, tally.ended(seen.episodes, seen.returns)

    return dqn.alternate(parts.config, act, learn, state, tally)


def _act_and_store(parts: _Parts, state: State, by: Choose) -> tuple[State, Stepped]:
    """Step every environment once, and store what was remembered before."""
    actions, memory = acting.choose(parts.config, state, by, state.memory)
    after, seen = acting.step(parts.environment, parts.env_params, state, actions)
    last = seen.transitions.last
    rows = jax.vmap(parts.codec.narrow)(
        seen.transitions, state.env_state, seen.info.get("final_state")
    )
    replay = parts.replay.add(state.replay, _step(rows, last, state.memory))
    carried = jax.vmap(forgotten, (None, 0, 0))(parts.network.memory(), last, memory)
    return after.replace(replay=replay, memory=carried), seen


def _batch(parts: _Parts, rows: Any) -> Step:
    """Return the steps ``[B, burn_in + unroll + n_step - 1, ...]`` of what was drawn."""
    widen = jax.vmap(jax.vmap(parts.codec.widen, (0, None)), (0, None))
    return _step(widen(rows, parts.env_params), rows.last, rows.memory_tm1)
