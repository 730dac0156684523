"""``jaxdqn sweep``: train settings × seeds, show it live, leave a run folder."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from jaxdqn import sweeping
from jaxdqn.commands import flags, sweep_values
from jaxdqn.config import Config, load_config, sweep_table
from jaxdqn.errors import ConfigError, counted
from jaxdqn.parallel import processes
from jaxdqn.parallel.grid import Grid, grid
from jaxdqn.random import check_seed, seeds_from
from jaxdqn.runs import comparison, console, halving, place, ranking, sweep_console, sweeps
from jaxdqn.runs.comparison import Score
from jaxdqn.runs.session import check_save_every
from jaxdqn.training import measured


@dataclasses.dataclass(frozen=True)
class Looking:
    """By what settings are ranked, and how often a chunk under way is saved."""

    measure: str = sweeping.MEASURE
    """What settings are ranked by, such as success, regret, q_error or held_out_success."""
    score: Score = sweeping.SCORE
    """What of it counts for a seed: its mean along training, or its final value."""
    halving: bool = False
    """Train all settings with few seeds first, then again and again the better half with twice as
    many, up to --seeds."""
    save_every: float = sweeps.SAVE_EVERY
    """Seconds after which a chunk under way is saved, at its next evaluation; 0: at each."""

    def check(self) -> None:
        """Refuse, with a ``ConfigError``, a length of time that is none."""
        check_save_every(self.save_every)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train every setting with every seed, and leave a run folder with tables and pictures.

    Besides these options, each setting of jaxdqn train takes one value, or several to be swept:
    --learning_rate 1e-4 3e-4 --double true false --env_params.slip 0 0.1 --widths 64,64 128,128.
    With --random N it may be a range: --learning_rate 1e-5:1e-2.
    """

    config_file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CONFIG")]
    """Settings, a TOML file or the name of a shipped one, such as maze; its table [sweep] holds
    options, too."""
    seeds: int = 16
    """Agents of each setting, one per seed."""
    first_seed: int = 0
    """Number of the first seed; seed i is train(config, jax.random.key(i))."""
    zipped: bool = False
    """Take the lists of values side by side, not each with each."""
    random: int | None = None
    """Draw so many settings, or as many as there are: of a list evenly, of a range uniformly; of
    one whose ends are above 0 and tenfold apart, uniformly in the logarithm."""
    key: int = 0
    """Random key of these draws."""
    out: Path | None = None
    """Run folder; by default runs/<config>-sweep-<date>-<time>. Where it holds a sweep of some of
    these settings, what is missing is trained."""
    looking: tyro.conf.OmitArgPrefixes[Looking] = dataclasses.field(default_factory=Looking)


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen, found = parse(arguments)
    need_folder(chosen.out)
    with place.given(chosen.out, f"{chosen.config_file.stem}-sweep") as out:
        if processes.is_first():
            if chosen.random is not None and len(found.settings) < chosen.random:
                console.print_line(
                    f"note: random ({chosen.random}) is more than there are to draw from, "
                    f"{counted(len(found.settings), 'setting')}: all are trained"
                )
            for note in console.notes_on([found.of(cell) for cell in range(len(found.settings))]):
                console.print_line(note)
        return watch(out, found, chosen.looking)


def need_folder(out: Path | None) -> None:
    """Refuse several processes without a folder that all of them have been told.

    Raises:
        ConfigError: saying how to name one.
    """
    if out is None and jax.process_count() > 1:
        raise ConfigError(
            "out (none given) must be named where there are several processes: write --out DIR, a "
            "folder that all of them see."
        )


