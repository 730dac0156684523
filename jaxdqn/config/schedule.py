"""Settings as a whole: what is unusual about them, and a schedule made shorter or longer."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

from jaxdqn.config import parts
from jaxdqn.config.config import Config
from jaxdqn.errors import ConfigError, shown


def notes(config: Config) -> list[str]:
    """Return sentences on what is honoured though it may not be meant."""
    plan, found = config.schedule, []
    if plan.evaluations < config.evaluations:
        found.append(
            f"evaluations ({config.evaluations}) exceed the {plan.evaluations} iterations of this "
            f"schedule: there are {plan.evaluations}, one after each."
        )
    found += config.part("method").notes(config.part(parts.RUN))
    return found + config.part("network").notes() + _idle(config)


def _idle(config: Config) -> list[str]:
    """Name what is set though it changes nothing beside the structure that is set.

    It isn't refused, since a sweep over that structure sets it for all, and a file for what the
    command line changes.
    """
    found, usual = [], Config(**config.chosen)
    for name, word in config.words.items():
        value, beside = getattr(config, name), word.bounds["idle"]
        idle = beside and all(getattr(config, other) == at for other, at in beside.items())
        if idle and np.any(np.asarray(value) != getattr(usual, name)):
            why = " and ".join(f"{other} is {shown(at)}" for other, at in beside.items())
            found.append(f"{name} ({shown(value)}) changes nothing, since {why}.")
    return found


def scaled(config: Config, factor: float) -> Config:
    """Return the settings with a schedule that is ``factor`` times as long, for a try or for more.

    All counts of steps in which learning proceeds are scaled: those in all, of warm-up, and until
    epsilon has fallen. What happens between two updates stays as it is, the target network's
    period and the replay's capacity among it.

    Raises:
        ConfigError: a factor that isn't a number above 0, or makes more steps than are counted.
    """
    known = isinstance(factor, Real) and not isinstance(factor, bool)
    if not (known and 0 < factor < math.inf):
        raise ConfigError(f"scale ({shown(factor)}) must be a number above 0: change it.")
    if factor == 1:
        return config  # whose words may yet have to be looked at
    _check_counted(config, factor, {"total_steps": config.total_steps * factor})
    words = config.part("method").scaled(config.part(parts.RUN), factor)
    _check_counted(config, factor, words)
    return config.replace(**words)


def _check_counted(config: Config, factor: float, words: Mapping[str, Any]) -> None:
    """Refuse, with a ``ConfigError``, a factor that makes more of a word than is counted."""
    for name, value in words.items():
        if np.max(value) >= 2**31:
            raise ConfigError(
                f"scale ({shown(factor)}) takes {name} ({shown(getattr(config, name))}) beyond "
                "2147483647, and steps are counted in 32 bits: lower it."
            )
