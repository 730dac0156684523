"""What can be set whatever the method is: the environment, how long, and how it is judged."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flax import struct

from jaxdqn.errors import ConfigError
from jaxdqn.settings.words import leaf, static


class RunSettings(struct.PyTreeNode):
    """The environment, how long, and how it is judged."""

    env: str = static(
        "Maze-jaxdqn",
        remedy="register it with gymnax, or name its class as 'package.module:Class'",
    )
    """Name of any registered gymnax environment with discrete actions, or package.module:Class."""
    env_kwargs: Mapping[str, Any] = static({})
    """Arguments of the environment's constructor, as for gymnax.make."""
    env_params: Mapping[str, Any] = leaf({})
    """Changes to the environment's default parameters, e.g. max_steps_in_episode."""

    total_steps: int = static(100_000, low=1)
    """Environment steps per agent, warm-up included; rounded up, so that any two evaluations are as
    many iterations apart."""
    num_envs: int = static(16, low=1)
    """Parallel environments of one agent (E)."""
    evaluations: int = static(50, low=1)
    """Rows of metrics (T), evenly spaced over learning; the greedy policy is evaluated at each. At
    most one for each iteration."""
    eval_episodes: int = static(8, low=1)
    """Greedy episodes in one evaluation."""
    eval_steps: int = static(500, low=1)
    """Steps after which an evaluation episode that has not ended is cut."""
    oracle_levels: int = static(64, low=1)
    """On mazes: levels, from the bank's first, on which values are compared with exact ones."""


class Schedule(NamedTuple):
    """What a configuration really runs, per agent; remainders are always rounded up.

    One iteration is some steps of all environments, then some updates: with Double DQN
    ``train_every`` and ``updates_per_step``.
    """

    warmup_iterations: int  # steps of all environments before learning starts
    evaluations: int  # T
    iterations_per_evaluation: int
    env_steps_per_iteration: int
    warmup_env_steps: int
    env_steps: int  # all of them, warm-up included; never fewer than total_steps
    updates: int  # gradient updates
    batch_size: int  # observations in one of them (B)

    @property
    def updates_per_evaluation(self) -> int:
        """Updates between two evaluations."""
        return self.updates // self.evaluations

    @property
    def env_steps_per_evaluation(self) -> int:
        """Steps of all environments between two evaluations."""
        return self.iterations_per_evaluation * self.env_steps_per_iteration


def schedule(
    run: RunSettings,
    env_steps_per_iteration: int,
    updates_per_iteration: int,
    batch_size: int,
    warmup_iterations: int = 0,
) -> Schedule:
    """Spread ``total_steps`` over evaluations that are equally many iterations apart.

    Args:
        run: how long, and how often it is judged.
        env_steps_per_iteration: of all environments.
        updates_per_iteration: gradient updates.
        batch_size: observations in one of them.
        warmup_iterations: steps of all environments before learning starts.
    """
    warmup = warmup_iterations * run.num_envs
    learning_steps = max(run.total_steps - warmup, 1)
    evaluations = min(run.evaluations, -(-learning_steps // env_steps_per_iteration))
    per_evaluation = -(-learning_steps // (env_steps_per_iteration * evaluations))
    iterations = per_evaluation * evaluations
    return Schedule(
        warmup_iterations=warmup_iterations,
        evaluations=evaluations,
        iterations_per_evaluation=per_evaluation,
        env_steps_per_iteration=env_steps_per_iteration,
        warmup_env_steps=warmup,
        env_steps=warmup + iterations * env_steps_per_iteration,
        updates=iterations * updates_per_iteration,
        batch_size=batch_size,
    )


def check_steps(asked: int, made: int) -> None:
    """Refuse, with a ``ConfigError``, a training of more steps than are counted.

    Args:
        asked: ``total_steps``.
        made: what it comes to.
    """
    if made >= 2**31:
        comes_to = f"comes to {made} after rounding up to whole evaluations, and " * (made != asked)
        raise ConfigError(
            f"total_steps ({asked}) {comes_to}must be below 2147483648, since steps are counted in "
            "32 bits: lower it."
        )
