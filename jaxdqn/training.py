"""The whole of training as one pure function: init, warm-up, then nested scans."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdqn import environment as environments
from jaxdqn import pytrees
from jaxdqn.algorithm import agent as agents
from jaxdqn.algorithm import exploration
from jaxdqn.algorithm.agent import AgentState
from jaxdqn.config import Config, check, check_single
from jaxdqn.evaluation import Evaluation, rollouts
from jaxdqn.random import check_key, unrolled
from jaxdqn.replay import codec, ring
from jaxdqn.replay.ring import ReplayState
from jaxdqn.types import Array, ConfigError, PRNGKey, Transition


class Keys(struct.PyTreeNode):
    """One key for each thing that chance pays for; each use folds in a counter.

    Evaluation has a stream of its own, so that looking more often changes nothing in training.
    """

    explore: PRNGKey
    env: PRNGKey
    sample: PRNGKey
    eval: PRNGKey


class State(struct.PyTreeNode):
    """Everything that a run needs to carry on: arrays only.

    Attributes:
        agent: networks and optimiser.
        replay: the ring.
        env_state: states of the environments, leaves ``[E, ...]``.
        obs: what the agent sees, ``[E, ...]``.
        episode_return: return of each episode under way, float32 ``[E]``.
        keys: one for each purpose.
        vector_steps: steps of all environments so far, warm-up included, int32 ``[]``.
        evaluations: evaluations so far, int32 ``[]``.
    """

    agent: AgentState
    replay: ReplayState
    env_state: Any
    obs: Array
    episode_return: Array
    keys: Keys
    vector_steps: Array
    evaluations: Array


class Metrics(struct.PyTreeNode):
    """One row per evaluation, leaves ``[T]``; means are over the time since the row before.

    Attributes:
        env_steps: environment steps so far, warm-up included, int32.
        updates: gradient updates so far, int32.
        epsilon: probability of a random action at this point.
        loss: mean loss.
        q_mean: mean value of the replayed actions.
        grad_norm: mean global norm of the gradient before clipping.
        episodes: training episodes that ended, int32.
        episode_return: their mean return while exploring; NaN where none ended.
        eval_return: see ``Evaluation``, as are the following.
        eval_length: steps.
        success: on mazes only, else None; so are the following.
        spl: success weighted by path length.
        regret: value lost at the start by acting greedily.
        q_error: root mean square of Q - Q*.
        q_bias: mean overestimation.
        held_out: the same measures on levels that training never sees; None without such.
    """

    env_steps: Array
    updates: Array
    epsilon: Array
    loss: Array
    q_mean: Array
    grad_norm: Array
    episodes: Array
    episode_return: Array
    eval_return: Array
    eval_length: Array
    success: Array | None
    spl: Array | None
    regret: Array | None
    q_error: Array | None
    q_bias: Array | None
    held_out: Evaluation | None


class _Parts(NamedTuple):
    """What a configuration means, built anew whenever a program is traced."""

    config: Config
    environment: environments.Environment
    env_params: Any
    agent: agents.Agent
    storage: codec.Storage
    replay: ring.Replay


def train(config: Config, key: PRNGKey) -> tuple[State, Metrics]:
    """Train one agent: ``init``, then ``run``.

    Pure: ``jax.vmap(train, in_axes=(None, 0))`` trains many agents, and an array in place of a
    number of the configuration, with a matching ``in_axes``, trains many settings.

    Args:
        config: the settings.
        key: consumed.

    Returns:
        The state at the end and one row of metrics per evaluation.

    Raises:
        ConfigError: a setting that can't be honoured; nothing has been traced yet.
    """
    return run(config, init(config, key))


def init(config: Config, key: PRNGKey) -> State:
    """Make a new agent and warm it up: its replay holds ``warmup_steps`` of random actions.

    Args:
        config: the settings.
        key: consumed.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    check(config)
    check_single(config)
    check_key(key)
    _, env_params = environments.make(config)
    return _init(config, env_params, key)


