"""What networks that read grids have in common."""

import math

from jaxdqn.errors import ConfigError
from jaxdqn.networks.dense import DenseSettings
from jaxdqn.networks.network import Seen


class GridSettings(DenseSettings):
    """Dense layers behind what reads a grid (H, W, C)."""

    @property
    def products(self) -> float:
        """Multiplications for one observation: a grid's are many, whatever its size."""
        return math.inf


def check_is_grid(network: str, seen: Seen) -> None:
    """Refuse, with a ``ConfigError``, observations that are no grid of planes."""
    if len(seen.shape) != 3:
        remedy = "env_kwargs.observation = 'planes'" if seen.is_maze else "network = 'mlp'"
        raise ConfigError(
            f"network ({network!r}) needs observations of shape (H, W, C), but {seen.env} gives "
            f"{seen.shape}: set {remedy}."
        )
