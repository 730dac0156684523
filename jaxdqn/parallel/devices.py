"""Devices, chosen before JAX starts; this module must stay importable without gymnax."""

import os
import tempfile
from pathlib import Path

import jax

from jaxdqn.types import ConfigError, reason_of


def use_cores(count: int | None = None) -> None:
    """Make JAX see one CPU device per core, so that seeds can be spread over them.

    XLA then has as many threads as there are devices. A single agent with a small network learns
    fastest on one: work that is handed to a second thread waits for it longer than it takes.

    Importing gymnax, and so most of this package, starts JAX: call this first.

    Args:
        count: CPU devices; by default as many as the cores that this process may use.

    Raises:
        ConfigError: JAX has already counted its devices, or there can't be so few.
    """
    cores = usable_cores() if count is None else count
    if cores < 1:
        raise ConfigError(f"cores ({cores}) must be 1 or more: raise it.")
    try:
        jax.config.update("jax_num_cpu_devices", cores)
    except RuntimeError:
        raise ConfigError(
            f"jax_num_cpu_devices ({cores}) comes too late, since JAX has already started: "
            "call use_cores before importing anything that makes arrays, gymnax among it."
        ) from None
    # XLA reads no flag for its threads, only this.
    os.environ.setdefault("PJRT_NPROC", str(cores))


def keep_programs(folder: str | Path) -> None:
    """Keep compiled programs in JAX's persistent cache, and take them from there.

    Args:
        folder: made where it is missing; one for all trainings is best.

    Raises:
        ConfigError: the folder can't be written.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"cache ({str(folder)!r}) can't be written ({reason_of(error)}): choose another folder."
        ) from None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Small programs, too: there are many of them, and together they take seconds.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
