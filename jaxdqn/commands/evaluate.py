"""``jaxdqn evaluate``: measure a run's greedy policies on its own levels and on others, and the
paths that a language model writes.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from jaxdqn import environment, plots, statistics, unread
from jaxdqn.commands import elsewhere
from jaxdqn.commands.elsewhere import Changes
from jaxdqn.config import Config, check
from jaxdqn.errors import ConfigError
from jaxdqn.evaluation import evaluate, traced
from jaxdqn.maze.levels import TooFewLevelsError
from jaxdqn.metrics import Evaluation, to_arrays
from jaxdqn.parallel import estimate, memory
from jaxdqn.random import check_seed
from jaxdqn.runs import console, folder, language_console, language_run
from jaxdqn.runs.trained import Trained, trained
from jaxdqn.types import Params

EPISODES = 256
"""Episodes of each seed where nothing else is said."""
LEVELS = 256
"""Held-out levels where nothing else is said, if there are so many."""
ALONE = ("empty", "layout")
"""Generators of one level each."""
MOST_PATHS = 100_000
"""Most that a language model is asked to write."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Measure the greedy policy of every seed, on the levels it trained on and on others.

    Behind RUN stand the settings of its environment; changed ones measure it elsewhere: in larger
    mazes or of another kind, or by other rules. Of a language model: the shortest paths that it
    writes in held-out mazes.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    episodes: int | None = None
    """Greedy episodes per seed, by default 256. Of a language model: paths, by default one in each
    held-out maze, at most 1,024."""
    levels: int | None = None
    """Held-out levels, where levels are generated; none of them is a training level. By default
    256, or as many as there are, and none where only one was trained on. Where env_kwargs are
    others: levels that they make, by default 256, too."""
    key: int = 0
    """Random key of the evaluation."""
    out: Path | None = None
    """File to write, evaluation.json in the run folder by default; of other mazes a picture of
    walks, too, beside it."""


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen, found, changed = parse(arguments)
    check_seed(chosen.key, "key")
    _check_out(chosen.out)
    if found is None:
        return _evaluate_language_run(chosen)
    for name in ("episodes", "levels"):
        if (count := getattr(chosen, name)) is not None and count < 1:
            raise ConfigError(f"{name} ({count}) must be 1 or more: change it, or leave it out.")
    episodes = EPISODES if chosen.episodes is None else chosen.episodes
    own = found.config.replace(eval_episodes=episodes)
    asked, others = changed.of(own), elsewhere.makes_others(own, changed)
    config = (with_others if others else with_held_out)(asked, chosen.levels)
    further = elsewhere.following(own, config, changed) if others else elsewhere.NONE
    config = further.of(config)
    check(config)
    elsewhere.check_fits(config, found.params)
    if not unread.is_known(config):
        console.print_line(
            f"note: pretrained ({config.pretrained!r}) isn't there, so that it can't be said "
            "whether the network's trunk has read the mazes."
        )
    measured = _measure(config, found.params, chosen.key)
    groups = {"elsewhere" if others else "training": measured.replace(held_out=None)}
    if measured.held_out is not None:
        groups["held out"] = measured.held_out
    summary = {
        group: {name: statistics.summarise(values) for name, values in to_arrays(means).items()}
        for group, means in groups.items()
    }
    console.report_evaluation(summary, len(found.seeds), episodes)
    unseen = config.env_kwargs.get("num_held_out", 0)
    if config.env_kwargs != asked.env_kwargs and chosen.levels is None and 0 < unseen < LEVELS:
        console.print_line(f"levels found beside those of training: {unseen}")
    for what in elsewhere.sentences(own, config, changed, further):
        console.print_line(what)
    # After it is shown: a run may be one that can't be written to.
    out = chosen.out or chosen.run / "evaluation.json"
    settings = {"settings": changed.plain(further)} if str(changed) else {}
    folder.save_json(out, {"episodes": episodes, "key": chosen.key} | settings | summary)
    if others:
        title = f"{chosen.run.resolve().name}, seed {found.seeds.start}"
        plots.draw_elsewhere(out.with_suffix(".png"), config, found.of(found.seeds.start), title)
    return 0


def _check_out(out: Path | None) -> None:
    if out and (out.suffix == ".png" or out.is_dir() or not out.absolute().parent.is_dir()):
        raise ConfigError(
            f"out ('{out}') must be a JSON file in a folder that is there: write --out "
            "elsewhere.json or the like."
        )


def parse(arguments: list[str]) -> tuple[Arguments, Trained | None, Changes]:
    """Read the command line.

    Options are also those of the environment of the run that it names.

    Returns:
        What was chosen, the run's networks, None of a language model's, and what is asked for
        instead of its settings.

    Raises:
        ConfigError: the run can't be read, or an option is of a setting that stays.
    """

    def read(kind: type, **defaults: Any) -> Any:
        return tyro.cli(
            kind, prog="jaxdqn evaluate", args=arguments, use_underscores=True, **defaults
        )

    elsewhere.check_options(arguments)
    named = elsewhere.run_of(arguments)
    if named is None:
        chosen, _ = read(Arguments, return_unknown_args=True)
        return chosen, trained(chosen.run), elsewhere.NONE
    if folder.is_language(named):
        elsewhere.check_is_of_agents(named, arguments)
        return read(Arguments), None, elsewhere.NONE
    found = trained(named)
    offered = elsewhere.offer(Arguments, named, found.config)
    chosen = read(type(offered), default=offered)
    return chosen, found, elsewhere.asked(found.config, arguments, chosen)


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
        chosen.out or chosen.run / "evaluation.json",
        {"episodes": paths, "key": chosen.key} | summary,
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
    if not here.is_maze or kwargs["generator"] in ALONE:
        return config
    if levels is None and kwargs["num_levels"] == 1:
        return config
    wanted, there = (LEVELS if levels is None else levels), kwargs["num_held_out"]
    return _with(config, "num_held_out", max(wanted, there), there, kwargs["num_levels"], levels)


def with_others(config: Config, levels: int | None = None) -> Config:
    """Return settings of other mazes than a run's, with so many levels and none held out.

    Args:
        config: the settings.
        levels: as in ``with_held_out``.

    Raises:
        ConfigError: there are fewer.
    """
    kwargs = {**config.env_kwargs, "num_held_out": 0}
    several = kwargs.get("generator") not in ALONE
    wanted = (LEVELS if levels is None else levels) if several else 1
    return _with(config.replace(env_kwargs=kwargs), "num_levels", wanted, 1, 0, levels)


def _with(
    config: Config, count: str, wanted: int, least: int, before: int, levels: int | None
) -> Config:
    """Return settings with as many levels as are wanted, or as there are.

    Args:
        config: the settings.
        count: of the environment's arguments that says how many.
        wanted: levels.
        least: so many there must be.
        before: how many others there are.
        levels: how many were asked for, if any.
    """
    # Fewer levels are looked for in fewer draws, which may then hold fewer still.
    while True:
        wider = config.replace(env_kwargs={**config.env_kwargs, count: wanted})
        try:
            environment.make(wider)
            unread.check_judged(wider)
            return wider
        except TooFewLevelsError as error:
            wanted = error.found - before
            if wanted < least:
                raise
            if levels is not None:
                beside = " beside those of training" if before else ""
                raise ConfigError(
                    f"levels ({levels}) exceeds the {wanted} found{beside}: "
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
