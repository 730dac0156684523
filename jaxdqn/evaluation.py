"""The greedy policy, measured: by walking, and on mazes against exact values."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr

from jaxdqn import maze, pytrees, rollouts, unread
from jaxdqn.assembly import Parts, apart, assemble
from jaxdqn.config import Config, check, check_single, reading_nothing, shaping
from jaxdqn.errors import ConfigError
from jaxdqn.maze import oracle
from jaxdqn.metrics import Evaluation
from jaxdqn.precision import in_usual_numbers
from jaxdqn.random import check_key, unrolled
from jaxdqn.types import Array, Params, PRNGKey

NETWORK = "give state.agent.params, of a state that these settings made"
"""Remedy where something else stands in its place."""
TOGETHER = 2_048
"""Most episodes walked side by side: 20,000 in 13×13 mazes with a residual network took 8.6 GB."""


@in_usual_numbers
def evaluate(config: Config, params: Params, key: PRNGKey) -> Evaluation:
    """Evaluate the greedy policy of a network over ``config.eval_episodes`` episodes.

    Args:
        config: the settings it was trained with.
        params: the network's parameters, ``state.agent.params``.
        key: consumed.

    Returns:
        Means over the episodes, float32 ``[]`` each; on mazes ``held_out`` has those on levels that
        training never sees, where there are any.

    Raises:
        ConfigError: a setting that can't be honoured, parameters of many networks, or mazes that
            the network's trunk has read, where the folder of ``pretrained`` is there to say so.
    """
    check(config)
    check_single(config)
    check_key(key)
    unread.check_judged(config)
    config, env_params = apart(reading_nothing(config))
    method = assemble(config, env_params).method
    one = jax.eval_shape(method.init, jax.random.key(0))[0].params
    if axes := pytrees.leading_axes(params, one, "params", NETWORK):
        raise ConfigError(
            f"params hold many networks (leading axes {axes}), and evaluate takes one: "
            "map over them with jax.vmap."
        )
    return _evaluate(config, env_params, params, key)


@in_usual_numbers
def traced(config: Config, params: Params) -> Jaxpr:
    """Return the program of an evaluation, not compiled, for networks of such shapes."""
    config, env_params = apart(shaping(config))
    program: Jaxpr = _evaluate.trace(config, env_params, params, jax.random.key(0)).jaxpr.jaxpr
    return program


@jax.jit
def _evaluate(config: Config, env_params: Any, params: Params, key: PRNGKey) -> Evaluation:
    return measure(assemble(config, env_params), params, key)


def measure(parts: Parts, params: Params, key: PRNGKey) -> Evaluation:
    """Walk greedily and measure, inside a compiled program; the key is consumed."""
    if not parts.environment.is_maze:
        return _walk(parts, params, key)[0]
    on_train = _on_bank(parts, params, key)
    if parts.env_params.held_out is None:
        return on_train
    unseen = parts.env_params.replace(levels=parts.env_params.held_out)
    key_unseen = jax.random.fold_in(unrolled(key), 1)
    held_out = _on_bank(parts._replace(env_params=unseen), params, key_unseen)
    return on_train.replace(held_out=held_out)


def _on_bank(parts: Parts, params: Params, key: PRNGKey) -> Evaluation:
    """Measure on the levels of one bank, where it can be also against the exact values."""
    result, episodes, shortest = _walk(parts, params, key)
    efficiency = episodes.terminated * shortest / jnp.maximum(episodes.lengths, shortest)
    # Where a network remembers, what a cell is worth depends on how it was reached.
    remembers = jax.tree.leaves(parts.method.memory())
    exact = {} if remembers else _against_exact(parts, params, key)
    return result.replace(success=jnp.mean(episodes.terminated), spl=jnp.mean(efficiency), **exact)


def _against_exact(parts: Parts, params: Params, key: PRNGKey) -> dict[str, Array]:
    """Compare what the network gives in each cell with exact values."""
    of_params = parts.method.q_values
    exact = oracle.consult(
        parts.environment.gymnax,
        parts.env_params,
        parts.config.discount,
        lambda obs: parts.method.act(params, parts.method.memory(), obs, key)[0],
        None if of_params is None else partial(of_params, params),
        parts.config.oracle_levels,
    )
    if (returns := parts.method.returns) is not None:
        exact["return_distance"] = oracle.return_distance(
            parts.environment.gymnax, parts.env_params, parts.config.discount,
            partial(returns, params),
        )  # fmt: skip
    if (policy := parts.method.policy) is not None:
        exact |= oracle.judge_policy(
            parts.environment.gymnax, parts.env_params, parts.config.discount,
            partial(policy, params), parts.config.oracle_levels,
        )  # fmt: skip
    return exact


def _walk(parts: Parts, params: Params, key: PRNGKey) -> tuple[Evaluation, rollouts.Episodes, Any]:
    """Return means, ends and, on mazes, shortest lengths of ``eval_episodes`` greedy episodes."""
    count = parts.config.eval_episodes
    turns = -(-count // TOGETHER)
    each = -(-count // turns)
    places = jnp.arange(turns * each)
    if turns == 1:
        episodes, shortest = _watch(parts, params, key, places)
    else:

        def turn(places: Array) -> tuple[rollouts.Episodes, Any]:
            return _watch(parts, params, jax.random.fold_in(unrolled(key), places[0]), places)

        by_turn = jax.lax.map(turn, places.reshape(turns, each))
        # Those of the last turn that were not asked for are left out.
        episodes, shortest = jax.tree.map(lambda x: x.reshape(-1)[:count], by_turn)
    means = Evaluation(jnp.mean(episodes.returns), jnp.mean(episodes.lengths))
    return means, episodes, shortest


def _watch(
    parts: Parts, params: Params, key: PRNGKey, places: Array
) -> tuple[rollouts.Episodes, Any]:
    """Walk side by side the episodes that have these ``places`` among all."""
    environment, env_params, count = parts.environment, parts.env_params, len(places)
    key_start, key_env, key_act = jax.random.split(unrolled(key), 3)
    keys = jax.random.split(key_start, count)
    if environment.is_maze:
        level = places % len(env_params.levels)
        start = jax.vmap(environment.gymnax.start_on, (0, 0, None))(keys, level, env_params)
    else:
        start = jax.vmap(environment.reset, (0, None))(keys, env_params)
    episodes, _ = rollouts.walk(
        environment,
        env_params,
        partial(parts.method.act, params),
        parts.method.memory(),
        start,
        (key_act, key_env),
        parts.config.eval_steps,
    )
    if not environment.is_maze:
        return episodes, None
    return episodes, jax.vmap(_shortest_path, (None, 0))(env_params, start[1])


def _shortest_path(env_params: maze.MazeParams, state: maze.MazeState) -> Array:
    return maze.distances(env_params.levels.walls[state.level], state.goal)[state.agent]
