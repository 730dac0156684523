"""``jaxdqn train``: train one agent per seed, show it live, leave a run folder."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxdqn import environment, plots, unread
from jaxdqn.commands import flags, sweep
from jaxdqn.config import Config, check, check_single, scaled, to_toml
from jaxdqn.method import State
from jaxdqn.metrics import Metrics
from jaxdqn.parallel import executor, processes, seeds
from jaxdqn.parallel.grid import grid
from jaxdqn.random import seeds_from
from jaxdqn.runs import console, place, session
from jaxdqn.runs.checkpoint import Checkpoint
from jaxdqn.runs.session import Options, Outcome


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train one agent per seed, and leave a run folder with tables and pictures.

    Of the settings, those that are "sweepable" are numbers, of which one compiled program trains
    any; whoever changes one that is "compiled" waits for another program.
    """

    config_file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CONFIG")]
    """Settings, a TOML file or the name of a shipped one, such as maze; the options below change
    single ones."""
    settings: Config
    env_kwargs: Any
    env_params: Any
    seeds: int = 16
    """Agents, one per seed, trained side by side on all cores or devices."""
    first_seed: int = 0
    """Number of the first seed; seed i is train(config, jax.random.key(i))."""
    scale: float = 1.0
    """Make the schedule so many times as long, 0.1 for a quick try: total_steps, warmup_steps and
    epsilon_steps."""
    out: Path | None = None
    """Run folder to create; by default runs/<config>-<date>-<time>."""
    keeping: tyro.conf.OmitArgPrefixes[Options] = dataclasses.field(default_factory=Options)


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen = parse(arguments)
    config, numbers = chosen.settings, seeds_from(chosen.first_seed, chosen.seeds)
    sweep.need_folder(chosen.out)
    text = to_toml(config)
    in_chunks = processes.joined() or executor.plan(config, chosen.seeds).most < chosen.seeds
    chosen.keeping.check(in_chunks)
    if in_chunks:
        looking = sweep.Looking(save_every=chosen.keeping.save_every)
        with place.given(chosen.out, chosen.config_file.stem) as out:
            if processes.is_first():
                console.announce(config, numbers, out)
            return sweep.watch(out, grid(config, numbers, {}), looking)
    out = chosen.out or place.by_time(chosen.config_file.stem)
    with place.new(out, text):
        console.announce(config, numbers, out)
        return watch(out, config, numbers, chosen.keeping)


def watch(
    out: Path, config: Config, numbers: range, options: Options, begin: Checkpoint | None = None
) -> int:
    """Train in a run folder, show it live, and leave its results; return the exit status.

    It is 130 where a signal stopped the training before its end, though results are left, and 1
    where no seed is left that learns.
    """
    done = int(begin.state.evaluations) if begin else 0
    called = time.monotonic()
    with console.Progress(config, len(numbers), done) as progress:

        def show(_: State, row: Metrics | None) -> bool:
            if row is None:
                progress.compiled(time.monotonic() - called)
            else:
                progress.update(row)
            return progress.asked

        outcome = session.train(
            out, config, numbers, options=options, callback=show, begin=begin, holds=False
        )
    reached = config.num_envs * int(outcome.state.vector_steps)
    if outcome.summary is not None:
        _show_results(out, config, numbers, outcome)
    if len(outcome.halted) == len(numbers):
        return 1  # nothing can be gone on with
    ended = int(outcome.state.evaluations) == config.schedule.evaluations
    if not ended:
        console.say_how_to_go_on(out, reached, config.schedule.env_steps)
    return 130 if progress.asked and not ended else 0


def parse(arguments: list[str]) -> Arguments:
    """Read the command line; what the file sets is the default of the options.

    Options are those of the parts that the file or the line itself chooses.

    Raises:
        ConfigError: the file or an option can't be honoured.
    """
    named = flags.file_of("train", arguments)
    config = flags.choose(named, arguments)
    check_single(config)
    flags.check_names(arguments, Arguments)
    kwargs, params = environment.defaults(config)
    offer, tables = flags.offer(config), flags.tables(config)
    kind = flags.expecting(Arguments, offer, **tables)
    offered = kind(named or tyro.MISSING, settings=offer, **tables)
    chosen = tyro.cli(
        kind, prog="jaxdqn train", args=arguments, default=offered, use_underscores=True
    )
    flags.check_file(chosen.config_file)
    settings = config.replace(
        **flags.taken(chosen.settings),
        env_kwargs=flags.changed(vars(chosen.env_kwargs), kwargs, config.env_kwargs),
        env_params=flags.changed(vars(chosen.env_params), params, config.env_params),
    )
    settings = scaled(settings, chosen.scale)
    check(settings)
    environment.make(settings)
    unread.check_begins(settings)
    return dataclasses.replace(chosen, settings=settings)


def _show_results(out: Path, config: Config, numbers: range, outcome: Outcome) -> None:
    assert outcome.metrics is not None
    assert outcome.summary is not None
    name, params = outcome.summary["name"], seeds.parameters_of(outcome.state, 0)
    plots.draw(out, name, config, outcome.metrics, params, numbers.start)
    console.report(outcome.summary, out)
