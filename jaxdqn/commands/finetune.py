"""``jaxdqn finetune``: teach a pre-trained language model the shortest path."""

import dataclasses
from pathlib import Path
from typing import Annotated

import jax
import tyro

from jaxdqn.commands.pretrain import check_running, watch
from jaxdqn.errors import ConfigError, typed
from jaxdqn.language import config as configs
from jaxdqn.language import training
from jaxdqn.language.config import for_finetuning
from jaxdqn.runs import folder, language_run, place, signals

OFFERED = (
    "finetune_updates",
    "finetune_learning_rate",
    "finetune_starts",
    "finetune_longest",
    "warmup_updates",
)
"""Settings that the command line may change."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Go on with a pre-trained model on shortest paths alone, in a run folder of its own.

    The settings are those that it was pre-trained with; options below change single ones.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run folder of the pre-training."""
    finetune_updates: int | None = None
    """Updates of fine-tuning; by default as in the settings, like all of these."""
    finetune_learning_rate: float | None = None
    """The highest step size in it."""
    finetune_starts: int | None = None
    """Cells from which ways are written after each maze in it."""
    finetune_longest: int | None = None
    """Most moves from start to goal in it."""
    warmup_updates: int | None = None
    """Updates over which the step size rises, fewer than there are."""
    seed: int = 0
    """The model is finetune(config, state, jax.random.key(seed))."""
    out: Path | None = None
    """Run folder to create; by default RUN-finetuned."""
    save_every: float = 60.0
    """Seconds between checkpoints, taken at the next evaluation; 0: at every evaluation."""


@signals.raising()
def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen = tyro.cli(Arguments, prog="jaxdqn finetune", args=arguments, use_underscores=True)
    check_running(chosen.seed, chosen.save_every)
    if not folder.is_language(chosen.run) and (chosen.run / place.SETTINGS).exists():
        raise ConfigError(
            f"run '{chosen.run}' is no language model's: name the run folder of a pre-training."
        )
    before = language_run.restore(chosen.run)
    if before.config.stage != "pretrain":
        raise ConfigError(
            f"run '{chosen.run}' was fine-tuned already: name the run folder of a pre-training."
        )
    if before.rows < before.config.rows:
        raise ConfigError(
            f"run '{chosen.run}' has not ended: go on first with jaxdqn resume {typed(chosen.run)}."
        )
    given = {name: getattr(chosen, name) for name in OFFERED}
    config = before.config.replace(**{name: x for name, x in given.items() if x is not None})
    configs.check(config)  # by the names that were given
    config = for_finetuning(config)
    state = training.begin(config, before.state.params, jax.random.key(chosen.seed))
    # As it was typed, where that ends in a name.
    run = chosen.run if chosen.run.name not in ("", "..") else chosen.run.resolve()
    out = chosen.out or run.with_name(f"{run.name}-finetuned")
    with place.new(out, configs.to_toml(config)):
        return watch(out, language_run.begin(out, config, state), chosen.save_every)
