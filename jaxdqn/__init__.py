"""Double DQN as one pure, compiled JAX function.

>>> config = jaxdqn.load_config("configs/maze.toml")
>>> state, metrics = jaxdqn.train(config, jax.random.key(0))    # one agent
>>> many = jax.vmap(jaxdqn.train, in_axes=(None, 0))            # many agents
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdqn import maze, statistics
    from jaxdqn.config import Config, load_config
    from jaxdqn.evaluation import evaluate
    from jaxdqn.training import Metrics, State, init, run, train
    from jaxdqn.types import ConfigError

# Loaded at first use: gymnax takes seconds to import, and the command line has something to say
# before that.
_HOMES = {
    "Config": "jaxdqn.config",
    "ConfigError": "jaxdqn.types",
    "Metrics": "jaxdqn.training",
    "State": "jaxdqn.training",
    "evaluate": "jaxdqn.evaluation",
    "init": "jaxdqn.training",
    "load_config": "jaxdqn.config",
    "maze": "jaxdqn",
    "run": "jaxdqn.training",
    "statistics": "jaxdqn",
    "train": "jaxdqn.training",
}

__version__ = "0.1.0"

__all__ = [
    "Config",
    "ConfigError",
    "Metrics",
    "State",
    "evaluate",
    "init",
    "load_config",
    "maze",
    "run",
    "statistics",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxdqn' has no attribute {name!r}")
    if _HOMES[name] == "jaxdqn":
        return importlib.import_module(f"jaxdqn.{name}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
