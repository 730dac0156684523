"""Devices, chosen before JAX starts; this module must stay importable without gymnax."""

import hashlib
import os
import platform
import tempfile
from pathlib import Path

import jax

from jaxdqn.config import Config
from jaxdqn.errors import ConfigError, as_whole, reason_of, shown

__all__ = ["best_cores", "keep_programs", "start", "usable_cores", "use_cores"]

LARGE_PRODUCTS = 8_000_000
"""Multiplications of a forward pass of a batch from which on a second thread helps one agent; of
less work, what is handed to another thread takes longer to get there than to be done."""

MOST_BYTES = 2**30
"""Of compiled programs that are kept; a training leaves some two million."""


def use_cores(count: int | None = None) -> None:
    """Make JAX see one CPU device per core, so that seeds can be spread over them.

    XLA then has as many threads as there are devices. A single agent with a small network learns
    fastest on one: work that is handed to a second thread waits for it longer than it takes.

    Importing gymnax, and so most of this package, starts JAX: call this first. Asked again for as
    many, as when a notebook's cell is run once more, it leaves everything as it is.

    Args:
        count: CPU devices; by default as many as the cores that this process may use.

    Raises:
        ConfigError: JAX has already counted its devices, or there can't be so many.
    """
    cores = usable_cores() if count is None else as_whole(count)
    if cores is None:
        raise ConfigError(f"cores ({shown(count)}) must be a whole number: write use_cores(2).")
    if cores < 1:
        raise ConfigError(f"cores ({cores}) must be 1 or more: raise it.")
    if jax.config.values["jax_num_cpu_devices"] == cores:
        return
    try:
        jax.config.update("jax_num_cpu_devices", cores)
    except RuntimeError:
        raise ConfigError(
            f"jax_num_cpu_devices ({cores}) comes too late, since JAX has already started: "
            "call use_cores before importing anything that makes arrays, gymnax among it."
        ) from None
    # XLA reads no flag for its threads, only this.
    os.environ.setdefault("PJRT_NPROC", str(cores))


def start() -> None:
    """Start JAX; several processes must know one another before.

    Raises:
        ConfigError: JAX_PLATFORMS names what can't be used here.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        if not (asked := os.environ.get("JAX_PLATFORMS")):
            raise
        reason = str(error).partition(" (set JAX_PLATFORMS")[0].rstrip(".")
        raise ConfigError(
            f"JAX_PLATFORMS ({asked!r}) can't be used here ({reason or 'no such device'}): unset "
            "it, or name another platform, such as cpu."
        ) from None


def best_cores(config: Config, agents: int) -> int:
    """Return how many cores train so many agents fastest, for ``use_cores``.

    Work of a small network that is handed to a second thread waits for it longer than it takes, so
    that a single agent with an MLP learns fastest on one core, unless its products are large.

    Args:
        config: the settings.
        agents: trained side by side.
    """
    products = config.schedule.batch_size * config.part("network").products
    return 1 if agents == 1 and products < LARGE_PRODUCTS else usable_cores()


def keep_programs(folder: str | Path | None = None) -> bool:
    """Keep compiled programs in JAX's persistent cache, and take them from there.

    Processes may share the folder: JAX locks it, and drops what wasn't used for longest once it
    holds more than ``MOST_BYTES``. Programs of another version of JAX, of another processor, or for
    another number of cores are kept apart, since they would be slow here, or not run at all.

    Args:
        folder: made where it is missing; one for all trainings is best. By default ``jaxdqn`` in
            the user's cache folder, unless JAX_COMPILATION_CACHE_DIR names another already.

    Returns:
        Whether programs are kept: the default folder may be one that can't be written.

    Raises:
        ConfigError: the folder given can't be written.
    """
    if folder is None and jax.config.values["jax_compilation_cache_dir"]:
        return True
    try:
        within = _user_cache() if folder is None else Path(folder)
        within = within / _kind_of_machine()
        within.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=within):
            pass
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        if folder is None:
            return False
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"cache ({str(folder)!r}) can't be written ({reason}): choose another folder."
        ) from None
    jax.config.update("jax_compilation_cache_dir", str(within))
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    # Small programs, too: there are many of them, and together they take seconds.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    return True


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxdqn"


def _kind_of_machine() -> str:
    """Name what a compiled program depends on and JAX's key of it doesn't say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = [platform.processor()]
    # The first processor's: x86 lists flags, Arm features.
    features = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])
    said = f"{features} {os.environ.get('PJRT_NPROC')} {jax.config.values['jax_num_cpu_devices']}"
    return f"{platform.machine()}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
