"""Checkpoints: all that a training is, in one file that is either whole or not there.

The file is one of ``files``; what is said beside the arrays are settings and versions. Orbax, which
comes with Flax, was measured and left: it saves 16 agents (14 MB) in 104 ms where this takes 20,
and gave back wrong arrays for 20 of 20 flipped bits.
"""

import json
import math
import numbers
import platform
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxdqn
from jaxdqn import pytrees, random
from jaxdqn.config import Config, check_kind, from_toml, to_toml
from jaxdqn.errors import ConfigError, shown
from jaxdqn.method import State
from jaxdqn.metrics import Metrics, from_arrays, to_arrays
from jaxdqn.parallel.seeds import check_agents
from jaxdqn.runs import files, place
from jaxdqn.training import outline
from jaxdqn.types import ArrayTree

_KIND = "checkpoint"
_FORMAT = 1


class About(NamedTuple):
    """What a checkpoint says beside its arrays."""

    config: str  # TOML
    keys: dict[str, str]  # implementation of each random key
    seeds: range | None
    agents: list[Any] | None
    seconds: float
    versions: dict[str, str]


class Checkpoint(NamedTuple):
    """What ``restore`` gives back: what ``save`` was given, its arrays bit for bit.

    Attributes:
        state: arrays in the host's memory, to be put on any devices.
        config: the settings; their numbers are Python's, or arrays of 64 bits, the same as those
            given once training takes them in 32 bits.
        metrics: rows so far, or None.
        seeds: numbers of the seeds, or None.
        seconds: of training so far.
        versions: of jaxdqn, jax and python that wrote the file.
        agents: what a sweep calls each of them, or None.
    """

    state: State
    config: Config
    metrics: Metrics | None
    seeds: range | None
    seconds: float
    versions: dict[str, str]
    agents: list[Any] | None = None


def save(
    path: str | Path,
    state: State,
    config: Config,
    metrics: Metrics | None = None,
    *,
    seeds: range | None = None,
    agents: list[Any] | None = None,
    seconds: float = 0.0,
) -> int:
    """Write a checkpoint; a crash at any moment leaves the one before, or this one.

    Args:
        path: the file, or a folder that is to hold ``checkpoint.npz``.
        state: of one agent, or of many with a leading axis.
        config: the settings.
        metrics: rows so far, leaves ``[T]`` after the axes of the state's agents.
        seeds: numbers of the seeds, one for each agent.
        agents: what a sweep calls each of them, as JSON can say it.
        seconds: of training so far.

    Returns:
        Size of the file in bytes.

    Raises:
        ConfigError: the state isn't one of these settings and seeds, the metrics aren't of these
            agents, or the file can't be written; an earlier checkpoint is still there.
    """
    if isinstance(state, Config):
        raise ConfigError(
            "state (a Config) stands where the agent does: write jaxdqn.save(path, state, config)."
        )
    check_kind(config)
    file, text = _file(path), to_toml(config)
    axes = _axes_of_agents(config, seeds, state)
    measured = {} if metrics is None else _measured(metrics, axes)
    _check_names(agents, axes)
    _check_seconds(seconds)
    about, arrays = pack({"state": state, "metrics": measured}, text, float(seconds))
    about |= {"seeds": None if seeds is None else [seeds.start, seeds.stop], "agents": agents}
    return files.write_arrays(file, about, arrays, _KIND)


def _axes_of_agents(config: Config, seeds: range | None, state: State) -> tuple[int, ...]:
    """Return the axes that a state has before those of one agent.

    Raises:
        ConfigError: it isn't one of these settings and seeds.
    """
    if seeds is None:
        return pytrees.leading_axes(state, outline(config))
    if not in_a_row(seeds):
        raise ConfigError(
            f"seeds ({shown(seeds)}) must be a range of numbers in a row: write range(0, 4) or the "
            "like, or leave it out."
        )
    check_agents(config, seeds, state)
    return (len(seeds),)


def in_a_row(seeds: Any) -> bool:
    """Whether seeds are what a checkpoint can say, which holds the first and the last number."""
    return isinstance(seeds, range) and seeds == range(seeds.start, seeds.stop)


def _measured(metrics: Any, axes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return arrays by name, refusing what ``restore`` couldn't give back beside these agents."""
    if not isinstance(metrics, Metrics):
        raise ConfigError(
            f"metrics (of type {type(metrics).__name__}) must be the Metrics that training gave "
            "back with the state: write jaxdqn.save(path, state, config, metrics), or leave them "
            "out."
        )
    arrays = to_arrays(metrics)
    rows = arrays["env_steps"].shape[-1:] or (0,)  # of one row alone, whose axis is missing
    for name, x in arrays.items():
        if x.shape != (*axes, *rows):
            of = ", ".join([*map(str, axes), "T"])
            raise ConfigError(
                f"metrics.{name} (of shape {list(x.shape)}) is not of the agents in state, whose "
                f"rows are [{of}]: give the metrics that training gave back with it."
            )
    return arrays


def _check_names(agents: Any, axes: tuple[int, ...]) -> None:
    if agents is None:
        return
    try:
        json.dumps(agents)
        right = isinstance(agents, list) and (len(agents),) == axes
    except (TypeError, ValueError):
        right = False
    if not right:
        raise ConfigError(
            f"agents ({shown(agents)}) must be a list of what JSON can say, one for each agent "
            f"along the state's leading axes {axes}: change it, or leave it out."
        )


def _check_seconds(seconds: Any) -> None:
    is_number = isinstance(seconds, numbers.Real) and not isinstance(seconds, bool)
    if not (is_number and 0 <= seconds < math.inf):
        raise ConfigError(f"seconds ({shown(seconds)}) must be a number, 0 or more: change it.")


def restore(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: the file, or the folder that holds ``checkpoint.npz``.

    Raises:
        ConfigError: the file is missing, damaged, or of a version that this one can't carry on; or
            its settings can't be honoured here, such as an environment that isn't there.
    """
    path = _file(path)
    said, arrays = files.read_arrays(path, _KIND)
    about = understood(path, said)
    config = from_toml(about.config, f"the settings in checkpoint '{path}'")
    like = outline(config)  # whose refusals are no fault of the file
    try:
        state = assemble(arrays, about.keys, like)
        metrics = _metrics(arrays)
    except (ValueError, TypeError):
        raise ConfigError(
            f"checkpoint '{path}' holds another kind of state than jaxdqn {jaxdqn.__version__} "
            f"makes: restore it with jaxdqn {about.versions['jaxdqn']}, which wrote it."
        ) from None
    return Checkpoint(
        state, config, metrics, about.seeds, about.seconds, about.versions, about.agents
    )


def pack(trees: ArrayTree, config: str, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a file says of some pytrees, and their arrays by name.

    Args:
        trees: what is to be kept.
        config: the settings as TOML.
        seconds: of training so far.

    Raises:
        ConfigError: a leaf is no array, which NumPy would write and not read back.
    """
    arrays, keys = {}, {}
    for name, leaf in pytrees.named_leaves(trees).items():
        if pytrees.is_key(leaf):
            keys[name] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        arrays[name] = np.asarray(leaf)
        if arrays[name].dtype.hasobject:
            raise ConfigError(
                f"{name} ({shown(leaf)}) is not an array of numbers: give what training gave back."
            )
    about = {
        "format": _FORMAT, "versions": versions(), "config": config, "keys": keys, "seeds": None,
        "seconds": seconds,
    }  # fmt: skip
    return about, arrays


def versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    return {
        "jaxdqn": jaxdqn.__version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
    }


def _file(path: str | Path) -> Path:
    path = place.as_path(path, "path")
    return path / place.CHECKPOINT if path.is_dir() else path


def understood(path: Path, said: Any) -> About:
    """Return what a file says of its arrays.

    Raises:
        ConfigError: it is of another program, or of a version that this one can't read.
    """
    try:
        kind, versions = said["format"], said["versions"]
        writer = versions["jaxdqn"]
        if kind == _FORMAT:
            seeds = None if said["seeds"] is None else range(*said["seeds"])
            return About(
                config=said["config"], keys=dict(said["keys"]), seeds=seeds,
                agents=said.get("agents"), seconds=said["seconds"], versions=versions,
            )  # fmt: skip
    except (KeyError, ValueError, TypeError):
        raise files.damaged(path, _KIND, "it isn't one of jaxdqn's") from None
    raise ConfigError(
        f"checkpoint '{path}' has format {kind}, and jaxdqn {jaxdqn.__version__} reads format "
        f"{_FORMAT}: restore it with jaxdqn {writer}, which wrote it."
    )


def assemble(arrays: dict[str, Any], keys: dict[str, str], like: Any) -> Any:
    """Return a state as ``pack`` took it apart.

    Args:
        arrays: of the file.
        keys: implementation of each random key.
        like: shapes and dtypes, leading axes apart.

    Raises:
        ValueError: arrays are missing, unknown or of another shape.
    """
    wanted = pytrees.named_leaves({"state": like})
    found = {name: x for name, x in arrays.items() if name.startswith("state.")}
    if found.keys() != wanted.keys():
        raise ValueError(f"arrays {sorted(found.keys() ^ wanted.keys())} are missing or unknown")
    for name, x in found.items():
        if name in keys:
            found[name] = random.wrapped(x, keys[name])
        elif x.dtype.kind == "V":  # bfloat16 and its like, for which NumPy has no name
            found[name] = x.view(wanted[name].dtype)
    state = jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in wanted])
    pytrees.leading_axes(state, like)
    return state


def _metrics(arrays: dict[str, Any]) -> Metrics | None:
    prefix = "metrics."
    rows = {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}
    return from_arrays(rows) if rows else None
