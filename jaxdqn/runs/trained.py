"""The networks that a run has left, however it kept them."""

import tomllib
from pathlib import Path
from typing import NamedTuple

from jaxdqn import checksums
from jaxdqn.config import Config, load_config, to_toml
from jaxdqn.errors import ConfigError, shown, typed
from jaxdqn.runs import checkpoint, folder, place, sweep_folder
from jaxdqn.runs.checkpoint import Checkpoint
from jaxdqn.types import Params


class Trained(NamedTuple):
    """Networks of one setting.

    Attributes:
        config: the settings.
        params: online networks, leaves ``[S, ...]``.
        seeds: their numbers (S).
    """

    config: Config
    params: Params
    seeds: range

    def of(self, seed: int) -> Params:
        """Return one seed's network.

        Raises:
            ConfigError: there is no such seed.
        """
        return folder.of_seed(self.params, self.seeds, seed)


def trained(run: str | Path) -> Trained:
    """Read the networks of a run folder, from its checkpoint, its chunks or what it has ended with.

    Raises:
        ConfigError: it is missing, unreadable, not of a run, or a sweep over several settings.
    """
    run = place.as_path(run, "run")
    if not sweep_folder.is_sweep(run):
        if (run / checksums.SUMMARY).exists() and not (run / place.CHECKPOINT).exists():
            ended = folder.load(run)
            return Trained(ended.config, ended.params, ended.seeds)
        found, numbers = of_run(run)
        if (run / place.SETTINGS).exists():
            there = load_config(run / place.SETTINGS)
            length = {"total_steps": there.total_steps, "evaluations": there.evaluations}
            asked = to_toml(found.config.replace(**length))
            refuse_changed(run, to_toml(there), to_toml(found.config), asked)
        return Trained(found.config, found.state.agent.params, numbers)
    grid, _ = sweep_folder.read_grid(run)
    if grid.run is None:
        raise ConfigError(
            f"run '{run}' is a sweep over {', '.join(grid.axes) or 'seeds'}: choose the folder of "
            "one setting, from jaxdqn train."
        )
    results, _, _ = sweep_folder.read_results(run, params=True)
    if not results.done[0].all():
        raise ConfigError(f"run '{run}' isn't finished: go on with jaxdqn resume {typed(run)}.")
    return Trained(grid.config, results.sweep().params[0], grid.run)


def refuse_changed(run: Path, there: str, left: str, asked: str) -> None:
    """Refuse settings that were changed since: what was trained has those of its checkpoint.

    Args:
        run: the run folder.
        there: what its file says now, as TOML text.
        left: what the checkpoint says.
        asked: what it says carried on, whose file a crash may have left before its checkpoint.

    Raises:
        ConfigError: the file says neither.
    """
    if there in (left, asked):
        return
    now, before = tomllib.loads(there), tomllib.loads(left)
    name = next(name for name in {**before, **now} if repr(now.get(name)) != repr(before.get(name)))
    raise ConfigError(
        f"{name} ({shown(now.get(name))}) in '{run / place.SETTINGS}' was "
        f"{shown(before.get(name))} in training, which nothing changes any more: put "
        f"{place.SETTINGS} back as the training left it, and ask for what is to be other by "
        "options of resume or evaluate."
    )


def of_run(run: Path) -> tuple[Checkpoint, range]:
    """Return the checkpoint in a run folder, and the numbers of its seeds.

    Raises:
        ConfigError: it is missing, unreadable or not of a run.
    """
    folder.check_is_of_agents(run)
    if (run / place.SETTINGS).exists() and not (run / place.CHECKPOINT).exists():
        if (run / checksums.SUMMARY).exists():
            raise ConfigError(
                f"run '{run}' has no {place.CHECKPOINT} any more, so it can't be carried on: put "
                "it back, or train anew."
            )
        raise ConfigError(
            f"run '{run}' was stopped before its first checkpoint: begin it anew, with the command "
            "that began it."
        )
    found = checkpoint.restore(run / place.CHECKPOINT)
    if found.seeds is None:
        raise ConfigError(
            f"checkpoint '{run / place.CHECKPOINT}' names no seeds, so no run made it: "
            "go on from Python with jaxdqn.run."
        )
    return found, found.seeds
