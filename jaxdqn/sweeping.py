"""Sweeps as they are asked for, from Python or by command: watched, with tables and pictures."""

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jax.typing import ArrayLike

from jaxdqn import plots
from jaxdqn.config import Config
from jaxdqn.errors import ConfigError, shown
from jaxdqn.parallel import processes
from jaxdqn.parallel.grid import grid
from jaxdqn.parallel.sweeps import Sweep
from jaxdqn.precision import in_usual_numbers
from jaxdqn.runs import (
    folder,
    loggers,
    place,
    ranking,
    sweep_console,
    sweep_results,
    sweeps,
)
from jaxdqn.runs.comparison import Score
from jaxdqn.runs.ranking import Ranked
from jaxdqn.runs.sweep_console import SweepProgress
from jaxdqn.runs.sweep_folder import SweepFolder
from jaxdqn.runs.sweeps import Outcome

MEASURE = "eval_return"
"""What settings are ranked by where nothing else is said."""
SCORE: Score = "mean"
"""What of it counts for a seed then."""


@in_usual_numbers
def sweep(
    config: Config,
    seeds: ArrayLike | Sequence[int] = 16,
    *,
    zipped: bool = False,
    out: str | Path | None = None,
    say: Callable[[str], Any] | None = print,
    **swept: Any,
) -> Sweep:
    """Train every setting with every seed; programs are compiled once for each structure.

    >>> result = jaxdqn.sweep(config, seeds=64, learning_rate=[1e-4, 3e-4])
    >>> result.metrics.eval_return.shape  # learning rates, seeds, evaluations
    (2, 64, 20)

    Seed ``i`` is ``train(config, jax.random.key(i))``, whatever else is in the sweep; not where
    ``jax_default_prng_impl`` is "rbg", whose draws depend on what is beside them. Agents are spread
    over all devices, and over all processes of ``jax.distributed``, in chunks that are trained one
    after the other; no device talks to another before the end. How far it is stands in the standard
    error stream: a live line in a terminal, elsewhere, as in a notebook, a line for some of the
    chunks.

    Args:
        config: the settings that are not swept.
        seeds: how many, from 0 on, or their numbers.
        zipped: take the lists side by side, as one axis ``"setting"``, not as a grid.
        out: a folder as ``jaxdqn sweep`` leaves it: every finished chunk, tables and pictures.
            Where it holds some chunks already, only what is missing is trained, also of more
            values or more seeds than before. Ctrl-C, SIGTERM and SIGHUP then save what is under
            way before they do what they would have done.
        say: told what is going to be run before it starts, and what became of ``out``; None for
            silence, there, too.
        **swept: lists of values of fields; ``env_params={"slip": [0.0, 0.1]}`` sweeps a number of
            the environment, ``env_kwargs`` likewise its structure.

    Returns:
        Results with named axes. In several processes all of them get all results.

    Raises:
        ConfigError: a setting that can't be honoured, one agent that doesn't fit into memory, or a
            folder that holds a sweep without any of these settings or can't be written to.
        KeyboardInterrupt: Ctrl-C; what was trained is in ``out``.
    """
    if not isinstance(zipped, bool):
        raise ConfigError(f"zipped ({shown(zipped)}) must be True or False: change it.")
    if say is not None and not callable(say):
        raise ConfigError(
            f"say ({shown(say)}) must be a function of a sentence, such as print: change it, or "
            "write None for silence."
        )
    path = None if out is None else place.as_path(out, "out")
    found = grid(config, seeds, swept, zipped)
    if say is None or not processes.is_first():
        say = _nothing
    shows = say is not _nothing
    with SweepProgress(
        MEASURE, SCORE, holds=path is not None, shows=shows, errors=True
    ) as progress:
        outcome = sweeps.run(found, path, say=say, watch=progress.show)
    outcome.results.gather()
    if path is not None and not outcome.finished:
        say(sweep_console.how_to_go_on(path, outcome.results))
        signal.raise_signal(progress.heard or signal.SIGINT)
        raise KeyboardInterrupt  # whoever handles the signal otherwise has no results either
    if path is not None and processes.is_first():
        said = "" if found.run else f"{ranking.sentence(leave(path, outcome), MEASURE, SCORE)}; "
        if found.run:
            leave_run(path, found.run, outcome)
        say(f"{said}everything is in {path}")
    return outcome.results.sweep()


def leave(
    out: Path,
    outcome: Outcome,
    measure: str = MEASURE,
    score: Score = SCORE,
    halving: Mapping[str, Any] = MappingProxyType({}),
) -> list[Ranked]:
    """Leave tables and pictures of several settings; return those that were trained, best first.

    Args:
        out: the folder.
        outcome: of the sweep.
        measure: what settings are ranked by.
        score: what of it counts for a seed.
        halving: what successive halving came to; those come first then that have most seeds.

    Raises:
        ConfigError: a file can't be written.
    """
    ranked = ranking.rank(outcome.results, measure, score)
    if halving:
        ranked.sort(key=lambda one: -len(one.scores))
    if ranked:
        folder.remove(out, (*folder.OF_ONE_SETTING, *folder.OF_SEVERAL))
        sweep_results.save(out, outcome.results, ranked, measure, score, outcome.seconds, halving)
        plots.draw_sweep(out, outcome.results.grid.settings, ranked, measure, score)
    return ranked


def leave_run(out: Path, numbers: range, outcome: Outcome) -> dict[str, Any]:
    """Leave what ``jaxdqn train`` leaves, of seeds of one setting; networks stay in the chunks.

    Args:
        out: the folder.
        numbers: of the seeds.
        outcome: of the sweep.

    Returns:
        A summary.
    """
    found, (_, metrics) = outcome.results.grid, outcome.results.of_cell(0)
    assert metrics is not None
    name = out.resolve().name
    folder.remove(out, folder.OF_SEVERAL)
    summary = folder.summarise(name, found.config, metrics, numbers, outcome.seconds)
    halted = ranking.halted(found.config, metrics)
    summary |= {"halted": {numbers[place]: updates for place, updates in halted.items()}}
    with loggers.table(out / "metrics.csv", numbers, metrics):
        folder.save_metrics(out, metrics, summary)
    params = SweepFolder(out, found).params_of(0, numbers.start)
    plots.draw(out, name, found.config, metrics, params, numbers.start)
    return summary


def _nothing(_: str) -> None:
    """Say nothing."""