def watch(out: Path, found: Grid, looking: Looking) -> int:
    """Train what is missing of a sweep's folder, show it live, and leave its results.

    Returns:
        The exit status, 130 where a signal stopped it before its end, though results are left, and
        1 where no seed of one setting was left that learned.
    """
    outcome, cost = _halved(out, found, looking) if looking.halving else (
        _train(out, found, looking), {}
    )  # fmt: skip
    status = 0 if outcome.finished else 130
    if not processes.is_first():
        return status
    if outcome.finished and (numbers := found.run) is not None:
        summary = sweeping.leave_run(out, numbers, outcome)
        console.report(summary, out)
        sweep_console.say_halted(summary["name"], summary["halted"])
        return int(len(summary["halted"]) == len(numbers))
    measure, score = looking.measure, looking.score
    ranked = sweeping.leave(out, outcome, measure, score, cost)
    if ranked:
        said = "; ".join([ranking.sentence(ranked, measure, score), *halving.said(cost)])
        sweep_console.report(ranked, said, measure, out, outcome.seconds)
    if not outcome.finished:
        console.print_line(sweep_console.how_to_go_on(out, outcome.results))
    return status


def _train(
    out: Path, found: Grid, looking: Looking, now: halving.Round | None = None
) -> sweeps.Outcome:
    """Train all that is missing, or that is missing of a round."""
    with sweep_console.SweepProgress(looking.measure, looking.score) as progress:
        return sweeps.run(
            found, out, params=False, notes=dataclasses.asdict(looking),
            wanted=partial(halving.wanted, now) if now else None,
            save_every=looking.save_every, watch=progress.show,
            say=console.print_line if processes.is_first() else None,
        )  # fmt: skip


def _halved(out: Path, found: Grid, looking: Looking) -> tuple[sweeps.Outcome, dict[str, Any]]:
    """Train round after round; also return what that cost, and what it may have missed."""
    now, kept = halving.first(len(found.settings), len(found.seeds)), 1.0
    while True:
        if processes.is_first():
            console.print_line(f"halving: {len(now.cells)} settings with {now.seeds} seeds each")
        outcome = _train(out, found, looking, now)
        later = None
        if outcome.finished:
            later = halving.following(now, outcome.results, looking.measure, looking.score)
        if later is None:
            done = sum(int(part.sum()) for part in outcome.results.done)
            return outcome, {
                "trained": done, "agents": found.agents, "chance_of_dropping_the_best": 1 - kept
            }  # fmt: skip
        now, missed = later
        kept *= 1 - missed


def parse(arguments: list[str]) -> tuple[Arguments, Grid]:
    """Read the command line and the file's table ``[sweep]``; return options and what is swept.

    Raises:
        ConfigError: the file, an option or a setting can't be honoured.
    """
    flags.enter(arguments)
    named = flags.file_of("sweep", arguments)
    # Parts of one's own that it names are known from here on.
    settings = load_config(named) if named else Config()
    said, rest = sweep_values.split(arguments)
    if any(word.partition("=")[0] == "--scale" for word in rest):
        raise ConfigError(
            "--scale is an option of jaxdqn train and compare: set total_steps instead."
        )
    flags.check_names(rest, Arguments)
    table = sweep_table(named) if named else {}
    options = {name: table.pop(name) for name in sweep_values.OPTIONS if name in table}
    sweep_values.check_options(options)
    default = Arguments(named or tyro.MISSING, **options)
    chosen = tyro.cli(
        Arguments, prog="jaxdqn sweep", args=rest, default=default, use_underscores=True
    )
    flags.check_file(chosen.config_file)
    numbers = seeds_from(chosen.first_seed, chosen.seeds)
    chosen.looking.check()
    check_seed(chosen.key, "key")
    config, lists = sweep_values.apart(settings, {**sweep_values.flat(table), **said})
    zipped, drawn = chosen.zipped, {}
    if chosen.random is not None:
        drawn = {"random": chosen.random, "key": chosen.key, "from": sweep_values.said(lists)}
        lists, zipped = sweep_values.draw(lists, chosen.random, chosen.key, config), True
    for name, values in lists.items():
        if span := sweep_values.range_of(values):  # of what was drawn there is none
            raise ConfigError(
                f"{name} ({span}) is a range: say with --random N how many settings are to be "
                "drawn."
            )
    found = grid(config, numbers, sweep_values.nested(lists), zipped)._replace(drawn=drawn)
    comparison.check_measure(measured(found.of(0)), chosen.looking.measure, str(chosen.config_file))
    return chosen, found
