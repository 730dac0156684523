"""What networks that read grids have in common."""

from jaxdqn.errors import ConfigError
from jaxdqn.networks.network import Seen


def check_is_grid(network: str, seen: Seen) -> None:
    """Refuse, with a ``ConfigError``, observations that are no grid of planes."""
    if len(seen.shape) != 3:
        remedy = "env_kwargs.observation = 'planes'" if seen.is_maze else "network = 'mlp'"
        raise ConfigError(
            f"network ({network!r}) needs observations of shape (H, W, C), but {seen.env} gives "
            f"{seen.shape}: set {remedy}."
        )
