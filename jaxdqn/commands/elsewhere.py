"""What of a run's settings may be others when it is evaluated, and what follows from that."""

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn import environment, maze, pytrees, unread
from jaxdqn.assembly import assemble
from jaxdqn.commands import flags
from jaxdqn.config import Config, reading_nothing
from jaxdqn.errors import ConfigError, shown
from jaxdqn.maze import MazeParams, solve
from jaxdqn.runs import folder, language_run, place
from jaxdqn.settings import RunSettings
from jaxdqn.types import Array, Params

WORDS = ("eval_steps", "oracle_levels")
"""What may be another beside the environment's tables."""
COUNTS = ("num_levels", "num_held_out")
"""Of a maze's arguments those that are of training."""
_TABLES = ("env_kwargs", "env_params")
_ROOM = 1.5
"""A greedy walk may be so many times as long as the longest of the shortest ways."""


class Changes(NamedTuple):
    """Settings that are asked for instead of the run's: words, and entries of the tables."""

    words: Mapping[str, Any]
    env_kwargs: Mapping[str, Any]
    env_params: Mapping[str, Any]

    def __str__(self) -> str:
        """Return them as a line says them."""
        every = {f"{name}.{key}": x for name in _TABLES for key, x in getattr(self, name).items()}
        every |= self.words
        return ", ".join(f"{name} = {shown(value)}" for name, value in every.items())

    def plain(self, further: "Changes") -> dict[str, Any]:
        """Return them, and what follows, as JSON can say it."""
        own, other = self._asdict(), further._asdict()
        merged = {name: {**own[name], **other[name]} for name in own}
        return pytrees.plain(merged.pop("words") | merged)

    def of(self, config: Config) -> Config:
        """Return settings with these instead."""
        tables = {name: {**getattr(config, name), **getattr(self, name)} for name in _TABLES}
        return config.replace(**self.words, **tables)


NONE = Changes({}, {}, {})


def run_of(arguments: list[str]) -> Path | None:
    """Return the run folder that a command line names, if it is there."""
    marks = (place.SETTINGS, place.CHECKPOINT, place.LANGUAGE, folder.GRID)
    for word in arguments:
        # By os.path, for which what is too long for a path, as the text of a maze, is no file.
        if any(os.path.isfile(os.path.join(word, mark)) for mark in marks):
            return Path(word)
    return None


def check_options(arguments: list[str]) -> None:
    """Refuse, with a ``ConfigError``, settings that have no part in an evaluation."""
    flags.check_stay(arguments, (*WORDS, *_TABLES), "its environment, eval_steps and oracle_levels")
    for name, value in flags.typed(arguments):
        if name in [f"env_kwargs.{count}" for count in COUNTS]:
            raise ConfigError(
                f"--{name} ({value}) is of training: write --levels {value} for levels to measure "
                "on."
            )


def check_is_of_agents(run: Path, arguments: list[str]) -> None:
    """Refuse, with a ``ConfigError``, settings of agents that are asked for of a language model."""
    of_agents = (*WORDS, *_TABLES)
    given = {x: y for x, y in flags.typed(arguments) if x.partition(".")[0] in of_agents}
    language_run.refuse_of_agents(run, given)


def offer(arguments: type, run: Path, config: Config) -> Any:
    """Return a command's arguments and what may be asked for instead of a run's settings, for tyro.

    Args:
        arguments: dataclass of the command's own.
        run: the run folder.
        config: its settings, which are the defaults.
    """
    others = [word for word in vars(RunSettings()) if word not in WORDS]
    words = flags.of_one("Evaluation", RunSettings, config, others)
    tables = flags.tables(config, COUNTS, ("", ""))
    return flags.expecting(arguments, words, **tables)(run, settings=words, **tables)


