"""``jaxdqn compare``: train settings with the same seeds, and say whether they differ."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxdqn import plots, sweeping
from jaxdqn.commands import flags, sweep_values
from jaxdqn.config import Config, check, load_config, scaled
from jaxdqn.errors import ConfigError, shown
from jaxdqn.parallel.grid import grid
from jaxdqn.plots import style
from jaxdqn.runs import (
    comparison,
    comparison_console,
    comparison_folder,
    comparison_notes,
    console,
    files,
    folder,
    long_form,
    place,
    ranking,
    signals,
    sweep_console,
    sweep_folder,
    sweeps,
)
from jaxdqn.runs.comparison import Contender, Score
from jaxdqn.runs.provenance import provenance
from jaxdqn.runs.sweep_console import SweepProgress
from jaxdqn.runs.sweeps import Moment
from jaxdqn.training import measured

SEEDS = 32
"""Agents of each setting where nothing else is said."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train each setting with the same seeds; print one table, draw one figure.

    Besides these options, each setting of jaxdqn train takes one value, which all that are trained
    then have: --total_steps 20000 --double false --env_params.slip 0.1.
    """

    settings: Annotated[tyro.conf.Positional[list[Path]], tyro.conf.arg(metavar="A B ...")]
    """Two or more: TOML files or names of shipped ones, which are trained, or run folders, which
    are read; of a sweep, all its settings."""
    seeds: int | None = None
    """Agents of each setting that is trained, by default 32."""
    scale: float = 1.0
    """Make the schedule of each setting that is trained so many times as long, 0.1 for a quick try,
    as in jaxdqn train."""
    measure: str = "eval_return"
    """What is compared, such as success, regret, q_bias or held_out_success."""
    score: Score = "mean"
    """What of it counts for a seed: its mean along training, or its final value."""
    out: Path | None = None
    """Folder to create; by default runs/compare-<date>-<time>. Where it holds this comparison,
    stopped, what is missing is trained."""


@signals.raising()
def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen, configs = parse(arguments)
    count = SEEDS if chosen.seeds is None else chosen.seeds
    read = {path: _read(path) for path in chosen.settings if path.is_dir()}
    names = [[_name(path)] if path not in read else [one.name for one in read[path]]
             for path in chosen.settings]  # fmt: skip
    every = list(itertools.chain(*names))
    comparison.check_names(every)
    plain = dict(zip(every, files.plain_names(every), strict=True))
    shapes = [(_name(path), measured(config)) for path, config in configs.items()]
    shapes += [(one.name, one.metrics) for one in itertools.chain(*read.values())]
    for name, metrics in shapes:
        comparison.check_measure(metrics, chosen.measure, name)
    out = chosen.out or place.by_time("compare")
    with comparison_folder.opened(out, plain.values()):
        there = {
            path: comparison_folder.kept(out, plain[_name(path)], _name(path), config, range(count))
            for path, config in configs.items()
        }
        contenders = []
        for path in chosen.settings:
            found = read.get(path) or [
                there[path] or _train(path, configs[path], count, out, plain[_name(path)])
            ]
            for contender in found:
                comparison_folder.keep(out, plain[contender.name], contender)
                contenders.append(contender)
        report = comparison.report(contenders, chosen.measure, chosen.score)
        halted = {one.name: seeds for one in contenders if (seeds := _halted(one))}
        _leave(out, contenders, chosen, {
            "measure": chosen.measure,
            "score": chosen.score,
            "settings": {name: {"file": plain[name], **found} for name, found in report.items()},
            "halted": halted,
            **provenance(),
        })  # fmt: skip
    for name, seeds in halted.items():
        sweep_console.say_halted(name, seeds)
    notes = comparison_notes.unlike(contenders) + comparison_notes.repeated(contenders)
    first, *others = chosen.settings
    sweep = "" if others else _name(first)
    comparison_console.report(report, chosen.measure, chosen.score, out, notes, sweep)
    return 0


def _leave(out: Path, contenders: list[Contender], chosen: Arguments, said: dict[str, Any]) -> None:
    """Write the table, the figure and, by which the comparison is over, what it came to."""
    rows = [({"setting": one.name}, one.seeds, one.metrics) for one in contenders]
    long_form.write(out / comparison_folder.TABLE, rows)
    with style.as_everywhere():
        figure = plots.compare(contenders, chosen.measure, chosen.score)
        style.save(figure, out / comparison_folder.FIGURE, dpi=150)
    folder.save_json(out / folder.COMPARISON, said)


def parse(arguments: list[str]) -> tuple[Arguments, dict[Path, Config]]:
    """Read the command line; return options, and the settings of what is to be trained.

    Raises:
        ConfigError: a file, an option or a setting can't be honoured.
    """
    flags.enter(arguments)
    # Parts of one's own that they name are known from here on.
    files_of = {Path(word): load_config(word) for word in filter(flags.is_toml, arguments)}
    said, rest = sweep_values.split(arguments)
    flags.check_names(rest, Arguments)
    for name, values in said.items():
        if len(values) > 1 or sweep_values.range_of(values):
            raise ConfigError(
                f"{name} ({', '.join(map(str, values))}) must have one value in a comparison: name "
                "settings before options, write lists as 64,64, or use jaxdqn sweep."
            )
    chosen = tyro.cli(Arguments, prog="jaxdqn compare", args=rest, use_underscores=True)
    if chosen.seeds is not None and chosen.seeds < 2:
        raise ConfigError(f"seeds ({chosen.seeds}) must be 2 or more to tell a spread: raise it.")
    if chosen.settings and all(path.is_dir() for path in chosen.settings):
        _refuse_training(chosen, said)
    configs = {}
    for path in chosen.settings:
        if not path.is_dir():
            config, _ = sweep_values.apart(files_of.get(path) or load_config(path), said)
            configs[path] = scaled(config, chosen.scale)
            check(configs[path])
    return chosen, configs


def _refuse_training(chosen: Arguments, said: Mapping[str, list[Any]]) -> None:
    """Refuse, with a ``ConfigError``, what is set of trainings where there are none."""
    options = {name: vars(chosen)[name] for name in ("seeds", "scale")}
    given = {name: value for name, value in options.items() if value not in (None, 1.0)}
    for name, value in {**given, **{name: values[0] for name, values in said.items()}}.items():
        raise ConfigError(
            f"{name} ({shown(value)}) is of settings that are trained, and these are run folders, "
            "which stay as they are: leave it out."
        )


def _halted(contender: Contender) -> list[int]:
    """Return the seeds that left the finite numbers."""
    assert contender.config is not None
    return [contender.seeds[at] for at in ranking.halted(contender.config, contender.metrics)]


def _train(path: Path, config: Config, seeds: int, out: Path, plain: str) -> Contender:
    """Train a setting, or what an earlier command has left of it to be trained.

    Raises:
        KeyboardInterrupt: a signal stopped it; what was trained is in the folder.
    """
    shows, named = console.is_terminal(errors=True), (sweeping.MEASURE, sweeping.SCORE)
    with (
        comparison_folder.held(out, plain) as (folder_of_its_own, clock),
        SweepProgress(*named, shows=shows, errors=True) as progress,
    ):

        def watch(moment: Moment) -> bool:
            clock.take(moment)
            return progress.show(moment)

        say = partial(console.say, _name(path))
        for note in console.notes_on([config]):
            say(note)
        found = grid(config, seeds, {}, False)
        trained = sweeps.run(found, folder_of_its_own, params=False, say=say, watch=watch)
        if not trained.finished:
            raise KeyboardInterrupt
    metrics = trained.results.sweep().metrics
    along = clock.along(metrics.env_steps.shape[-1])
    return Contender(_name(path), metrics, range(seeds), clock.seconds, along, config)


def _read(path: Path) -> list[Contender]:
    """Read a run, or every setting of a sweep."""
    if not sweep_folder.is_sweep(path):
        run = folder.load(path)
        return [Contender(_name(path), run.metrics, run.seeds, math.nan, config=run.config)]
    results, _, _ = sweep_folder.read_results(path)
    return [
        Contender(
            f"{_name(path)} {name}".strip(), metrics, seeds, math.nan, config=results.grid.of(cell)
        )
        for cell, name in enumerate(ranking.told_apart(results.grid.settings))
        for seeds, metrics in [results.of_cell(cell)]
        if metrics is not None
    ]


def _name(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem
