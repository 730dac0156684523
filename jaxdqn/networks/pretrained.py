"""The trunk that a language model's run folder holds, for a network to begin with."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import serialization

from jaxdqn import checksums
from jaxdqn.errors import ConfigError, reason_of
from jaxdqn.networks.network import Seen
from jaxdqn.types import Params

WEIGHTS = "params.msgpack"
SETTINGS = "config.toml"


class Run(NamedTuple):
    """What a run folder holds: the settings as TOML says them, and the weights."""

    settings: Mapping[str, Any]
    params: Mapping[str, Any]


def weights(folder: str, length: int) -> dict[str, Params]:
    """Return the weights of trunk and output, with places for a text of so many tokens.

    Files are read when a program is compiled; a folder that changes later isn't looked at again.
    """
    params = read(folder).params
    cut = {**params["trunk"], "places": params["trunk"]["places"][:length]}
    return jax.tree.map(jnp.asarray, {"trunk": cut, "output": params["output"]})


def check(folder: str, shape: Mapping[str, int], seen: Seen, length: int) -> None:
    """Refuse a trunk that doesn't fit.

    Args:
        folder: the run folder.
        shape: settings of the network that its weights depend on.
        seen: what there is to see.
        length: how many names of it are read as a text.

    Raises:
        ConfigError: naming what differs.
    """
    run = read(folder)
    for name, value in shape.items():
        if run.settings[name] != value:
            raise ConfigError(
                f"{name} ({value}) differs from that of pretrained {folder!r} "
                f"({run.settings[name]}): set {name} = {run.settings[name]}."
            )
    places, tokens = (run.params["trunk"][name] for name in ("places", "tokens"))
    known = len(tokens["embedding"])
    if known != seen.categories or length > len(places):
        remedy = "env_kwargs.observation = 'text' and the size of mazes that it was trained on"
        if seen.env_kwargs.get("observation") in ("text", "choices"):
            height, width = size(run.settings["env_kwargs"])
            remedy = (
                f"env_kwargs.height = {height} and env_kwargs.width = {width}, the size of mazes "
                "that it was trained on"
            )
        raise ConfigError(
            f"pretrained {folder!r} knows {known} tokens in texts of up to {len(places)}, and "
            f"observations have {length} of {seen.categories} kinds: set {remedy}."
        )


def size(env_kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """Return rows and columns of mazes, as ``Maze`` takes them."""
    return int(env_kwargs.get("height", 10)), int(env_kwargs.get("width", 10))


def read(folder: str) -> Run:
    """Read what a language model's training has left.

    Raises:
        ConfigError: it isn't there, or is no language model's.
    """
    path = Path(folder)
    try:
        changed = (path / WEIGHTS).stat().st_mtime_ns
        return _read(path, changed)
    except ConfigError:
        raise
    except OSError as error:
        if path.is_dir() and not (path / WEIGHTS).exists():
            raise ConfigError(
                f"pretrained ({folder!r}) has no {WEIGHTS}: name the run folder of a language "
                "model, or finish that training with jaxdqn resume."
            ) from None
        reason = reason_of(error, "unreadable")
        raise ConfigError(
            f"pretrained ({folder!r}) can't be read ({reason}): name the run folder of a "
            "pre-training or fine-tuning that has ended."
        ) from None
    except Exception as error:  # damage has exceptions of many kinds
        raise ConfigError(
            f"pretrained ({folder!r}) holds no language model ({type(error).__name__}): name the "
            "run folder of a pre-training or fine-tuning."
        ) from None


@functools.lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> Run:
    del changed  # a part of the key
    settings = tomllib.loads((path / SETTINGS).read_text(encoding="utf-8-sig"))
    if "method" in settings:
        raise ConfigError(
            f"pretrained ({str(path)!r}) is the run folder of agents, and a network begins with a "
            "language model: name the run folder of a pre-training or fine-tuning."
        )
    params = serialization.msgpack_restore(checksums.read(path / WEIGHTS))["params"]
    for name in ("layers", "heads", "width", "causal", "env_kwargs"):
        settings[name]
    params["trunk"]["places"], params["trunk"]["tokens"]["embedding"], params["output"]
    return Run(settings, params)