def asked(config: Config, arguments: list[str], chosen: Any) -> Changes:
    """Return what is asked for instead of the run's.

    Args:
        config: the run's settings.
        arguments: of the command line.
        chosen: what tyro made of them.
    """
    kwargs, params = environment.defaults(config)
    given = dict(flags.typed(arguments))

    def of(there: Any, own: Mapping[str, Any], where: str = "") -> dict[str, Any]:
        # A switch may be typed by its opposite, and an array of the run's is offered as it is.
        return {
            name: x
            for name, x in vars(there).items()
            if where + name in given or (x is not own[name] and x != own[name])
        }

    return Changes(
        of(chosen.settings, {word: getattr(config, word) for word in WORDS}),
        of(chosen.env_kwargs, {**kwargs, **config.env_kwargs}, "env_kwargs."),
        of(chosen.env_params, {**params, **config.env_params}, "env_params."),
    )


def makes_others(config: Config, changed: Changes) -> bool:
    """Whether changes of a run's settings make other mazes, and not the same seen otherwise."""
    of_levels = {"level_seed", *inspect.signature(maze.bank).parameters}
    return environment.make(config)[0].is_maze and bool(of_levels & changed.env_kwargs.keys())


def check_fits(config: Config, params: Params) -> None:
    """Refuse, with a ``ConfigError``, settings for which networks ``[S, ...]`` aren't made."""
    one = jax.eval_shape(assemble(reading_nothing(config)).method.init, jax.random.key(0))[0].params
    pytrees.leading_axes(
        params, one, "params", "evaluate on observations of the shape that it was trained on, or "
        "train a network that reads grids of any size, network = 'planning'"
    )  # fmt: skip


def following(own: Config, there: Config, changed: Changes) -> Changes:
    """Return what follows from other mazes: that ways are walked, and planned, to their end, and
    that values are compared in no more cells than at home, each of which may take much longer.

    What is asked for stays.

    Args:
        own: the run's settings.
        there: those of the other mazes.
        changed: what is asked for instead of the run's.
    """
    made, params = environment.make(there)
    longest = int(_farthest(params).max())
    if made.gymnax.random_goal:  # by way of the level's own goal, through each cell once at most
        longest = min(2 * longest, int(np.max(params.levels.num_cells)) - 1)
    network, limit = there.part("network"), int(params.max_steps_in_episode)
    steps = changed.words.get("eval_steps", max(own.eval_steps, int(_ROOM * longest)))
    at_home, here = (environment.make(each)[1].levels.walls[0].size for each in (own, there))
    found = {
        "eval_steps": steps,
        "oracle_levels": min(max(own.oracle_levels * at_home // here, 1), own.oracle_levels),
        **vars(network.reaching(longest)),
    }
    return Changes(
        {x: y for x, y in found.items() if x not in changed.words and y != getattr(own, x)},
        {},
        {} if "max_steps_in_episode" in changed.env_params or limit > steps else
        {"max_steps_in_episode": steps + 1},
    )  # fmt: skip


@jax.jit
def _farthest(params: MazeParams) -> Array:
    """Return for each level the moves to its goal from where they are most, ``[L]``."""

    def of_level(walls: Array, cells: Array) -> Array:
        return jnp.max(solve.distances(walls, cells[-1])[cells])

    return jax.vmap(of_level)(params.levels.walls, params.levels.cells)


def sentences(own: Config, config: Config, changed: Changes, further: Changes) -> list[str]:
    """Return what is said of settings that aren't the run's.

    Args:
        own: the run's settings.
        config: those that it is measured by.
        changed: what is asked for instead.
        further: what follows from that.
    """
    if not str(changed):
        return []
    said = [f"elsewhere: {changed}"]
    if str(further):
        said.append(f"and so that it fits: {further}")
    if makes_others(own, changed):
        banks = [environment.make(each)[1].levels for each in (own, config)]
        same_size = len({bank.walls.shape[1:] for bank in banks}) == 1
        known = set.intersection(*({*unread.marks(bank)} for bank in banks))
        if same_size and known:
            said.append(f"of these levels {len(known)} are of training")
    return said + environment.notes(config)
