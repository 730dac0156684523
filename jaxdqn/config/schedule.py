"""A schedule as a whole: what is unusual about it, and how it is made shorter or longer."""

import dataclasses
import math

import numpy as np

from jaxdqn.config.config import Config
from jaxdqn.types import ConfigError


def notes(config: Config) -> list[str]:
    """Return sentences on what is honoured though it may not be meant."""
    plan, found = config.schedule, []
    if plan.evaluations < config.evaluations:
        found.append(
            f"evaluations ({config.evaluations}) exceed the {plan.evaluations} iterations of this "
            f"schedule: there are {plan.evaluations}, one after each."
        )
    learning = plan.env_steps - plan.warmup_env_steps
    horizon = float(np.max(np.asarray(config.epsilon_steps)))
    if horizon > learning:
        start, end = (
            float(np.max(np.asarray(x))) for x in (config.epsilon_start, config.epsilon_end)
        )
        reached = start + learning / horizon * (end - start)
        found.append(
            f"epsilon_steps ({horizon:,.0f}) exceed the {learning:,} steps of learning: epsilon "
            f"falls to {reached:.3g}, not to epsilon_end ({end:g})."
        )
    return found


def scaled(config: Config, factor: float) -> Config:
    """Return the settings with a schedule that is ``factor`` times as long, for a try or for more.

    Steps in all, of warm-up, and until epsilon has fallen are scaled; warm-up still collects a
    batch, and no more than the replay holds. What happens between two updates stays as it is, the
    target network's period and the replay's capacity among it.

    Raises:
        ConfigError: a factor that isn't a number above 0.
    """
    if not (isinstance(factor, int | float) and 0 < factor < math.inf):
        raise ConfigError(f"scale ({factor!r}) must be a number above 0: change it.")
    warmup = min(max(round(config.warmup_steps * factor), config.batch_size), config.warmup_steps)
    if factor > 1:
        room = config.capacity // config.num_envs * config.num_envs
        warmup = max(min(round(config.warmup_steps * factor), room), config.warmup_steps)
    epsilon_steps = np.maximum(np.round(np.asarray(config.epsilon_steps) * factor), 1).astype(int)
    shorter = config.replace(
        warmup_steps=warmup,
        epsilon_steps=int(epsilon_steps) if epsilon_steps.ndim == 0 else epsilon_steps,
        total_steps=max(round(config.total_steps * factor), 1),
    )
    least = shorter.schedule.warmup_env_steps + shorter.schedule.env_steps_per_iteration
    return dataclasses.replace(shorter, total_steps=max(shorter.total_steps, least))
