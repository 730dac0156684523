"""Refuse a configuration that can't be honoured, in one sentence, before anything is traced."""

from typing import Any

import numpy as np
from jax.typing import ArrayLike

from jaxdqn.config import parts
from jaxdqn.config.config import Config
from jaxdqn.config.values import check_words
from jaxdqn.errors import ConfigError, as_whole, brief, shown


def check(config: Config) -> None:
    """Check every word by itself, then what the parts say of their own together.

    Leaves that are being traced can't be looked at and are let through.

    Raises:
        ConfigError: at the first setting that can't be honoured, or where this is no ``Config``.
    """
    check_kind(config)
    config = config.settled()
    for word in (parts.RUN, *config.chosen):
        check_words(config.part(word))
    for word in config.chosen:
        if hasattr(part := config.part(word), "check"):
            part.check(config.part(parts.RUN))
    for word in config.chosen:
        for other in config.chosen:
            # What a part says of another stands with it, as check_network of a method.
            if refuse := getattr(config.part(word), f"check_{other}", None):
                refuse(config.part(other), config.part(parts.RUN))


def check_kind(config: Any) -> None:
    """Refuse what isn't a ``Config``.

    Raises:
        ConfigError: saying how to make one.
    """
    if not isinstance(config, Config):
        path = config if isinstance(config, str) else "configs/maze.toml"
        raise ConfigError(
            f"config ({brief(config)}) must be a Config: write jaxdqn.load_config({path!r}) or "
            "jaxdqn.Config(...)."
        )


def check_single(config: Config) -> None:
    """Refuse an array where one agent takes one number; traced ones have lost their sweep's axis.

    Raises:
        ConfigError: naming the first such word.
    """
    for name, word in config.words.items():
        value = getattr(config, name)
        if word.is_number and not word.is_table and np.shape(value):
            listed = isinstance(value, list | tuple)
            said = shown(list(value)) if listed else f"an array of shape {np.shape(value)}"
            raise ConfigError(
                f"{name} ({said}) is a sweep, and this trains one setting: give one number, or map "
                "over the array with jax.vmap."
            )


def chosen_length(evaluations: ArrayLike | None, usual: int) -> int:
    """Return how many evaluations are to be run: those asked for, or ``usual`` where that is None.

    Raises:
        ConfigError: so many can't be.
    """
    length = usual if evaluations is None else evaluations
    whole = as_whole(length)
    if whole is None or whole < 0:
        raise ConfigError(
            f"evaluations ({shown(length)}) must be a whole number, 0 or more: change it."
        )
    return whole
