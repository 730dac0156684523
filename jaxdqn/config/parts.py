"""The parts that a configuration chooses, and who owns which word."""

import dataclasses
import inspect
import typing
from collections.abc import Collection, Mapping
from typing import Any

from flax import struct

from jaxdqn import named, settings
from jaxdqn.errors import ConfigError, shown, unknown
from jaxdqn.losses.bootstrap import GreedySettings, MunchausenSettings
from jaxdqn.losses.distributions import (
    CategoricalSettings,
    ImplicitQuantileSettings,
    QuantileSettings,
)
from jaxdqn.losses.heads import ExpectedSettings
from jaxdqn.networks.dense import DenseSettings
from jaxdqn.networks.memory import GRUSettings, NoMemorySettings
from jaxdqn.networks.planning import PlanningSettings
from jaxdqn.networks.residual import ResidualSettings
from jaxdqn.networks.transformer import TransformerSettings
from jaxdqn.replay.prioritised import PrioritisedSettings
from jaxdqn.replay.ring import UniformSettings
from jaxdqn.settings import MethodSettings, NetworkSettings, RunSettings, Word, elsewhere
from jaxdqn.settings.dqn import DQNSettings
from jaxdqn.settings.r2d2 import R2D2Settings
from jaxdqn.settings.rollout import PPOSettings, PQNSettings

RUN = "run"
"""The part that is always there."""

PARTS: dict[str, dict[str, type]] = {
    "method": {
        "dqn": DQNSettings,
        "pqn": PQNSettings,
        "ppo": PPOSettings,
        "r2d2": R2D2Settings,
    },
    "head": {
        "expected": ExpectedSettings,
        "categorical": CategoricalSettings,
        "quantile": QuantileSettings,
        "implicit_quantile": ImplicitQuantileSettings,
    },
    "bootstrap": {"greedy": GreedySettings, "munchausen": MunchausenSettings},
    "replay": {"uniform": UniformSettings, "prioritised": PrioritisedSettings},
    "network": {
        "mlp": DenseSettings,
        "residual": ResidualSettings,
        "planning": PlanningSettings,
        "transformer": TransformerSettings,
    },
    "memory": {"none": NoMemorySettings, "gru": GRUSettings},
}
"""Word → name → what can be set of that choice; the first name is the default. This table is all
that the checks, TOML, ``--help`` and sweeps know of the parts. ``package.module:Class`` is entered
when it is first named."""

_BASES: dict[str, type] = {"method": MethodSettings, "network": NetworkSettings}
"""Word → what its choices are derived from, unless that is ``flax.struct.PyTreeNode`` alone."""

IMPLIED: dict[str, dict[Any, dict[str, Any]]] = {
    "noisy": {
        True: {"epsilon_start": 0.0, "epsilon_end": 0.0},
        False: {"epsilon_start": 1.0, "epsilon_end": 0.05},
    },
    "method": {"pqn": {"layer_norm": True}, "r2d2": {"memory": "gru"}},
}
"""Switch, off by default, or choice → state → what turning it there sets, unless that is set at
once."""


def choose(wanted: Mapping[str, Any]) -> dict[str, str]:
    """Return a name for each word of ``PARTS`` that the method uses: the wanted, or the default.

    Raises:
        ConfigError: a name that isn't there.
    """
    for word, value in wanted.items():
        if word in PARTS:
            kind(word, value)
    method = wanted.get("method", next(iter(PARTS["method"])))
    brought = IMPLIED["method"].get(method, {})
    every = {
        word: wanted.get(word, brought.get(word, next(iter(names))))
        for word, names in PARTS.items()
    }
    return {word: name for word, name in every.items() if word not in _without(method)}


def kind(word: str, name: Any) -> type:
    """Return the class of a choice's settings.

    Raises:
        ConfigError: there is none, or a class of one's own that isn't as it must be.
    """
    own = isinstance(name, str) and ":" in name
    if not own and not (isinstance(name, str) and name in PARTS[word]):
        raise _unknown_choice(word, name)
    found = named.class_of(word, name) if own else PARTS[word][name]
    if not issubclass(found, base := _BASES.get(word, struct.PyTreeNode)):
        raise ConfigError(
            f"{word} ({name!r}) is not derived from {base.__name__}: derive it from "
            f"{base.__module__.removesuffix('.own')}.{base.__name__}."
        )
    if own:
        _check_own(word, name, found)
        PARTS[word][name] = found
    return found


def _check_own(word: str, name: str, found: type) -> None:
    """Refuse, with a ``ConfigError``, a class of settings that can't be set as all others are."""
    if not callable(getattr(found, "make", None)):
        raise ConfigError(f"{word} ({name!r}) has no make, which returns the {word}: add it.")
    taken = every_word(but=word)
    for field in dataclasses.fields(found):
        if "low" not in field.metadata:
            raise ConfigError(
                f"{word} ({name!r}) has {field.name} = ..., of which nobody knows whether it is "
                "structure or a number: write it as jaxdqn.settings.static(...) or leaf(...)."
            )
        if field.name in taken:
            raise ConfigError(
                f"{word} ({name!r}) has {field.name}, which is a setting already: rename it."
            )


def _without(method: str) -> tuple[str, ...]:
    """Return the words of ``PARTS`` that a method has no use for: they and theirs are refused."""
    unused: tuple[str, ...] = getattr(kind("method", method), "without", ())
    return unused


