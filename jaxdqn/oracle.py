"""How far what was learned is from what is true, on mazes solved exactly."""

import jax
import jax.numpy as jnp
from flax import struct

from jaxdqn import environment as environments
from jaxdqn.algorithm import agent as agents
from jaxdqn.config import Config
from jaxdqn.maze import MazeParams, solve
from jaxdqn.types import Array, Params

AT_ONCE = 16
"""Levels consulted at once: 128 of 13×13 with a residual network of 64 channels took 56 GB."""


class Oracle(struct.PyTreeNode):
    """Exact measures over the first ``config.oracle_levels`` levels; float32 ``[]`` each.

    Attributes:
        regret: value lost by acting greedily, V*(s) - V^greedy(s) at the start, by policy
            evaluation; its mean over all connected cells where episodes start at random.
        q_error: root mean square of Q - Q* over connected cells and all actions.
        q_bias: mean over connected cells of max Q - max Q*; above 0 is overestimation
            (van Hasselt et al., 2016, arXiv:1509.06461).
    """

    regret: Array
    q_error: Array
    q_bias: Array


def consult(config: Config, env_params: MazeParams, params: Params) -> Oracle:
    """Compare a network with the exact values, inside a compiled program.

    Goals are those of the levels; a goal drawn anew in each episode is not followed.
    """
    environment, _ = environments.make(config)
    maze, agent = environment.gymnax, agents.make(config, environment)

    def of_level(level: Array) -> Oracle:
        cells = env_params.levels.cells[level]
        goal = cells[-1]
        model = maze.model(env_params, level, goal, config.discount)
        exact = solve.optimal_q(model)
        seen = maze.observe_everywhere(env_params, level, goal)
        learned = jax.vmap(agent.q_values, (None, 0))(params, seen)
        # The goal has no value of its own; padding repeats the goal.
        counts = jnp.zeros(len(exact), bool).at[cells].set(True).at[goal].set(False)
        lost = exact.max(axis=1) - solve.policy_value(model, jnp.argmax(learned, axis=1))
        starts = counts if maze.random_start else jnp.arange(len(exact)) == cells[0]
        return Oracle(
            regret=jnp.mean(lost, where=starts),
            q_error=jnp.mean((learned - exact) ** 2, where=counts[:, None]),
            q_bias=jnp.mean(learned.max(axis=1) - exact.max(axis=1), where=counts),
        )

    count = min(config.oracle_levels, len(env_params.levels))
    by_level = jax.lax.map(of_level, jnp.arange(count), batch_size=min(count, AT_ONCE))
    means = jax.tree.map(jnp.mean, by_level)
    return means.replace(q_error=jnp.sqrt(means.q_error))
