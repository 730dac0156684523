"""What a configuration means: its environment and its method, put together once and passed on."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxdqn import environment as environments
from jaxdqn.algorithm import dqn, ppo, pqn, r2d2
from jaxdqn.config import Config
from jaxdqn.environment import Environment
from jaxdqn.method import Method

METHODS: dict[str, Callable[[Config, Environment, Any], Method]] = {
    "dqn": dqn.make,
    "pqn": pqn.make,
    "ppo": ppo.make,
    "r2d2": r2d2.make,
}
"""How each method of ``config.parts.PARTS`` is made; one of one's own by its settings."""


class Parts(NamedTuple):
    """A configuration and what it names.

    Attributes:
        config: the settings.
        environment: of training and evaluation.
        env_params: its numbers.
        method: how an agent gathers and learns.
    """

    config: Config
    environment: Environment
    env_params: Any
    method: Method


def assemble(config: Config, env_params: Any = None) -> Parts:
    """Put together what a configuration names.

    Args:
        config: the settings.
        env_params: the environment's numbers, where a program takes them as an argument; by
            default those of the settings.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    environment, params = environments.make(config)
    params = params if env_params is None else env_params
    make = METHODS.get(config.method) or config.part("method").make
    return Parts(config, environment, params, make(config, environment, params))


def apart(config: Config) -> tuple[Config, Any]:
    """Return the settings and the environment's numbers, as compiled programs take them.

    Which of the numbers were set is no structure: one program serves all.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    _, env_params = environments.make(config)
    return config.settled().replace(env_params={}), env_params
