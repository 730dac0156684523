"""Walks through mazes, cell by cell, to be drawn."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdqn import environment as environments
from jaxdqn.algorithm import agent as agents
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
    environment, _ = environments.make(config)
    act = agents.make(config, environment).act

    def one(key: PRNGKey, level: Array) -> Walks:
        obs, first = environment.gymnax.start_on(key, level, env_params)

        def step(carry: tuple, t: Array) -> tuple[tuple, tuple[Array, Array]]:
            obs, state, ended = carry
            key_act, key_env = jax.random.split(jax.random.fold_in(key, t))
            action = act(params, jax.random.bits(key_act, (2,)), obs, jnp.float32(epsilon))
            new_obs, new_state, _, done, _ = environment.gymnax.step_env(
                key_env, state, action, env_params
            )
            obs, state = jax.tree.map(
                lambda old, new: jnp.where(ended, old, new), (obs, state), (new_obs, new_state)
            )
            return (obs, state, ended | done), (state.agent, ended)

        _, (cells, ended) = jax.lax.scan(step, (obs, first, jnp.array(False)), jnp.arange(steps))
        cells = jnp.concatenate([first.agent[None], cells])
        return Walks(cells, first.goal, jnp.sum(~ended), cells[-1] == first.goal)

    return jax.vmap(one)(jax.random.split(key, len(levels)), levels)
