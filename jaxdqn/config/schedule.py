"""Settings as a whole: what is unusual about them, and a schedule made shorter or longer."""

import math

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
    return found + config.part("network").notes()


def scaled(config: Config, factor: float) -> Config:
    """Return the settings with a schedule that is ``factor`` times as long, for a try or for more.

    All counts of steps in which learning proceeds are scaled: those in all, of warm-up, and until
    epsilon has fallen. What happens between two updates stays as it is, the target network's
    period and the replay's capacity among it.

    Raises:
        ConfigError: a factor that isn't a number above 0.
    """
    if not (isinstance(factor, int | float) and 0 < factor < math.inf):
        raise ConfigError(f"scale ({shown(factor)}) must be a number above 0: change it.")
    if factor == 1:
        return config  # whose words may yet have to be looked at
    return config.replace(**config.part("method").scaled(config.part(parts.RUN), factor))
