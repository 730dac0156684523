"""``jaxdqn plot``: draw the pictures of a run folder again."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxdqn import plots
from jaxdqn.runs import folder


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Draw the pictures of a run folder again: curves and, on mazes, what one agent does."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that ``jaxdqn train`` has left."""
    seed: int | None = None
    """The agent that is drawn in its maze; by default the first."""


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen = tyro.cli(Arguments, prog="jaxdqn plot", args=arguments, use_underscores=True)
    run = folder.load(chosen.run)
    seed = run.seeds.start if chosen.seed is None else chosen.seed
    written = plots.draw(chosen.run, run.name, run.config, run.metrics, run.params_of(seed), seed)
    print(f"drawn: {', '.join(written)} in {chosen.run}")
    return 0
