"""``jaxdqn train``: train one agent per seed, show it live, leave a run folder."""

import dataclasses
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxdqn import console, environment, plots, runs, seeds
from jaxdqn.config import Config, check, load_config
from jaxdqn.training import Metrics
from jaxdqn.types import ConfigError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train one Double-DQN agent per seed, and leave a run folder with tables and pictures."""

    config_file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CONFIG")]
    """Settings, a TOML file such as configs/maze.toml; the options below change single ones."""
    settings: tyro.conf.OmitArgPrefixes[Config]
    env_kwargs: dict[str, Any]
    """Arguments of the environment's constructor."""
    env_params: dict[str, Any]
    """Parameters of the environment."""
    seeds: int = 16
    """Agents, one per seed, trained side by side on all cores or devices."""
    first_seed: int = 0
    """Number of the first seed; seed i is train(config, jax.random.key(i))."""
    out: Path | None = None
    """Run folder to create; by default runs/<config>-<date>-<time>."""


def main(arguments: list[str]) -> int:
    """Run the command; return its exit status."""
    chosen = parse(arguments)
    config, count, first = chosen.settings, chosen.seeds, chosen.first_seed
    if count < 1 or first < 0:
        raise ConfigError(
            f"seeds ({count}) must be 1 or more and first_seed ({first}) 0 or more: change them."
        )
    out = chosen.out or _default_folder(chosen.config_file)
    runs.create(out, config)
    numbers = range(first, first + count)
    console.announce(config, numbers, out)
    rows: list[Metrics] = []
    began = time.perf_counter()
    with console.Progress(config, count) as progress:
        for state, row in seeds.train_in_periods(config, numbers):
            final = state
            if row is None:
                progress.compiled(time.perf_counter() - began)
                began = time.perf_counter()
            else:
                rows.append(row)
                progress.update(row)
            if progress.interrupted:
                break
    if not rows:
        raise KeyboardInterrupt
    metrics = seeds.concatenate(rows)
    name = chosen.config_file.stem
    summary = runs.summarise(name, config, metrics, numbers, time.perf_counter() - began)
    runs.save_results(out, metrics, summary, final.agent.params)
    plots.draw(out, name, config, metrics, seeds.parameters_of(final, 0), first)
    console.report(summary, out)
    return 0


def parse(arguments: list[str]) -> Arguments:
    """Read the command line; what the file sets is the default of the options.

    Raises:
        ConfigError: the file or an option can't be honoured.
    """
    named = next((word for word in arguments if word.endswith(".toml")), None)
    config = load_config(named) if named else Config()
    kwargs, params = environment.defaults(config)
    offered = Arguments(
        config_file=Path(named) if named else tyro.MISSING,
        settings=config,
        env_kwargs={**kwargs, **config.env_kwargs},
        env_params={**params, **config.env_params},
    )
    chosen = tyro.cli(
        Arguments, prog="jaxdqn train", args=arguments, default=offered, use_underscores=True
    )
    if named is None:
        raise ConfigError(f"CONFIG ({str(chosen.config_file)!r}) must be the path of a .toml file.")
    settings = chosen.settings.replace(
        env_kwargs=_changed(chosen.env_kwargs, kwargs, config.env_kwargs),
        env_params=_changed(chosen.env_params, params, config.env_params),
    )
    check(settings)
    environment.make(settings)
    return dataclasses.replace(chosen, settings=settings)


def _changed(chosen: Any, defaults: Any, in_file: Any) -> dict[str, Any]:
    """Keep what the file or the command line said, so that ``config.toml`` says no more."""
    return {
        key: value
        for key, value in chosen.items()
        if key in in_file or key not in defaults or value != defaults[key]
    }


def _default_folder(config_file: Path) -> Path:
    return Path("runs") / f"{config_file.stem}-{datetime.now():%Y%m%d-%H%M%S}"
