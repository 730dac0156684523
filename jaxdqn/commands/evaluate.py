"""``jaxdqn evaluate``: measure a run's greedy policies on its own levels and on others."""

import dataclasses
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

from jaxdqn import console, environment, runs, statistics
from jaxdqn.commands.resume import of_run
from jaxdqn.config import Config, check
from jaxdqn.evaluation import Evaluation, evaluate
from jaxdqn.loggers import arrays
from jaxdqn.types import Params

_GENERATED = ("scatter", "corridors")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the greedy policy of every seed, on the levels it trained on and on others."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    episodes: int = 256
    """Greedy episodes per seed."""
    levels: int = 256
    """Held-out levels, where levels are generated: drawn from the level seed after the run's."""
    key: int = 0
    """Random key of the evaluation."""


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen = tyro.cli(Arguments, prog="jaxdqn evaluate", args=arguments, use_underscores=True)
    found, numbers = of_run(chosen.run)
    config = found.config.replace(eval_episodes=chosen.episodes)
    check(config)
    params = found.state.agent.params
    groups = {"training": _measure(config, params, chosen.key)}
    others, shared = held_out(config, chosen.levels)
    if others is not None:
        groups["held out"] = _measure(others, params, chosen.key)
    summary = {
        group: {name: statistics.summarise(values) for name, values in measured.items()}
        for group, measured in groups.items()
    }
    runs.save_json(
        chosen.run / "evaluation.json",
        {"episodes": chosen.episodes, "key": chosen.key, "levels_also_in_training": shared}
        | summary,
    )
    console.report_evaluation(summary, len(numbers), chosen.episodes, shared)
    return 0


def held_out(config: Config, levels: int) -> tuple[Config | None, int]:
    """Return the same settings on levels of the next level seed, and how many are not new.

    Args:
        config: the settings of the run.
        levels: how many.

    Returns:
        None where there are no other levels: on one layout, and where it isn't a maze.
    """
    here, params = environment.make(config)
    kwargs = environment.defaults(config)[0] | dict(config.env_kwargs)
    if not here.is_maze or kwargs["generator"] not in _GENERATED:
        return None, 0
    other = {"num_levels": levels, "level_seed": kwargs["level_seed"] + 1}
    there = config.replace(env_kwargs={**config.env_kwargs, **other})
    seen, drawn = (
        {walls.tobytes() for walls in np.asarray(bank.levels.walls)}
        for bank in (params, environment.make(there)[1])
    )
    return there, len(seen & drawn)


def _measure(config: Config, params: Params, key: int) -> dict[str, np.ndarray]:
    count = len(jax.tree.leaves(params)[0])
    keys = jax.random.split(jax.random.key(key), count)
    measured: Evaluation = jax.vmap(evaluate, (None, 0, 0))(config, params, keys)
    return arrays(measured)
