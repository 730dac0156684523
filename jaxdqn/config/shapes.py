"""Settings that make the same shapes, to be looked at without training."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn.config.config import Config


def shaping(config: Config) -> Config:
    """Return settings of the same shapes, for one agent: one value of each number, and no file.

    Any value of a number will do, since none shapes anything.
    """
    one = jax.tree.map(lambda x: x if jnp.ndim(x) == 0 else x.reshape(-1)[0], config)
    scalars = {name: x for name, x in config.env_params.items() if np.ndim(x) == 0}
    return reading_nothing(one.replace(env_params=scalars))


def reading_nothing(config: Config) -> Config:
    """Return settings of a network of the same shapes, whose first weights are in no file."""
    return config.replace(pretrained="") if "pretrained" in config.words else config
