"""``jaxdqn evaluate``: measure a run's greedy policies on its own levels and on others, and the
paths that a language model writes.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import jax
import tyro

from jaxdqn import environment, statistics, unread
from jaxdqn.config import Config, check
from jaxdqn.errors import ConfigError
from jaxdqn.evaluation import evaluate, traced
from jaxdqn.maze.levels import TooFewLevelsError
from jaxdqn.metrics import Evaluation, to_arrays
from jaxdqn.parallel import estimate, memory
from jaxdqn.random import check_seed
from jaxdqn.runs import console, folder, language_console, language_run
from jaxdqn.runs.trained import trained
from jaxdqn.types import Params

EPISODES = 256
"""Episodes of each seed where nothing else is said."""
LEVELS = 256
"""Held-out levels where nothing else is said, if there are so many."""
MOST_PATHS = 100_000
"""Most that a language model is asked to write."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the greedy policy of every seed, on the levels it trained on and on others.

    Of a language model: the shortest paths that it writes in held-out mazes.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    episodes: int | None = None
    """Greedy episodes per seed, by default 256. Of a language model: paths, by default one in each
    held-out maze, at most 1,024."""
    levels: int | None = None
    """Held-out levels, where levels are generated; none of them is a training level. By default
    256, or as many as there are, and none where only one was trained on."""
    key: int = 0
    """Random key of the evaluation."""


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen = tyro.cli(Arguments, prog="jaxdqn evaluate", args=arguments, use_underscores=True)
    check_seed(chosen.key, "key")
    if folder.is_language(chosen.run):
        return _evaluate_language_run(chosen)
    for name in ("episodes", "levels"):
        if (asked := getattr(chosen, name)) is not None and asked < 1:
            raise ConfigError(f"{name} ({asked}) must be 1 or more: change it, or leave it out.")
    found = trained(chosen.run)
    episodes = EPISODES if chosen.episodes is None else chosen.episodes
    config = with_held_out(found.config.replace(eval_episodes=episodes), chosen.levels)
    check(config)
    if not unread.is_known(config):
        console.print_line(
            f"note: pretrained ({config.pretrained!r}) isn't there, so that it can't be said "
            "whether the network's trunk has read the mazes."
        )
    measured = _measure(config, found.params, chosen.key)
    groups = {"training": measured.replace(held_out=None)}
    if measured.held_out is not None:
        groups["held out"] = measured.held_out
    summary = {
        group: {name: statistics.summarise(values) for name, values in to_arrays(means).items()}
        for group, means in groups.items()
    }
    console.report_evaluation(summary, len(found.seeds), episodes)
    unseen = config.env_kwargs.get("num_held_out", LEVELS)
    if chosen.levels is None and unseen < LEVELS:
        console.print_line(f"levels found beside those of training: {unseen}")
    # After it is shown: a run may be one that can't be written to.
    folder.save_json(
        chosen.run / "evaluation.json",
        {"episodes": episodes, "key": chosen.key} | summary,
    )
    return 0


def _evaluate_language_run(chosen: Arguments) -> int:
    of_agents = {} if chosen.levels is None else {"levels": chosen.levels}
    language_run.refuse_of_agents(chosen.run, of_agents)
    if chosen.episodes is not None and not 1 <= chosen.episodes <= MOST_PATHS:
        raise ConfigError(
            f"episodes ({chosen.episodes}) must be from 1 to {MOST_PATHS:,}, the paths that are "
            "written: change it."
        )
    found = language_run.restore(chosen.run)
    key = jax.random.key(chosen.key)
    summary, _ = language_run.write_paths(found.config, found.state.params, key, chosen.episodes)
    language_console.report_paths(summary)
    paths = summary["greedy"]["paths"]
    folder.save_json(
        chosen.run / "evaluation.json", {"episodes": paths, "key": chosen.key} | summary
    )
    return 0


def with_held_out(config: Config, levels: int | None = None) -> Config:
    """Return the same settings with more held-out levels, none a training level or one that the
    network's trunk has read.

    Nothing is added where it isn't a maze, where there is but one level to generate and, unless
    asked for, where only one was trained on: an agent need not see in which maze it is.

    Args:
        config: the settings.
        levels: at least so many; None: ``LEVELS``, or as many as there are.

    Raises:
        ConfigError: there are fewer.
    """
    here, _ = environment.make(config)
    kwargs = environment.defaults(config)[0] | dict(config.env_kwargs)
    if not here.is_maze or kwargs["generator"] in ("empty", "layout"):
        return config
    if levels is None and kwargs["num_levels"] == 1:
        return config
    wanted = LEVELS if levels is None else levels
    # Fewer levels are looked for in fewer draws, which may then hold fewer still.
    while True:
        more = {"num_held_out": max(wanted, kwargs["num_held_out"])}
        wider = config.replace(env_kwargs={**config.env_kwargs, **more})
        try:
            environment.make(wider)
            unread.check_judged(wider)
            return wider
        except TooFewLevelsError as error:
            wanted = error.found - kwargs["num_levels"]
            if wanted < kwargs["num_held_out"]:
                raise
            if levels is not None:
                raise ConfigError(
                    f"levels ({levels}) exceeds the {wanted} found beside those of training: "
                    f"write --levels {wanted}, or leave it out."
                ) from None


def _measure(config: Config, params: Params, key: int) -> Evaluation:
    """Return the measures of every seed, leaves ``[S]``: as many side by side as memory holds."""
    seeds = len(jax.tree.leaves(params)[0])
    keys = jax.random.split(jax.random.key(key), seeds)
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), params)
    width = memory.free(jax.local_devices()[0]) // estimate.peak(traced(config, one))
    if width >= seeds:
        return jax.vmap(evaluate, (None, 0, 0))(config, params, keys)
    return jax.lax.map(
        lambda of: evaluate(config, *of), (params, keys), batch_size=max(int(width), 1)
    )
