"""``jaxdqn plot``: draw the pictures of a run folder again."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxdqn import plots, pytrees
from jaxdqn.commands import sweep
from jaxdqn.errors import ConfigError, typed
from jaxdqn.plots import language as pictures
from jaxdqn.runs import folder, language_run, place, ranking, sweep_folder
from jaxdqn.training import outline


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Draw the pictures of a run folder again: curves and, on mazes, what one agent does.

    Of a language model: losses, paths that it writes in held-out mazes, and what it looks at.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder that train, sweep, pretrain or finetune has left."""
    seed: int | None = None
    """The agent that is drawn in its maze; by default the first."""


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen = tyro.cli(Arguments, prog="jaxdqn plot", args=arguments, use_underscores=True)
    if folder.is_language(chosen.run):
        written = _of_language_run(chosen)
    else:
        written = _of_sweep(chosen) if sweep_folder.is_sweep(chosen.run) else _of_run(chosen)
    print(f"drawn: {', '.join(written)} in {chosen.run}")
    return 0


def _of_language_run(chosen: Arguments) -> list[str]:
    if chosen.seed is not None:
        language_run.refuse_of_agents(chosen.run, {"seed": chosen.seed})
    found = language_run.restore(chosen.run)
    if not found.rows:
        raise ConfigError(
            f"run '{chosen.run}' has nothing to draw yet: go on first with jaxdqn resume "
            f"{typed(chosen.run)}."
        )
    return pictures.draw(chosen.run, found, *language_run.judge(found))


def _of_run(chosen: Arguments) -> list[str]:
    run = folder.load(chosen.run)
    seed = run.seeds.start if chosen.seed is None else chosen.seed
    if run.metrics.success is not None:
        # Of a maze the network is asked, and settings are a file that people write in.
        back = f"put {place.SETTINGS} back as the training left it"
        pytrees.leading_axes(run.params, outline(run.config).agent.params, "params", back)
    return plots.draw(chosen.run, run.name, run.config, run.metrics, run.params_of(seed), seed)


def _of_sweep(chosen: Arguments) -> list[str]:
    results, _, notes = sweep_folder.read_results(chosen.run)
    found = results.grid
    if found.run is None:
        if chosen.seed is not None:
            raise ConfigError(
                f"seed ({chosen.seed}) is of one setting, and '{chosen.run}' is a sweep of many: "
                "leave it out."
            )
        looking = sweep.Looking(**notes)
        ranked = ranking.rank(results, looking.measure, looking.score)
        return plots.draw_sweep(chosen.run, found.settings, ranked, looking.measure, looking.score)
    seed = found.seeds[0] if chosen.seed is None else chosen.seed
    params = sweep_folder.SweepFolder(chosen.run, found).params_of(0, seed)
    _, metrics = results.of_cell(0)
    assert metrics is not None
    return plots.draw(chosen.run, chosen.run.resolve().name, found.config, metrics, params, seed)
