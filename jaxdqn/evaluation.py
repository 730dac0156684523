"""Greedy rollouts of fixed length, each masked from its first ending on."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxdqn import environment as environments
from jaxdqn import maze, oracle
from jaxdqn.algorithm import agent as agents
from jaxdqn.config import Config, check
from jaxdqn.random import check_key, unrolled
from jaxdqn.types import Array, Params, PRNGKey


class Evaluation(struct.PyTreeNode):
    """Means over the greedy episodes of one evaluation; float32 ``[]`` each.

    On mazes the episodes take the levels of the bank in their order, so that ``eval_episodes``
    equal to ``num_levels`` walks each once.

    Attributes:
        eval_return: undiscounted return; of an episode cut at ``eval_steps``, up to the cut.
        eval_length: steps; of an episode that was cut, ``eval_steps``.
        success: share of episodes that reached the goal; on mazes only, else None.
        spl: success weighted by (shortest / walked) path length (Anderson et al., 2018,
            arXiv:1807.06757); on mazes only, else None.
        regret: see ``oracle.Oracle``, as are the following; on mazes only, else None.
        q_error: root mean square of Q - Q*.
        q_bias: mean overestimation.
        held_out: the same measures on the levels that training never sees; None without such.
    """

    eval_return: Array
    eval_length: Array
    success: Array | None = None
    spl: Array | None = None
    regret: Array | None = None
    q_error: Array | None = None
    q_bias: Array | None = None
    held_out: "Evaluation | None" = None


class _Episodes(struct.PyTreeNode):
    """Greedy episodes under way, ``[episodes]`` each."""

    alive: Array
    returns: Array
    lengths: Array
    terminated: Array


def evaluate(config: Config, params: Params, key: PRNGKey) -> Evaluation:
    """Evaluate the greedy policy of a network over ``config.eval_episodes`` episodes.

    Args:
        config: the settings it was trained with.
        params: the network's parameters, ``state.agent.params``.
        key: consumed.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    check(config)
    check_key(key)
    _, env_params = environments.make(config)
    return _rollouts(config, env_params, params, key)


def rollouts(config: Config, env_params: Any, params: Params, key: PRNGKey) -> Evaluation:
    """Walk greedily and measure, inside a compiled program; the key is consumed."""
    if not environments.make(config)[0].is_maze:
        return _walk(config, env_params, params, key)[0]
    on_train = _on_bank(config, env_params, params, key)
    if env_params.held_out is None:
        return on_train
    unseen = env_params.replace(levels=env_params.held_out)
    return on_train.replace(held_out=_on_bank(config, unseen, params, key))


_rollouts = jax.jit(rollouts)


def _on_bank(
    config: Config, env_params: maze.MazeParams, params: Params, key: PRNGKey
) -> Evaluation:
    """Measure on the levels of one bank, also against the exact values."""
    result, first, episodes = _walk(config, env_params, params, key)
    shortest = jax.vmap(_shortest_path, (None, 0))(env_params, first)
    efficiency = episodes.terminated * shortest / jnp.maximum(episodes.lengths, shortest)
    exact = oracle.consult(config, env_params, params)
    return result.replace(
        success=jnp.mean(episodes.terminated), spl=jnp.mean(efficiency), **vars(exact)
    )


def _walk(
    config: Config, env_params: Any, params: Params, key: PRNGKey
) -> tuple[Evaluation, Any, _Episodes]:
    """Return means, first states and ends of ``eval_episodes`` greedy episodes."""
    environment, _ = environments.make(config)
    agent = agents.make(config, environment)
    count = config.eval_episodes
    key_start, key_env = jax.random.split(unrolled(key))
    keys = jax.random.split(key_start, count)
    if environment.is_maze:
        level = jnp.arange(count) % len(env_params.levels)
        start = jax.vmap(environment.gymnax.start_on, (0, 0, None))
        first_obs, first_state = start(keys, level, env_params)
    else:
        first_obs, first_state = jax.vmap(environment.reset, (0, None))(keys, env_params)
    fresh = _Episodes(
        alive=jnp.ones(count, bool),
        returns=jnp.zeros(count),
        lengths=jnp.zeros(count, jnp.int32),
        terminated=jnp.zeros(count, bool),
    )

    def step(carry: tuple[Any, Any, _Episodes], t: Array) -> tuple[Any, None]:
        obs, env_state, episodes = carry
        actions = jnp.argmax(jax.vmap(agent.q_values, (None, 0))(params, obs), axis=-1)
        keys = jax.random.split(jax.random.fold_in(key_env, t), count)
        obs, env_state, rewards, terminated, truncated, _ = jax.vmap(
            environment.step, (0, 0, 0, None)
        )(keys, env_state, actions, env_params)
        episodes = _Episodes(
            alive=episodes.alive & ~(terminated | truncated),
            returns=episodes.returns + jnp.where(episodes.alive, rewards, 0.0),
            lengths=episodes.lengths + episodes.alive,
            terminated=episodes.terminated | (episodes.alive & terminated),
        )
        return (obs, env_state, episodes), None

    steps = jnp.arange(config.eval_steps)
    (_, _, episodes), _ = jax.lax.scan(step, (first_obs, first_state, fresh), steps)
    means = Evaluation(jnp.mean(episodes.returns), jnp.mean(episodes.lengths))
    return means, first_state, episodes


def _shortest_path(env_params: maze.MazeParams, state: maze.MazeState) -> Array:
    return maze.distances(env_params.levels.walls[state.level], state.goal)[state.agent]