def _unknown_choice(word: str, value: Any) -> ConfigError:
    for name, known in every_word().items():
        if known and isinstance(value, str) and value in typing.get_args(known.kind):
            return ConfigError(
                f"{word} = {value!r} is not known, but {name} = {value!r} is: set "
                f"{name} = {value!r}, and {word} to one of {', '.join(PARTS[word])} or not at all."
            )
    return unknown(f"{word} =", value, PARTS[word])


def kinds(chosen: Mapping[str, str]) -> dict[str, type]:
    """Return the classes of the chosen parts, the run's first."""
    return {RUN: RunSettings} | {word: kind(word, name) for word, name in chosen.items()}


def renewed(word: str, name: str, part: Any) -> Any:
    """Return a part of the class that its name stands for now, where a notebook has changed it.

    What both classes have is kept; what the new one adds has its default.
    """
    if ":" not in name or not dataclasses.is_dataclass(part):  # JAX puts anything in its place
        return part
    if type(part) is named.class_of(word, name):
        return part
    found = kind(word, name)
    values = {key: value for key, value in vars(part).items() if key in settings.words(found)}
    return found(**values)


def words(chosen: Mapping[str, str]) -> dict[str, Word]:
    """Return what can be set of the chosen parts, by name; the choices themselves apart."""
    return {
        name: word for kind in kinds(chosen).values() for name, word in settings.words(kind).items()
    }


def implied(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what switches imply that ``wanted`` turns, by word; those that stay on imply only
    what is missing, of a part that wasn't there.

    Args:
        before: what was set.
        wanted: what is to be.
    """
    found: dict[str, Any] = {}
    for word, states in IMPLIED.items():
        now = _state({**before, **wanted}, word)
        turned = now != _state(before, word)
        found |= {
            name: value
            for name, value in states.get(now, {}).items()
            if turned or (now and name not in before)
        }
    return found


def no_longer_implied(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> set[str]:
    """Return the words that are as a switch implied which ``wanted`` turns.

    Args:
        before: what was set.
        wanted: what is to be.
    """
    return {
        name
        for word, states in IMPLIED.items()
        if _state({**before, **wanted}, word) != (then := _state(before, word))
        for name, value in states.get(then, {}).items()
        if before.get(name) == value
    }


def _state(values: Mapping[str, Any], word: str) -> Any:
    """Return how a switch stands; one that can't stand so is refused later."""
    found = values.get(word, False)
    return found if isinstance(found, bool | str) else None


def every_word(but: str | None = None) -> dict[str, Word | None]:
    """Return what can be set of any part, by name; None for the choices themselves.

    Args:
        but: leave out the words of these choices.
    """
    others = [names for word, names in PARTS.items() if word != but]
    parts = [RunSettings, *(kind for names in others for kind in names.values())]
    every: dict[str, Word | None] = dict.fromkeys(PARTS)
    return every | {name: word for kind in parts for name, word in settings.words(kind).items()}


def check_word(
    name: str, value: Any, chosen: Mapping[str, str], kind: str = "setting", where: str = ""
) -> None:
    """Refuse a word that isn't one, or belongs to a part that isn't chosen.

    Args:
        name: the word.
        value: what it was to be set to.
        chosen: a name for each word of ``PARTS`` that the method uses.
        kind: what the message calls the word.
        where: and where it stands, after a blank.

    Raises:
        ConfigError: naming the nearest word, or the part.
    """
    if name in chosen or name in words(chosen):
        return
    for word, names in PARTS.items():
        owners = [owner for owner, part in names.items() if name in settings.words(part)]
        if word not in chosen and (name == word or owners):
            method = chosen["method"]
            with_it = " or ".join(
                repr(other) for other in PARTS["method"] if word not in _without(other)
            )
            raise ConfigError(
                f"{name} ({shown(value)}) has no part in method {method!r}, which has no {word}"
                f"{where}: leave it out, or set method = {with_it}."
            )
        if owners:
            raise ConfigError(
                f"{name} ({shown(value)}) belongs to {word} {' or '.join(map(repr, owners))}, and "
                f"{word} is {chosen[word]!r}{where}: set {word} = {owners[0]!r} or leave it out."
            )
    raise unknown_word(kind, name, every_word(), where)


def unknown_word(kind: str, name: str, known: Collection[str], where: str = "") -> ConfigError:
    """Return the error for a word that isn't one; of mazes' own it says where they belong.

    Args:
        kind: what the message calls the word.
        name: the word.
        known: what there is.
        where: it stands, after a blank.
    """
    before, _, entry = name.rpartition(".")
    table = before or table_of(entry)
    if table not in elsewhere.TABLES or table not in known:
        return elsewhere.unknown_setting(kind, name, known, where)
    remedy = f"{table}={{{entry!r}: ...}}, in TOML {entry} under [{table}]"
    return ConfigError(
        f"{kind} {name!r} is not known{where}: write "
        f"{f'--{table}.{entry}' if kind == 'option' else remedy}."
    )


def table_of(word: str) -> str | None:
    """Return the table in which something of mazes is set, None where mazes know no such word."""
    # Here alone, since gymnax comes with them, and JAX's devices are counted then.
    from jaxdqn.maze.env import Maze, MazeParams

    own = (inspect.signature(Maze).parameters, MazeParams.__dataclass_fields__)
    found = (table for table, words in zip(elsewhere.TABLES, own, strict=True) if word in words)
    return next(found, None)
