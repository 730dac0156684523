"""Walks through mazes, cell by cell, to be drawn."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdqn import rollouts
from jaxdqn.algorithm import exploration
from jaxdqn.assembly import assemble
from jaxdqn.config import Config
from jaxdqn.maze import MazeParams
from jaxdqn.types import Array, Params, PRNGKey


class Walks(NamedTuple):
    """One episode on each of some levels (W walks of at most T steps).

    Attributes:
        cells: where the agent was, int32 ``[W, T + 1]``; from the end on, where it ended.
        goals: int32 ``[W]``.
        steps: until the end, int32 ``[W]``.
        reached: whether the goal was, ``[W]``.
    """

    cells: Array
    goals: Array
    steps: Array
    reached: Array


@functools.partial(jax.jit, static_argnames="steps")
def walk(
    config: Config,
    env_params: MazeParams,
    params: Params,
    key: PRNGKey,
    levels: Array,
    epsilon: float | Array,
    steps: int,
) -> Walks:
    """Walk epsilon-greedily, once on each of ``levels``.

    Args:
        config: the settings, of a maze.
        env_params: its parameters, with the bank that ``levels`` index.
        params: the network.
        key: consumed.
        levels: int ``[W]``.
        epsilon: probability of a random action.
        steps: of the longest walk (T).
    """
    parts = assemble(config, env_params)
    environment, method = parts.environment, parts.method
    key_start, key_act, key_env = jax.random.split(key, 3)
    keys = jax.random.split(key_start, len(levels))
    start = jax.vmap(environment.gymnax.start_on, (0, 0, None))(keys, levels, env_params)

    def act(memory: Any, obs: Array, key: PRNGKey) -> tuple[Array, Any]:
        key_act, key_explore = jax.random.split(key)
        action, memory = method.act(params, memory, obs, key_act)
        bits = jax.random.bits(key_explore, (2,))
        return exploration.sometimes_random(bits, action, environment.num_actions, epsilon), memory

    episodes, cells = rollouts.walk(
        environment, env_params, act, method.memory(), start, (key_act, key_env), steps,
        watch=lambda info: info["final_state"].agent,
    )  # fmt: skip
    first = start[1]
    cells = jnp.concatenate([first.agent[None], cells]).T
    until_end = jnp.minimum(jnp.arange(steps + 1)[None], episodes.lengths[:, None])
    cells = jnp.take_along_axis(cells, until_end, axis=1)
    return Walks(cells, first.goal, episodes.lengths, cells[:, -1] == first.goal)
