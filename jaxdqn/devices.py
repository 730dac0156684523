"""Devices, chosen before JAX starts; this module must stay importable without gymnax."""

import os

import jax

from jaxdqn.types import ConfigError


def use_all_cores(count: int | None = None) -> None:
    """Make JAX see one CPU device per core, so that seeds can be spread over them.

    Importing gymnax, and so most of this package, starts JAX: call this first.

    Args:
        count: CPU devices; by default as many as the cores that this process may use.

    Raises:
        ConfigError: JAX has already counted its devices.
    """
    cores = count or usable_cores()
    try:
        jax.config.update("jax_num_cpu_devices", cores)
    except RuntimeError:
        raise ConfigError(
            f"jax_num_cpu_devices ({cores}) comes too late, since JAX has already started: "
            "call use_all_cores before importing anything that makes arrays, gymnax among it."
        ) from None


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
