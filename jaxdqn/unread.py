"""What an agent may begin with: a trunk that fits, and has read none of the agent's mazes."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdqn import environment as environments
from jaxdqn.config import Config
from jaxdqn.errors import ConfigError, counted, shown
from jaxdqn.language import config as configs
from jaxdqn.language import corpus
from jaxdqn.language.config import LanguageConfig
from jaxdqn.maze import Levels, Maze
from jaxdqn.maze.levels import TooFewLevelsError
from jaxdqn.networks import pretrained

_FIRST_LOOK = 1_024
"""Mazes of a corpus that are made and looked through before all of it, which may take seconds:
those that follow what was left unread are the first that an agent has too many."""


def check_begins(config: Config) -> None:
    """Refuse what a new agent can't begin with; one that was trained has its weights.

    Raises:
        ConfigError: the folder isn't there, its trunk is of another shape, or it has read mazes
            that the agent is trained or judged on.
    """
    if folder := _folder(config):
        environments.make(config)  # refuses first what no network of this kind reads
        config.part("network").check_begins(environments.seen(config))
        _check_mazes(folder, config)


def check_judged(config: Config) -> None:
    """Refuse to judge an agent on mazes that its trunk has read, where that is known.

    Raises:
        ConfigError: it has read some.
    """
    if (folder := _folder(config)) and is_known(config):
        _check_mazes(folder, config)


def is_known(config: Config) -> bool:
    """Whether there is no trunk that has read anything, or the folder that says what it read."""
    try:
        return not (folder := _folder(config)) or bool(_settings(folder))
    except ConfigError:
        return False


def _folder(config: Config) -> str:
    return str(getattr(config, "pretrained", ""))


def _settings(folder: str) -> LanguageConfig:
    pretrained.read(folder)
    return configs.load(Path(folder) / pretrained.SETTINGS)


def _check_mazes(folder: str, config: Config) -> None:
    environment, _ = environments.make(config)
    if not environment.is_maze:
        return
    settings, judged = _settings(folder), environment.gymnax
    size = pretrained.size(settings.env_kwargs)
    if size != (judged.height, judged.width):
        raise ConfigError(
            f"env_kwargs.height ({judged.height}) and env_kwargs.width ({judged.width}) are not "
            f"those of the mazes of pretrained {folder!r}: use {size[0]} and {size[1]}."
        )
    unread, same_bank = _unread(settings.env_kwargs, settings.mazes, judged)
    if unread == judged.num_levels:
        return
    if same_bank:
        raise TooFewLevelsError(
            f"env_kwargs.num_levels + env_kwargs.num_held_out ({judged.num_levels}) exceed the "
            f"{unread} mazes that pretrained {folder!r} left unread: lower one, or pre-train with "
            "as many.",
            unread,
        )
    own = ", ".join(
        f"{name} = {shown(value)}"
        for name, value in settings.env_kwargs.items()
        if name not in ("num_levels", "num_held_out")
    )
    raise TooFewLevelsError(
        f"env_kwargs make {counted(judged.num_levels, 'maze')}, and pretrained {folder!r} has read "
        f"number {unread + 1} of them: make the mazes that it left unread, by its env_kwargs "
        f"({own}), or pre-train on others.",
        unread,
    )


@functools.lru_cache(maxsize=8)
def _unread(read: Mapping[str, Any], mazes: int, judged: Maze) -> tuple[int, bool]:
    """Return how many of an agent's mazes come before the first that was read, and whether they
    are of the same bank as those that were.

    Args:
        read: what made the mazes of the corpus.
        mazes: how many those are.
        judged: what has the agent's.
    """
    # Now, even while a caller is being traced.
    with environments.nowhere(), jax.ensure_compile_time_eval():
        left, wanted = _of(Maze(**read)), _of(judged)
        same_bank = all(one == other for one, other in zip(left, wanted, strict=False))
        # No two of a bank are alike, so that none of those that it begins with are in the corpus.
        known = set(left)
        doubtful = {mark: number for number, mark in enumerate(wanted) if mark not in known}
        for count in sorted({min(_FIRST_LOOK, mazes), mazes}) if doubtful else ():
            settings = LanguageConfig(env_kwargs=read, mazes=count)
            if found := doubtful.keys() & marks(corpus.banks(settings)[1]):
                return min(doubtful[mark] for mark in found), same_bank
    return len(wanted), same_bank


def _of(mazes: Maze) -> list[bytes]:
    """Return the marks of an environment's mazes, those that are held out last."""
    banks = (mazes.default_params.levels, mazes.default_params.held_out)
    return [mark for bank in banks if bank is not None for mark in marks(bank)]


def marks(levels: Levels) -> list[bytes]:
    """Return of each maze which cells are connected to the goal: equal for equal mazes."""
    reached = np.zeros((len(levels), levels.walls[0].size), bool)
    np.put_along_axis(reached, np.asarray(levels.cells), True, axis=1)
    return list(map(bytes, np.packbits(reached, axis=1)))
