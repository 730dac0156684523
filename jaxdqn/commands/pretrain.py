"""``jaxdqn pretrain``: train a language model of mazes, show it live, leave a run folder."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from jaxdqn import environment
from jaxdqn.commands import flags
from jaxdqn.config import Config
from jaxdqn.errors import ConfigError
from jaxdqn.language import config as configs
from jaxdqn.language import corpus, training
from jaxdqn.language.config import LanguageConfig
from jaxdqn.plots import language as plots
from jaxdqn.random import check_seed
from jaxdqn.runs import console, language_console, language_run, place, signals
from jaxdqn.runs.language_run import LanguageRun
from jaxdqn.runs.session import check_save_every
from jaxdqn.settings import words


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train a language model on texts of mazes, and leave a run folder that networks begin with."""

    config_file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CONFIG")]
    """Settings, a TOML file or the name of a shipped one, such as language; options below change
    single ones."""
    settings: Any
    env_kwargs: Any
    seed: int = 0
    """The model is pretrain(config, jax.random.key(seed))."""
    out: Path | None = None
    """Run folder to create; by default runs/<config>-<date>-<time>."""
    save_every: float = 60.0
    """Seconds between checkpoints, taken at the next evaluation; 0: at every evaluation."""


@signals.raising()
def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen = parse(arguments)
    text = configs.to_toml(chosen.settings)
    if chosen.out is not None:
        place.check_new(chosen.out, text)
    # Mazes that can't be made are refused before there is a folder; training finds these again.
    console.print_line(f"making {chosen.settings.mazes:,} mazes …")
    corpus.banks(chosen.settings)
    state = training.init(chosen.settings, jax.random.key(chosen.seed))
    out = chosen.out or place.by_time(chosen.config_file.stem)
    with place.new(out, text):
        return watch(out, language_run.begin(out, chosen.settings, state), chosen.save_every)


@signals.raising()
def watch(out: Path, begun: LanguageRun, save_every: float) -> int:
    """Train in a run folder, show it live, and leave its results; return the exit status.

    It is 130 where a signal stopped it before these were left.
    """
    language_console.announce(begun, out)
    with signals.Held(console.say_interrupted) as held:

        def show(so_far: LanguageRun) -> bool:
            language_console.report_row(so_far)
            return held.asked

        ended = language_run.carry_on(out, begun, save_every, show)
    try:
        if held.asked:  # also at the last row: to judge a large model takes long
            raise KeyboardInterrupt
        summary, greedy = language_run.leave_results(out, ended)
        plots.draw(out, ended, summary, greedy)
    except KeyboardInterrupt:
        updates = ended.config.updates_per_evaluation
        console.say_how_to_go_on(out, ended.rows * updates, ended.config.rows * updates, "updates")
        return 130
    language_console.report(summary, out)
    return 0


def parse(arguments: list[str]) -> Arguments:
    """Read the command line; what the file sets is the default of the options.

    Raises:
        ConfigError: the file or an option can't be honoured.
    """
    named = flags.file_of("pretrain", arguments)
    config = configs.load(named) if named else LanguageConfig()
    if config.stage != "pretrain":
        raise ConfigError(
            f"stage ({config.stage!r}) is of jaxdqn finetune, which begins with a model that was "
            "pre-trained: leave it out."
        )
    flags.check_names(arguments, Arguments, words(LanguageConfig))
    offer = flags.of_one("Settings", LanguageConfig, config, without=("stage",))
    mazes = Config(env_kwargs=config.env_kwargs)
    usual, about = environment.defaults(mazes)[0], environment.described(mazes)[0]
    usual = {name: value for name, value in usual.items() if name not in configs.UNREAD}
    table = flags.table(
        "Arguments of the mazes' constructor.", "", {**usual, **config.env_kwargs}, about
    )
    kind = flags.expecting(Arguments, offer, env_kwargs=table)
    offered = kind(config_file=named or tyro.MISSING, settings=offer, env_kwargs=table)
    chosen = tyro.cli(
        kind, prog="jaxdqn pretrain", args=arguments, default=offered, use_underscores=True
    )
    flags.check_file(chosen.config_file)
    given = flags.changed(vars(chosen.env_kwargs), usual, config.env_kwargs)
    settings = config.replace(**vars(chosen.settings), env_kwargs=given)
    configs.check(settings)
    check_running(chosen.seed, chosen.save_every)
    return dataclasses.replace(chosen, settings=settings)


def check_running(seed: int, save_every: float) -> None:
    """Refuse, with a ``ConfigError``, a seed or a length of time that is none."""
    check_seed(seed)
    check_save_every(save_every)
