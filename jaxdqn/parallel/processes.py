"""Several processes on as many machines, by ``jax.distributed``: who trains what.

Chunks are handed out one by one, so that a fast machine takes more of them and none waits for
another before the end. Nothing of the training goes through the network.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from jaxdqn.errors import ConfigError

HEARTBEAT = 30
"""Seconds after which a process that says nothing counts as dead, unless others are given."""
_FOREVER_MS = 7 * 24 * 3600 * 1000
_NONE_LEFT = 2**20
"""More than there are chunks; JAX counts up to ``2**31``, and every process may add this once."""


def start(given: Mapping[str, str]) -> int:
    """Join the other processes; JAX asks the cluster for what isn't given.

    Call this before anything that starts JAX, gymnax among it.

    Args:
        given: ``--coordinator``, the address of process 0 and a free port there, ``--processes``,
            how many, ``--process``, the number of this one, from 0 on, and ``--heartbeat``, the
            seconds after which one that says nothing counts as dead; or some of them.

    Returns:
        Those seconds.

    Raises:
        ConfigError: no cluster was found, the others can't be reached, or one of these is none.
    """
    if (address := given.get("--coordinator")) is not None:
        port = address.rpartition(":")[2]
        if ":" not in address or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ConfigError(
                f"--coordinator ({address}) must be HOST:PORT: name a port from 1 to 65535 that is "
                "free on the machine of process 0."
            )
    numbers = ("--processes", "--process", "--heartbeat")
    for name in numbers:
        if name in given and not given[name].isdecimal():
            raise ConfigError(f"{name} ({given[name]}) must be a whole number: change it.")
    count, index, heartbeat = (int(given[name]) if name in given else None for name in numbers)
    if heartbeat == 0:
        raise ConfigError("--heartbeat (0) must be at least 1 second: change it.")
    heartbeat = heartbeat or HEARTBEAT
    try:
        jax.distributed.initialize(
            address,
            count,
            index,
            heartbeat_timeout_seconds=heartbeat,
            shutdown_timeout_seconds=heartbeat,
        )
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        said = " ".join(f"{name} {value}" for name, value in given.items()) or "nothing else given"
        raise ConfigError(
            f"distributed ({said}) can't start ({reason}): give --coordinator HOST:PORT, "
            "--processes N and --process I, or start it by Slurm or Open MPI."
        ) from None
    return heartbeat


def joined() -> bool:
    """Whether this process has joined others, though none may be left, or none have come yet."""
    return bool(jax.distributed.is_initialized())


def stop() -> None:
    """Leave the other processes, once they are as far."""
    if joined():
        jax.distributed.shutdown()


def wait_for_all(seconds: int | None = None) -> None:
    """Wait until all processes are as far; JAX waits for a heartbeat's time and no longer.

    Args:
        seconds: after which this one goes on alone; None: never.

    Raises:
        ConfigError: another process ended, or wasn't as far in time.
    """
    if joined() and jax.process_count() > 1:
        with _together():
            most = _FOREVER_MS if seconds is None else 1000 * seconds
            _client().wait_at_barrier("jaxdqn/end", most)


def is_first() -> bool:
    """Whether this process tells people what happens, and writes what is for all."""
    return jax.process_index() == 0


class Shares:
    """Chunks by number, each for whichever process comes first."""

    _sweeps = 0

    def __init__(self) -> None:
        """Begin with chunk 0; every process does so for the same sweeps in the same order."""
        Shares._sweeps += 1
        self._name = f"jaxdqn/{Shares._sweeps}"
        self._next = -1

    def take(self) -> int:
        """Return the number of the next chunk that nobody trains."""
        if jax.process_count() == 1:
            self._next += 1
            return self._next
        with _together():
            return int(_client().key_value_increment(f"{self._name}/next", 1)) - 1

    def close(self) -> None:
        """Hand out no more: the other processes end with what they train now."""
        if jax.process_count() > 1:
            with _together():
                _client().key_value_increment(f"{self._name}/next", _NONE_LEFT)

    def first(self, action: Callable[[], Any]) -> Any:
        """Let process 0 do something for all; what it is refused, all are.

        Returns:
            What the action does in process 0, and None in the others.

        Raises:
            ConfigError: the one that process 0 has met.
        """
        refused, done = [""], None
        if is_first():
            try:
                done = action()
            except ConfigError as error:
                refused = [str(error)]
        (said,) = self.agree("first", refused)
        if said:
            raise ConfigError(said)
        return done

    def agree(self, what: str, values: list[Any]) -> list[Any]:
        """Return what process 0 says of something; memory and devices may differ elsewhere."""
        if jax.process_count() == 1:
            return values
        key = f"{self._name}/{what}"
        with _together():
            if is_first():
                _client().key_value_set(key, json.dumps(values))
            said = _client().blocking_key_value_get(key, _FOREVER_MS)
        return list(json.loads(said))

    def meet(self, where: str) -> None:
        """Wait for all processes."""
        if jax.process_count() > 1:
            with _together():
                _client().wait_at_barrier(f"{self._name}/{where}", _FOREVER_MS)


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Say in one sentence that another process is no more."""
    try:
        yield
    except RuntimeError:
        raise ConfigError(
            "another process of this sweep ended or can't be reached: what is finished is kept, "
            "go on with jaxdqn resume, on as many processes as there are."
        ) from None


def _client() -> Any:
    # JAX has no public door to its key-value store (0.10 and 0.11); Orbax takes this one, too. One
    # process never comes here.
    from jax._src import distributed

    return distributed.global_state.client
