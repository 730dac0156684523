"""Double DQN as one pure, compiled JAX function.

>>> config = jaxdqn.load_config("configs/maze.toml")
>>> state, metrics = jaxdqn.train(config, jax.random.key(0))    # one agent
>>> many = jax.vmap(jaxdqn.train, in_axes=(None, 0))            # many agents
>>> result = jaxdqn.sweep(config, seeds=64, discount=[0.9, 0.99])  # on all cores or devices
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdqn import maze, statistics
    from jaxdqn.config import Config, load_config
    from jaxdqn.errors import ConfigError
    from jaxdqn.evaluation import evaluate
    from jaxdqn.method import State
    from jaxdqn.metrics import Metrics
    from jaxdqn.parallel import devices
    from jaxdqn.parallel.sweeps import Sweep
    from jaxdqn.runs import session
    from jaxdqn.runs.checkpoint import Checkpoint, restore, save
    from jaxdqn.sweeping import sweep
    from jaxdqn.training import init, run, train

# Loaded at first use: JAX and gymnax take a second to import, and the command line has something to
# say before that.
_HOMES = {
    "Checkpoint": "jaxdqn.runs.checkpoint",
    "Config": "jaxdqn.config",
    "ConfigError": "jaxdqn.errors",
    "Metrics": "jaxdqn.metrics",
    "State": "jaxdqn.method",
    "Sweep": "jaxdqn.parallel.sweeps",
    "evaluate": "jaxdqn.evaluation",
    "init": "jaxdqn.training",
    "load_config": "jaxdqn.config",
    "restore": "jaxdqn.runs.checkpoint",
    "run": "jaxdqn.training",
    "save": "jaxdqn.runs.checkpoint",
    "sweep": "jaxdqn.sweeping",
    "train": "jaxdqn.training",
}

_MODULES = {
    "devices": "jaxdqn.parallel.devices",
    "maze": "jaxdqn.maze",
    "session": "jaxdqn.runs.session",
    "statistics": "jaxdqn.statistics",
}

__version__ = "0.2.0"

__all__ = [
    "Checkpoint",
    "Config",
    "ConfigError",
    "Metrics",
    "State",
    "Sweep",
    "devices",
    "evaluate",
    "init",
    "load_config",
    "maze",
    "restore",
    "run",
    "save",
    "session",
    "statistics",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'jaxdqn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*_HOMES, *_MODULES})