def run(config: Config, state: State, evaluations: int | None = None) -> tuple[State, Metrics]:
    """Carry on training from any state.

    ``run(a + b)`` equals ``run(a)`` followed by ``run(b)``, bit for bit.

    Args:
        config: the settings; numbers may differ from those that the state was made with,
            structure may not.
        state: from ``init``, ``run`` or ``train``.
        evaluations: how long, in evaluations (rows of metrics); all of the schedule by default.

    Raises:
        ConfigError: a setting that can't be honoured, or a state that isn't one agent of these.
    """
    check(config)
    check_single(config)
    if axes := pytrees.leading_axes(state, outline(config)):
        raise ConfigError(
            f"state holds many agents (leading axes {axes}), and run takes one: "
            "map over them with jax.vmap."
        )
    _, env_params = environments.make(config)
    length = config.schedule.evaluations if evaluations is None else evaluations
    return _run(config, env_params, state, length)


def outline(config: Config) -> State:
    """Return the shapes and dtypes of one agent's state, as ``jax.ShapeDtypeStruct``.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    check(config)
    # Numbers shape nothing, and an array of them may be a sweep: any one of them will do.
    one = jax.tree.map(lambda x: x if jnp.ndim(x) == 0 else x.reshape(-1)[0], config)
    scalars = {name: x for name, x in config.env_params.items() if np.ndim(x) == 0}
    return jax.eval_shape(init, one.replace(env_params=scalars), jax.random.key(0))


def bytes_per_transition(config: Config) -> int:
    """Return how many bytes of the replay buffer one transition takes.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    check(config)
    return _parts(config, environments.make(config)[1]).replay.bytes_per_transition


@jax.jit
def _init(config: Config, env_params: Any, key: PRNGKey) -> State:
    parts = _parts(config, env_params)
    key_network, key_reset, *rest = jax.random.split(key, 6)
    obs, env_state = jax.vmap(parts.environment.reset, (0, None))(
        jax.random.split(unrolled(key_reset), config.num_envs), env_params
    )
    state = State(
        agent=parts.agent.init(key_network),
        replay=parts.replay.init(),
        env_state=env_state,
        obs=obs,
        episode_return=jnp.zeros(config.num_envs),
        keys=Keys(*rest),
        vector_steps=jnp.int32(0),
        evaluations=jnp.int32(0),
    )

    # Environments may start with weakly typed numbers, which would compile run a second time.
    state = jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)

    def explore(state: State, _: None) -> tuple[State, None]:
        return _act_and_store(parts, state, jnp.float32(1.0))[0], None

    return jax.lax.scan(explore, state, length=config.schedule.warmup_iterations)[0]


@functools.partial(jax.jit, static_argnames="length")
def _run(config: Config, env_params: Any, state: State, length: int) -> tuple[State, Metrics]:
    parts = _parts(config, env_params)

    def period(state: State, _: None) -> tuple[State, Metrics]:
        (state, tally), _ = jax.lax.scan(
            functools.partial(_iterate, parts),
            (state, _Tally.zero()),
            length=config.schedule.iterations_per_evaluation,
        )
        key_eval = jax.random.fold_in(state.keys.eval, state.evaluations)
        evaluation = rollouts(config, env_params, state.agent.params, key_eval)
        state = state.replace(evaluations=state.evaluations + 1)
        return state, _metrics(parts, state, tally, evaluation)

    return jax.lax.scan(period, state, length=length)


def _parts(config: Config, env_params: Any) -> _Parts:
    environment, _ = environments.make(config)
    how = codec.make(config, environment, env_params)
    return _Parts(
        config=config,
        environment=environment,
        env_params=env_params,
        agent=agents.make(config, environment),
        storage=how,
        replay=ring.uniform(config.capacity, config.batch_size, how.example),
    )


class _Tally(struct.PyTreeNode):
    """Sums since the last evaluation, ``[]`` each."""

    loss: Array
    q_mean: Array
    grad_norm: Array
    episodes: Array
    returns: Array

    @classmethod
    def zero(cls) -> "_Tally":
        zero = jnp.float32(0.0)
        return cls(loss=zero, q_mean=zero, grad_norm=zero, episodes=jnp.int32(0), returns=zero)


