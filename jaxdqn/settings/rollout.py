"""What can be set of methods that learn from rollouts, and which settings contradict each other."""

from typing import Any

from jaxdqn import settings
from jaxdqn.errors import ConfigError
from jaxdqn.settings import Float, Int, RunSettings, Schedule, leaf, static
from jaxdqn.settings.dqn import (
    GradientSettings,
    check_counts,
    check_epsilon,
    note_epsilon,
    scaled_steps,
)


class RolloutSettings(GradientSettings):
    """A rollout that is gathered, gone over, and forgotten."""

    rollout_steps: int = static(32, low=1)
    """Steps of each environment between two moments of learning."""
    epochs: int = static(2, low=1)
    """How often learning goes over a rollout."""
    minibatches: int = static(8, low=1)
    """Parts of num_envs × rollout_steps in which it does, one gradient update each."""

    without = ("head", "bootstrap", "replay")

    def schedule(self, run: RunSettings) -> Schedule:
        """Return exact counts: iterations per evaluation, environment steps, updates."""
        gathered = run.num_envs * self.rollout_steps
        return settings.schedule(
            run,
            env_steps_per_iteration=gathered,
            updates_per_iteration=self.epochs * self.minibatches,
            batch_size=gathered // self.minibatches,
        )

    def check(self, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, numbers of steps that can't go together."""
        gathered = run.num_envs * self.rollout_steps
        if gathered % self.minibatches:
            raise ConfigError(
                f"minibatches ({self.minibatches}) must divide num_envs ({run.num_envs}) × "
                f"rollout_steps ({self.rollout_steps}) = {gathered}: set it to "
                f"{_nearest_divisor(gathered, self.minibatches)}."
            )
        updating = f"epochs ({self.epochs}) × minibatches ({self.minibatches})"
        check_counts(run, self.schedule(run), updating)

    def check_memory(self, memory: Any, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, to cut the sequence of one environment into parts."""
        if memory.remembers and run.num_envs % self.minibatches:
            raise ConfigError(
                f"minibatches ({self.minibatches}) must divide num_envs ({run.num_envs}) where a "
                "memory is learned, since what one environment saw stays in line: set it to "
                f"{_nearest_divisor(run.num_envs, self.minibatches)}."
            )


class PQNSettings(RolloutSettings):
    """PQN: Q-learning by λ-returns of parallel environments, with neither replay nor target."""

    td_lambda: Float = leaf(0.65, low=0.0, high=1.0)
    """Decay of λ-returns: 0 bootstraps after each step, 1 where a rollout or an episode ends."""
    epsilon_start: Float = leaf(1.0, low=0.0, high=1.0)
    """Probability of a random action at the start."""
    epsilon_end: Float = leaf(0.05, low=0.0, high=1.0)
    """Probability of a random action once epsilon_steps have passed."""
    epsilon_steps: Int = leaf(20_000, low=1)
    """Environment steps over which epsilon falls linearly; more than there are: it stays above
    epsilon_end."""

    def scaled(self, run: RunSettings, factor: float) -> dict[str, Any]:
        """Return the words of a schedule ``factor`` times as long."""
        return {
            "epsilon_steps": scaled_steps(self.epsilon_steps, factor),
            **super().scaled(run, factor),
        }

    def notes(self, run: RunSettings) -> list[str]:
        """Return sentences on what is honoured though it may not be meant."""
        learning = self.schedule(run).env_steps
        return note_epsilon(self.epsilon_start, self.epsilon_end, self.epsilon_steps, learning)

    def check(self, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, numbers that can't go together."""
        super().check(run)
        check_epsilon(self.epsilon_start, self.epsilon_end)


class PPOSettings(RolloutSettings):
    """PPO: a policy and a value from one network, by a clipped policy gradient."""

    gae_lambda: Float = leaf(0.95, low=0.0, high=1.0)
    """Decay of generalised advantages: 0 takes one step's error, 1 all rewards there are."""
    clip_range: Float = leaf(0.2, low=0.0)
    """How far an action's probability may move, as a share of it, before its gain is cut."""
    entropy_coefficient: Float = leaf(0.01, low=0.0)
    """Weight of the policy's entropy, which keeps it exploring."""
    value_coefficient: Float = leaf(0.5, low=0.0)
    """Weight of half the squared error of the value."""
    normalise_advantages: bool = static(True)
    """Advantages of each minibatch have mean 0 and deviation 1."""

    def check(self, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, numbers that can't go together."""
        super().check(run)
        if self.normalise_advantages and self.schedule(run).batch_size == 1:
            remedy = "lower it" if self.minibatches > 1 else "raise rollout_steps or num_envs"
            raise ConfigError(
                f"minibatches ({self.minibatches}) leaves one step in each, whose normalised "
                f"advantage is always 0: {remedy}, or set normalise_advantages = false."
            )

    def check_network(self, network: Any, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, what only action values have a use for."""
        del run
        for word, why in {
            "dueling": "splits action values",
            "noisy": "explores by other weights than those that are learned from",
        }.items():
            if getattr(network, word):
                raise ConfigError(
                    f"{word} (True) {why}, and method 'ppo' learns a policy: set {word} = false."
                )


def _nearest_divisor(number: int, wanted: int) -> int:
    """Return the divisor of a number that is nearest to another number."""
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return min((d for pair in small for d in (pair, number // pair)), key=lambda d: abs(d - wanted))
