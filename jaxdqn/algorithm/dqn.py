"""Double DQN: act, store, sample, learn."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdqn.algorithm import acting, codec, exploration, learner
from jaxdqn.algorithm.acting import Stepped
from jaxdqn.algorithm.codec import Codec
from jaxdqn.algorithm.learner import Learner
from jaxdqn.config import Config
from jaxdqn.environment import Environment
from jaxdqn.errors import ConfigError
from jaxdqn.losses.bootstrap import Bootstrap
from jaxdqn.losses.heads import Head
from jaxdqn.method import Method, State, Tally
from jaxdqn.networks.network import Memory, Network
from jaxdqn.random import unrolled
from jaxdqn.replay import windows
from jaxdqn.replay.ring import Replay
from jaxdqn.types import Array, Params, PRNGKey, Transition

Turn = Callable[[State, Tally], tuple[State, Tally]]
"""One part of an iteration."""


class _Parts(NamedTuple):
    """What the settings chose, put together."""

    config: Config
    environment: Environment
    env_params: Any
    learner: Learner
    codec: Codec
    replay: Replay


def make(config: Config, environment: Environment, env_params: Any) -> Method:
    """Build the method for an environment's observations and actions."""
    how, network, head = learner_of(config, environment)
    stored = codec.make(config, environment, env_params)
    replay = config.part("replay").make(
        config.capacity, config.batch_size, stored.example, config.n_step, config.num_envs,
        config.schedule.updates,
    )  # fmt: skip
    parts = _Parts(config, environment, env_params, how, stored, replay)

    def act(params: Params, memory: Memory, obs: Array, _: PRNGKey) -> tuple[Array, Memory]:
        return jnp.argmax(how.q_values(params, obs)), memory

    return Method(
        init=lambda key: (how.init(key), replay.init()),
        warmup=partial(_warmup, parts),
        iterate=partial(_iterate, parts),
        epsilon=partial(epsilon, config),
        memory=network.memory,
        act=act,
        outputs=how.outputs,
        q_values=how.q_values,
        side_by_side=network.side_by_side,
        bytes_per_transition=replay.bytes_per_transition,
        kept_by=("capacity", "num_envs"),
        learned_by=("batch_size",),
        returns=head.returns and (lambda params, obs: head.returns(how.outputs(params, obs))),
    )


def learner_of(config: Config, environment: Environment) -> tuple[Learner, Network, Head]:
    """Build the learning step, and the network and the head in it."""
    head = config.part("head").make()
    network = config.part("network").make(
        environment.num_actions, head.width, environment.categories, head.at_fractions
    )
    loss = partial(learner.transition_loss, config, network, head, bootstrap_of(config, head))
    how = learner.make(config, network, head, loss, environment.obs)
    if jax.default_backend() == "gpu":
        # Only here, since Pallas takes as long to import as all the rest.
        from jaxdqn.algorithm import fused

        how = fused.where_it_fits(config, environment, how)
    return how, network, head


def bootstrap_of(config: Config, head: Head) -> Bootstrap:
    """Return what follows a step, or refuse one that a head can't have."""
    follows: Bootstrap = config.part("bootstrap").make(config.double)
    if follows.adds and not head.adds:
        raise ConfigError(
            f"bootstrap ({config.bootstrap!r}) adds to returns, and head ({config.head!r}) has "
            "probabilities of fixed ones: set head = 'quantile' or bootstrap = 'greedy'."
        )
    return follows


def epsilon(config: Config, state: State) -> Array:
    """Return the probability of a random action, which falls from the end of warm-up on."""
    learning_steps = (state.vector_steps - config.schedule.warmup_iterations) * config.num_envs
    return exploration.linear_epsilon(
        learning_steps, config.epsilon_start, config.epsilon_end, config.epsilon_steps
    )


def _warmup(parts: _Parts, state: State) -> State:
    """Act at random until the replay holds what learning starts from."""

    def choose(bits: Array, *_: Any) -> Array:
        return exploration.random_action(bits, parts.environment.num_actions)

    return warm_up(parts.config, lambda state: _act_and_store(parts, state, choose)[0], state)


def warm_up(config: Config, explore: Callable[[State], State], state: State) -> State:
    """Step all environments, by ``explore``, as often as nothing is learned."""
    length = config.schedule.warmup_iterations
    return jax.lax.scan(lambda state, _: (explore(state), None), state, length=length)[0]


def _iterate(parts: _Parts, state: State, tally: Tally) -> tuple[State, Tally]:
    """Act by the network of the moment, and learn from all that was stored."""
    learn = partial(sample_and_learn, parts.learner, parts.replay, partial(_batch, parts))

    def act(state: State, tally: Tally) -> tuple[State, Tally]:
        chance = epsilon(parts.config, state)

        def choose(bits: Array, obs: Array, key: PRNGKey) -> Array:
            q = parts.learner.q_values(state.agent.params, obs, key)
            return exploration.epsilon_greedy(bits, q, chance)

        state, seen = _act_and_store(parts, state, choose)
        return state, tally.ended(seen.episodes, seen.returns)

    return alternate(parts.config, act, learn, state, tally)


def alternate(
    config: Config, act: Turn, learn: Turn, state: State, tally: Tally
) -> tuple[State, Tally]:
    """Act ``train_every`` times, then learn ``updates_per_step`` times."""

    def again(turn: Turn) -> Callable[..., Any]:
        return lambda carry, _: (turn(*carry), None)

    carry, _ = jax.lax.scan(again(act), (state, tally), length=config.train_every)
    carry, _ = jax.lax.scan(again(learn), carry, length=config.updates_per_step)
    return carry


def _act_and_store(
    parts: _Parts, state: State, by: Callable[[Array, Array, PRNGKey], Array]
) -> tuple[State, Stepped]:
    """Step every environment once, by actions ``by(bits [2], obs, key)``."""
    actions = acting.choose(parts.config, state, by)
    after, seen = acting.step(parts.environment, parts.env_params, state, actions)
    rows = jax.vmap(parts.codec.narrow)(
        seen.transitions, state.env_state, seen.info.get("final_state")
    )
    return after.replace(replay=parts.replay.add(state.replay, rows)), seen


def _batch(parts: _Parts, rows: Any) -> Transition:
    """Return the transitions ``[B, ...]`` of what was drawn, ``[B, n_step, ...]``."""
    stored = windows.folding(parts.config.n_step, parts.config.discount)(rows)
    batch: Transition = jax.vmap(parts.codec.widen, (0, None))(stored, parts.env_params)
    return batch


def sample_and_learn(
    how: Learner, replay: Replay, batch_of: Callable[[Any], Transition], state: State, tally: Tally
) -> tuple[State, Tally]:
    """Make one gradient update, from what ``batch_of`` makes of the items of a sample."""
    key_sample, key_learn = (
        jax.random.fold_in(unrolled(key), state.agent.updates)
        for key in (state.keys.sample, state.keys.learn)
    )
    drawn = replay.sample(state.replay, key_sample)
    agent, info, surprise = how.learn(state.agent, batch_of(drawn.items), drawn.weight, key_learn)
    stored = replay.update(state.replay, drawn.index, surprise)
    return state.replace(agent=agent, replay=stored), tally.learned(info)
