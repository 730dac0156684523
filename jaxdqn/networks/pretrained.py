"""The trunk that a language model's run folder holds, for a network to begin with."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import serialization

from jaxdqn.errors import ConfigError, reason_of
from jaxdqn.networks.network import Seen
from jaxdqn.types import Params

WEIGHTS = "params.msgpack"
SETTINGS = "config.toml"

_BANK = ("height", "width", "generator", "density", "carver", "loops", "room_size", "difficulty",
         "level_seed")  # fmt: skip
"""What says which mazes follow which."""


class _Run(NamedTuple):
    settings: Mapping[str, Any]
    params: Mapping[str, Any]


def weights(folder: str, length: int) -> dict[str, Params]:
    """Return the weights of trunk and output, with places for a text of so many tokens.

    Files are read when a program is compiled; a folder that changes later isn't looked at again.
    """
    read = _load(folder).params
    cut = {**read["trunk"], "places": read["trunk"]["places"][:length]}
    return jax.tree.map(jnp.asarray, {"trunk": cut, "output": read["output"]})


def check(folder: str, shape: Mapping[str, int], seen: Seen, length: int) -> None:
    """Refuse a trunk that doesn't fit, or one that has read mazes that an agent is judged on.

    Args:
        folder: the run folder.
        shape: settings of the network that its weights depend on.
        seen: what there is to see.
        length: how many names of it are read as a text.

    Raises:
        ConfigError: naming what differs.
    """
    run = _load(folder)
    for name, value in shape.items():
        if run.settings[name] != value:
            raise ConfigError(
                f"{name} ({value}) differs from that of pretrained {folder!r} "
                f"({run.settings[name]}): set {name} = {run.settings[name]}."
            )
    places, tokens = (run.params["trunk"][name] for name in ("places", "tokens"))
    known = len(tokens["embedding"])
    if known != seen.categories or length > len(places):
        raise ConfigError(
            f"pretrained {folder!r} knows {known} tokens in texts of up to {len(places)}, and "
            f"observations have {length} of {seen.categories} kinds: set env_kwargs."
            "observation = 'text' and the size of mazes that it was trained on."
        )
    read, wanted = ({**seen.usual, **of} for of in (run.settings["env_kwargs"], seen.env_kwargs))
    _check_mazes(folder, read, wanted)


def _check_mazes(folder: str, read: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if read.get("generator") != wanted.get("generator"):
        return
    for name in _BANK:
        one, other = _plain(wanted.get(name)), _plain(read.get(name))
        if one != other:
            raise ConfigError(
                f"env_kwargs.{name} ({one}) differs from that of pretrained {folder!r} ({other}), "
                "which may so have read the mazes that are to be unseen: make them equal."
            )
    agents, kept = (
        kwargs.get("num_levels", 1) + kwargs.get("num_held_out", 0) for kwargs in (wanted, read)
    )
    if agents > kept:
        raise ConfigError(
            f"env_kwargs.num_levels + env_kwargs.num_held_out ({agents}) exceed the {kept} mazes "
            f"that pretrained {folder!r} left unread: lower one, or pre-train with as many."
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _load(folder: str) -> _Run:
    path = Path(folder)
    try:
        changed = (path / WEIGHTS).stat().st_mtime_ns
        return _read(path, changed)
    except OSError as error:
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
def _read(path: Path, changed: int) -> _Run:
    del changed  # a part of the key
    settings = tomllib.loads((path / SETTINGS).read_text(encoding="utf-8"))
    params = serialization.msgpack_restore((path / WEIGHTS).read_bytes())["params"]
    for name in ("layers", "heads", "width", "causal", "env_kwargs"):
        settings[name]
    params["trunk"]["places"], params["trunk"]["tokens"]["embedding"], params["output"]
    return _Run(settings, params)
