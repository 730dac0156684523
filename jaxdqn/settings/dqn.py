"""What can be set of Double DQN, and which settings of it contradict each other."""

from typing import Any, ClassVar, Literal

import jax
import numpy as np

from jaxdqn import settings
from jaxdqn.errors import ConfigError, shown
from jaxdqn.settings import Float, Int, MethodSettings, RunSettings, Schedule, leaf, static


class GradientSettings(MethodSettings):
    """How a step down the gradient is made."""

    learning_rate: Float = leaf(1e-4, low=0.0, high=1e3)
    """Adam's step size at the start of learning."""
    learning_rate_end_factor: Float = leaf(1.0, low=0.0, high=1e3)
    """The step size falls linearly to this fraction, reached after the last update; 1: constant."""
    adam_epsilon: Float = leaf(1e-8, low=1e-20)
    """Adam's epsilon."""
    max_grad_norm: Float = leaf(10.0, low=1e-8, infinite=True)
    """The gradient is scaled down to this global norm; inf: never."""


class DQNSettings(GradientSettings):
    """Double DQN, or DQN where double is false."""

    double: bool = static(True)
    """Double Q-learning: the online network chooses the action that the target network judges."""
    n_step: int = static(1, low=1)
    """Steps whose rewards are summed before a bootstrapped value; fewer where an episode ends."""

    warmup_steps: int = static(3_000, low=1)
    """Transitions of uniformly random actions stored before learning starts."""
    train_every: int = static(1, low=1)
    """Steps of all environments between two moments of learning."""
    updates_per_step: int = static(1, low=1)
    """Gradient updates at each moment of learning."""
    capacity: int = static(10_000, low=1)
    """Transitions that the replay buffer holds (N)."""
    stored: Literal["observations", "states"] = static("observations")
    """What it stores: what the agent saw, or the state of a maze, to be seen anew when sampled."""
    batch_size: int = static(64, low=1)
    """Transitions in one gradient update (B), drawn with replacement."""

    target_period: Int = leaf(200, low=1)
    """Updates between two moves of the target network."""
    target_rate: Float = leaf(1.0, low=0.0, high=1.0)
    """How far the target network moves: 1 is a hard copy, less is Polyak averaging."""
    epsilon_start: Float = leaf(1.0, low=0.0, high=1.0)
    """Probability of a random action when learning starts."""
    epsilon_end: Float = leaf(0.05, low=0.0, high=1.0)
    """Probability of a random action once epsilon_steps have passed."""
    epsilon_steps: Int = leaf(20_000, low=1)
    """Environment steps, counted from the end of warm-up, over which epsilon falls linearly; more
    than there are: it stays above epsilon_end."""

    without: ClassVar[tuple[str, ...]] = ("memory",)

    @property
    def window(self) -> int:
        """Steps of one environment in line that an update needs."""
        return self.n_step

    def schedule(self, run: RunSettings) -> Schedule:
        """Return exact counts: warm-up, iterations per evaluation, environment steps, updates."""
        return settings.schedule(
            run,
            env_steps_per_iteration=run.num_envs * self.train_every,
            updates_per_iteration=self.updates_per_step,
            batch_size=self.batch_size,
            warmup_iterations=-(-self.warmup_steps // run.num_envs),
        )

    def scaled(self, run: RunSettings, factor: float) -> dict[str, Any]:
        """Return the words of a schedule ``factor`` times as long.

        Warm-up still collects a batch and a window, and no more than the replay holds.
        """
        first = max(self.batch_size, self.window * run.num_envs)
        warmup = min(max(round(self.warmup_steps * factor), first), self.warmup_steps)
        if factor > 1:
            room = self.capacity // run.num_envs * run.num_envs
            warmup = max(min(round(self.warmup_steps * factor), room), self.warmup_steps)
        plan = self.replace(warmup_steps=warmup).schedule(run)
        least = plan.warmup_env_steps + plan.env_steps_per_iteration
        return {
            "warmup_steps": warmup,
            "epsilon_steps": scaled_steps(self.epsilon_steps, factor),
            "total_steps": max(round(run.total_steps * factor), least),
        }

    def notes(self, run: RunSettings) -> list[str]:
        """Return sentences on what is honoured though it may not be meant."""
        plan = self.schedule(run)
        return note_epsilon(
            self.epsilon_start, self.epsilon_end, self.epsilon_steps,
            plan.env_steps - plan.warmup_env_steps,
        )  # fmt: skip

    def check(self, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, numbers of steps that can't go together."""
        plan = self.schedule(run)
        warm, per_iteration = plan.warmup_env_steps, plan.env_steps_per_iteration
        if self.batch_size > warm:
            raise ConfigError(
                f"batch_size ({self.batch_size}) exceeds what warm-up collects ({warm}): "
                f"raise warmup_steps to {self.batch_size} or more."
            )
        if warm > self.capacity:
            raise ConfigError(
                f"warmup_steps ({self.warmup_steps}, in {run.num_envs} environments {warm}) "
                f"exceeds capacity ({self.capacity}), so its beginning would be lost: "
                f"raise capacity to {warm} or lower warmup_steps."
            )
        if self.n_step > plan.warmup_iterations:
            raise ConfigError(
                f"n_step ({self.n_step}) exceeds the steps that warm-up makes in each environment "
                f"({plan.warmup_iterations}): raise warmup_steps to {self.n_step * run.num_envs} "
                "or more."
            )
        if self.n_step > 1:
            why = f"n_step ({self.n_step}) above 1, so that steps of one environment stay in line"
            check_shared(self.capacity, run.num_envs, why)
        if per_iteration > self.capacity:
            raise ConfigError(
                f"num_envs ({run.num_envs}) × train_every ({self.train_every}) = {per_iteration} "
                f"transitions between updates exceed capacity ({self.capacity}): "
                f"raise capacity to {per_iteration} or lower num_envs or train_every."
            )
        if run.total_steps - warm < per_iteration:
            raise ConfigError(
                f"total_steps ({run.total_steps}) leaves nothing to learn after warm-up ({warm}): "
                f"raise total_steps to {warm + per_iteration} or more, or lower warmup_steps "
                f"({self.warmup_steps}), or shorten all of a schedule with --scale."
            )
        check_counts(run, plan, f"updates_per_step ({self.updates_per_step})")
        check_epsilon(self.epsilon_start, self.epsilon_end)


def check_shared(capacity: int, num_envs: int, why: str) -> None:
    """Refuse, with a ``ConfigError``, a capacity that environments don't share equally."""
    if capacity % num_envs:
        raise ConfigError(
            f"capacity ({capacity}) must be a multiple of num_envs ({num_envs}) with {why}: set it "
            f"to {-(-capacity // num_envs) * num_envs}."
        )


def scaled_steps(steps: Any, factor: float) -> Any:
    """Return a number of steps, or several, ``factor`` times as large, and 1 or more."""
    found = np.maximum(np.round(np.asarray(steps) * factor), 1).astype(int)
    return int(found) if found.ndim == 0 else found


def note_epsilon(start: Any, end: Any, steps: Any, learning: int) -> list[str]:
    """Say where epsilon doesn't arrive within so many steps of learning."""
    horizon = float(np.max(np.asarray(steps)))
    start, end = (float(np.max(np.asarray(x))) for x in (start, end))
    if horizon <= learning or start == end:
        return []
    reached = start + learning / horizon * (end - start)
    return [
        f"epsilon_steps ({horizon:,.0f}) exceed the {learning:,} steps of learning: epsilon "
        f"falls to {reached:.3g}, not to epsilon_end ({end:g})."
    ]


def check_counts(run: RunSettings, plan: Schedule, updating: str) -> None:
    """Refuse, with a ``ConfigError``, more steps or updates than are counted.

    Args:
        run: what was asked.
        plan: what it comes to.
        updating: the setting that makes updates so many, and its value.
    """
    settings.check_steps(run.total_steps, plan.env_steps)
    if plan.updates >= 2**31:
        raise ConfigError(
            f"{updating} makes {plan.updates} updates, which must stay below 2147483648: lower it."
        )


def check_epsilon(start: Any, end: Any) -> None:
    """Refuse, with a ``ConfigError``, an epsilon that would rise."""
    if isinstance(start, jax.core.Tracer) or isinstance(end, jax.core.Tracer):
        return
    # Two sweeps of different shapes are not for one agent, and refused as that.
    shapes = {np.shape(start), np.shape(end)} - {()}
    if len(shapes) < 2 and np.any(np.asarray(end) > np.asarray(start)):
        raise ConfigError(
            f"epsilon_end ({shown(end)}) exceeds epsilon_start ({shown(start)}): lower epsilon_end "
            f"or raise epsilon_start."
        )
