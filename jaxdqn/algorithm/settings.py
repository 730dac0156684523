"""What can be set of Double DQN, and which settings of it contradict each other."""

from typing import Any, Literal

import jax
import numpy as np
from flax import struct

from jaxdqn.settings import Float, Int, Schedule, leaf, static
from jaxdqn.types import ConfigError, shown


class DQNSettings(struct.PyTreeNode):
    """Double DQN, or DQN where double is false."""

    double: bool = static(True)
    """Double Q-learning: the online network chooses the action that the target network judges."""
    discount: Float = leaf(0.99, low=0.0, high=1.0)
    """Discount factor (gamma)."""
    learning_rate: Float = leaf(1e-4, low=0.0, high=1e3)
    """Adam's step size at the start of learning."""
    learning_rate_end_factor: Float = leaf(1.0, low=0.0, high=1e3)
    """The step size falls linearly to this fraction of itself at the last update; 1: constant."""
    adam_epsilon: Float = leaf(1e-8, low=1e-20)
    """Adam's epsilon."""
    max_grad_norm: Float = leaf(10.0, low=1e-8, infinite=True)
    """The gradient is scaled down to this global norm; inf: never."""

    warmup_steps: int = static(3_000, low=1)
    """Transitions of uniformly random actions stored before learning starts."""
    train_every: int = static(1, low=1)
    """Steps of all environments between two moments of learning."""
    updates_per_step: int = static(1, low=1)
    """Gradient updates at each moment of learning."""
    capacity: int = static(10_000, low=1)
    """Transitions that the replay buffer holds (N)."""
    replay: Literal["observations", "states"] = static("observations")
    """What it stores: what the agent saw, or the state of a maze, to be seen anew when sampled."""
    batch_size: int = static(64, low=1)
    """Transitions in one gradient update (B), drawn uniformly with replacement."""

    target_period: Int = leaf(200, low=1)
    """Updates between two moves of the target network."""
    target_rate: Float = leaf(1.0, low=0.0, high=1.0)
    """How far the target network moves: 1 is a hard copy, less is Polyak averaging."""
    epsilon_start: Float = leaf(1.0, low=0.0, high=1.0)
    """Probability of a random action when learning starts."""
    epsilon_end: Float = leaf(0.05, low=0.0, high=1.0)
    """Probability of a random action once epsilon_steps have passed."""
    epsilon_steps: Int = leaf(20_000, low=1)
    """Environment steps, counted from the end of warm-up, over which epsilon falls linearly."""

    def schedule(self, total_steps: int, num_envs: int, evaluations: int) -> Schedule:
        """Return exact counts: warm-up, iterations per evaluation, environment steps, updates."""
        per_iteration = num_envs * self.train_every
        warmup = -(-self.warmup_steps // num_envs)
        learning_steps = max(total_steps - warmup * num_envs, 1)
        per_evaluation = -(-learning_steps // (per_iteration * evaluations))
        iterations = per_evaluation * evaluations
        return Schedule(
            warmup_iterations=warmup,
            evaluations=evaluations,
            iterations_per_evaluation=per_evaluation,
            env_steps_per_iteration=per_iteration,
            warmup_env_steps=warmup * num_envs,
            env_steps=warmup * num_envs + iterations * per_iteration,
            updates=iterations * self.updates_per_step,
        )

    def check(self, total_steps: int, num_envs: int, evaluations: int) -> None:
        """Refuse, with a ``ConfigError``, numbers of steps that can't go together."""
        plan = self.schedule(total_steps, num_envs, evaluations)
        warm, per_iteration = plan.warmup_env_steps, plan.env_steps_per_iteration
        if self.batch_size > warm:
            raise ConfigError(
                f"batch_size ({self.batch_size}) exceeds what warm-up collects ({warm}): "
                f"raise warmup_steps to {self.batch_size} or more."
            )
        if warm > self.capacity:
            raise ConfigError(
                f"warmup_steps ({self.warmup_steps}, in {num_envs} environments {warm}) "
                f"exceeds capacity ({self.capacity}), so its beginning would be lost: "
                f"raise capacity to {warm} or lower warmup_steps."
            )
        if per_iteration > self.capacity:
            raise ConfigError(
                f"num_envs ({num_envs}) × train_every ({self.train_every}) = {per_iteration} "
                f"transitions between updates exceed capacity ({self.capacity}): "
                f"raise capacity to {per_iteration} or lower num_envs or train_every."
            )
        learning = total_steps - warm
        if learning < per_iteration * evaluations:
            raise ConfigError(
                f"total_steps ({total_steps}) leaves {max(learning, 0)} steps after warm-up "
                f"({warm}), too few for {evaluations} evaluations of at least {per_iteration}: "
                f"raise total_steps to {warm + per_iteration * evaluations} or lower "
                f"evaluations."
            )
        if plan.env_steps >= 2**31:
            raise ConfigError(
                f"total_steps ({total_steps}) must stay below 2147483648, since steps are "
                f"counted in 32 bits: lower it and call run again to carry on."
            )
        if plan.updates >= 2**31:
            raise ConfigError(
                f"updates_per_step ({self.updates_per_step}) makes {plan.updates} updates, which "
                "must stay below 2147483648: lower it."
            )
        _check_epsilon(self.epsilon_start, self.epsilon_end, self.epsilon_steps, learning)


def _check_epsilon(start: Any, end: Any, horizon: Any, learning: int) -> None:
    if any(isinstance(value, jax.core.Tracer) for value in (start, end, horizon)):
        return
    if np.any(np.asarray(horizon) > learning):
        raise ConfigError(
            f"epsilon_steps ({shown(horizon)}) exceeds the {learning} steps that learning lasts, "
            f"so epsilon would never reach epsilon_end: lower epsilon_steps to {learning} or raise "
            f"total_steps."
        )
    # Two sweeps of different shapes are not for one agent, and refused as that.
    shapes = {np.shape(start), np.shape(end)} - {()}
    if len(shapes) < 2 and np.any(np.asarray(end) > np.asarray(start)):
        raise ConfigError(
            f"epsilon_end ({shown(end)}) exceeds epsilon_start ({shown(start)}): lower epsilon_end "
            f"or raise epsilon_start."
        )