def _iterate(parts: _Parts, carry: tuple[State, _Tally], _: None) -> tuple[Any, None]:
    """Act ``train_every`` times, then learn ``updates_per_step`` times."""

    def act(carry: tuple[State, _Tally], _: None) -> tuple[Any, None]:
        state, tally = carry
        state, episodes, returns = _act_and_store(parts, state, _epsilon(parts.config, state))
        tally = tally.replace(episodes=tally.episodes + episodes, returns=tally.returns + returns)
        return (state, tally), None

    def learn(carry: tuple[State, _Tally], _: None) -> tuple[Any, None]:
        state, tally = carry
        key_sample = jax.random.fold_in(unrolled(state.keys.sample), state.agent.updates)
        stored = parts.replay.sample(state.replay, key_sample)
        batch = jax.vmap(parts.storage.widen, (0, None))(stored, parts.env_params)
        agent, info = parts.agent.learn(state.agent, batch)
        tally = tally.replace(
            loss=tally.loss + info.loss,
            q_mean=tally.q_mean + info.q_mean,
            grad_norm=tally.grad_norm + info.grad_norm,
        )
        return (state.replace(agent=agent), tally), None

    carry, _ = jax.lax.scan(act, carry, length=parts.config.train_every)
    return jax.lax.scan(learn, carry, length=parts.config.updates_per_step)


def _epsilon(config: Config, state: State) -> Array:
    learning_steps = (state.vector_steps - config.schedule.warmup_iterations) * config.num_envs
    return exploration.linear_epsilon(
        learning_steps, config.epsilon_start, config.epsilon_end, config.epsilon_steps
    )


def _act_and_store(parts: _Parts, state: State, epsilon: Array) -> tuple[State, Array, Array]:
    """Step every environment once; also return how many episodes ended and their returns' sum."""
    count = parts.config.num_envs
    key_explore, key_env = (
        jax.random.fold_in(unrolled(key), state.vector_steps)
        for key in (state.keys.explore, state.keys.env)
    )
    actions = jax.vmap(parts.agent.act, (None, 0, 0, None))(
        state.agent.params, jax.random.bits(key_explore, (count, 2)), state.obs, epsilon
    )
    obs, env_state, rewards, terminated, truncated, info = jax.vmap(
        parts.environment.step, (0, 0, 0, None)
    )(jax.random.split(key_env, count), state.env_state, actions, parts.env_params)
    rewards = rewards.astype(jnp.float32)
    transitions = Transition(
        obs_tm1=state.obs,
        a_tm1=actions,
        r_t=rewards,
        discount_t=1.0 - terminated.astype(jnp.float32),
        obs_t=info["final_observation"],
    )
    stored = jax.vmap(parts.storage.narrow)(transitions, state.env_state, info.get("final_state"))
    ended = terminated | truncated
    returns = state.episode_return + rewards
    state = state.replace(
        replay=parts.replay.add(state.replay, stored),
        env_state=env_state,
        obs=obs,
        episode_return=jnp.where(ended, 0.0, returns),
        vector_steps=state.vector_steps + 1,
    )
    return state, jnp.sum(ended), jnp.sum(jnp.where(ended, returns, 0.0))


def _metrics(parts: _Parts, state: State, tally: _Tally, evaluation: Evaluation) -> Metrics:
    updates = parts.config.schedule.iterations_per_evaluation * parts.config.updates_per_step
    return Metrics(
        env_steps=state.vector_steps * parts.config.num_envs,
        updates=state.agent.updates,
        epsilon=_epsilon(parts.config, state),
        loss=tally.loss / updates,
        q_mean=tally.q_mean / updates,
        grad_norm=tally.grad_norm / updates,
        episodes=tally.episodes,
        # 0 / 0 is NaN: no episode ended, no return was measured.
        episode_return=tally.returns / tally.episodes,
        **vars(evaluation),
    )
