"""``jaxdqn resume``: carry on a training from its last checkpoint."""

import dataclasses
from pathlib import Path
from typing import Annotated

import jax
import tyro

from jaxdqn.commands import flags, pretrain, sweep
from jaxdqn.commands.train import watch
from jaxdqn.config import load_config, to_toml
from jaxdqn.errors import ConfigError
from jaxdqn.language import config as language
from jaxdqn.runs import console, folder, language_run, place, session, sweep_folder
from jaxdqn.runs.session import Options
from jaxdqn.runs.trained import of_run, refuse_changed


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Carry on a training from its last checkpoint, as if it had never stopped.

    On the same versions and devices the results are the same, bit for bit.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    total_steps: int | None = None
    """Train to this many environment steps per agent, rounded up to whole evaluations, instead of
    those first asked for. What changes along the whole training, such as a learning rate that falls
    or the weights of prioritised replay, then ends at this new end, and is set back to fit it."""
    updates: int | None = None
    """Train a language model to this many updates, rounded up to whole evaluations, instead of
    those first asked for; its step size then falls to this new end."""
    keeping: tyro.conf.OmitArgPrefixes[Options] = dataclasses.field(default_factory=Options)


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    flags.check_stay(arguments, ["total_steps"], "its length")
    chosen = tyro.cli(Arguments, prog="jaxdqn resume", args=arguments, use_underscores=True)
    if jax.process_count() > 1 and not sweep_folder.is_sweep(chosen.run):
        raise ConfigError(
            f"run '{chosen.run}' was trained by one process, whose checkpoint isn't in chunks: "
            "resume it without --distributed."
        )
    if folder.is_language(chosen.run):
        return _resume_language_run(chosen)
    if sweep_folder.is_sweep(chosen.run):
        return _resume_sweep(chosen)
    chosen.keeping.check()
    with place.alone(chosen.run):
        begin, numbers = of_run(chosen.run)
        config = begin.config
        _refuse_updates(chosen)
        if chosen.total_steps is not None:
            config = session.extended(begin, chosen.total_steps)
        if (chosen.run / place.SETTINGS).exists():
            there = to_toml(load_config(chosen.run / place.SETTINGS))
            refuse_changed(chosen.run, there, to_toml(begin.config), to_toml(config))
        console.announce(config, numbers, chosen.run)
        return watch(chosen.run, config, numbers, chosen.keeping, begin)


def _refuse_updates(chosen: Arguments) -> None:
    """Refuse, with a ``ConfigError``, what is set of language models alone."""
    if chosen.updates is not None:
        raise ConfigError(
            f"updates ({chosen.updates}) is of language models, and run '{chosen.run}' is of "
            "agents: set total_steps instead."
        )


def _resume_language_run(chosen: Arguments) -> int:
    of_agents = {"total_steps": chosen.total_steps} if chosen.total_steps is not None else {}
    language_run.refuse_of_agents(chosen.run, {**of_agents, **chosen.keeping.of_all_seeds()})
    chosen.keeping.check()
    with place.alone(chosen.run):
        begun = language_run.restore(chosen.run)
        left = language.to_toml(begun.config)
        if chosen.updates is not None:
            begun = language_run.extend(begun, chosen.updates)
        if (chosen.run / place.SETTINGS).exists():
            there = language.to_toml(language.load(chosen.run / place.SETTINGS))
            refuse_changed(chosen.run, there, left, language.to_toml(begun.config))
        folder.clear(chosen.run, language.to_toml(begun.config))
        return pretrain.watch(chosen.run, begun, chosen.keeping.save_every)


def _resume_sweep(chosen: Arguments) -> int:
    if chosen.total_steps is not None:
        raise ConfigError(
            f"total_steps ({chosen.total_steps}) can't be raised for a sweep, whose finished "
            "agents keep no replay: leave it out, or sweep anew."
        )
    _refuse_updates(chosen)
    chosen.keeping.check(in_chunks=True)
    found, notes = sweep_folder.read_grid(chosen.run)
    looking = sweep.Looking(**{**notes, "save_every": chosen.keeping.save_every})
    return sweep.watch(chosen.run, found, looking)
