"""Run folders: what a training leaves on disk."""

import contextlib
import io
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import serialization

from jaxdqn import checksums, environment, statistics
from jaxdqn.config import Config, check, load_config, to_toml
from jaxdqn.errors import ConfigError, reason_of, shown, typed
from jaxdqn.metrics import Metrics, from_arrays, to_arrays
from jaxdqn.networks.pretrained import WEIGHTS
from jaxdqn.runs import files, place
from jaxdqn.runs.provenance import provenance
from jaxdqn.types import Params

COMPARISON = "comparison.json"
GRID = "sweep.json"
"""What a sweep's folder was asked for."""
OF_ONE_SETTING = (
    "policy.png", "visits.png", "levels.png", "greedy.gif", "evaluation.json", "evaluation.png",
)  # fmt: skip
"""What a folder may hold of one setting alone."""
OF_SEVERAL = ("settings.csv", "ranking.png", "heat_map.png")
"""What it may hold of several."""
_METRICS = "metrics.npz"


class Run(NamedTuple):
    """A run folder, read.

    Attributes:
        name: of the configuration that was trained.
        config: the settings.
        metrics: leaves ``[S, T]``.
        seeds: numbers of the seeds (S).
        params: online networks, leaves ``[S, ...]``.
    """

    name: str
    config: Config
    metrics: Metrics
    seeds: range
    params: Params

    def params_of(self, seed: int) -> Params:
        """Return one seed's network.

        Raises:
            ConfigError: the run has no such seed.
        """
        return of_seed(self.params, self.seeds, seed)


def of_seed(params: Params, seeds: range, seed: int) -> Params:
    """Return one network of a run's, leaves ``[S, ...]``.

    Raises:
        ConfigError: the run has no such seed.
    """
    if seed not in seeds:
        raise ConfigError(
            f"seed ({shown(seed)}) is not in this run: choose one from {seeds.start} to "
            f"{seeds.stop - 1}."
        )
    index = seeds.index(seed)
    return jax.tree.map(lambda x: x[index], params)


def create(path: str | Path, config: Config) -> None:
    """Make a new run folder with its ``config.toml``.

    Raises:
        ConfigError: something is there already, the place or the settings can't be written, or
            the settings can't be honoured.
    """
    check(config)
    place.begin(place.as_path(path, "path"), to_toml(config))


def unchangeable(run: Path, error: OSError) -> ConfigError:
    """Return the refusal to carry on in a run folder that can't be written to."""
    return ConfigError(f"run '{run}' can't be written to ({reason_of(error)}): copy it first.")


def clear(path: Path, text: str) -> None:
    """Make a run folder ready to be carried on: its settings, no drafts of killed processes.

    Args:
        path: the folder.
        text: its ``config.toml``.

    Raises:
        ConfigError: it can't be written to.
    """
    try:
        files.clear_drafts(path)
        files.write_text(path / place.SETTINGS, text)
    except OSError as error:
        raise unchangeable(path, error) from None


def remove(path: Path, names: Sequence[str]) -> None:
    """Remove files that don't belong to a run folder any more.

    Raises:
        ConfigError: it can't be written to.
    """
    try:
        for name in names:
            (path / name).unlink(missing_ok=True)
    except OSError as error:
        raise unchangeable(path, error) from None


def summarise(
    name: str, config: Config, metrics: Metrics, seeds: range, seconds: float
) -> dict[str, Any]:
    """Return what a run came to: final measures over seeds, speed, versions.

    Args:
        name: of the run.
        config: the settings.
        metrics: leaves ``[S, T]``.
        seeds: numbers of the seeds.
        seconds: of training, compilation apart.
    """
    final = {name: rows[:, -1] for name, rows in to_arrays(metrics).items()}
    # A seed that halted has fewer updates.
    env_steps, updates = int(final.pop("env_steps")[0]), int(final.pop("updates").max())
    summary = {
        "name": name,
        "env": config.env,
        "seed_count": len(seeds),
        "seeds": [seeds.start, seeds.stop - 1],
        "env_steps_per_seed": env_steps,
        "updates_per_seed": updates,
        "train_seconds": round(seconds, 3),
        # A checkpoint that was saved from Python may not say how long it took.
        "env_steps_per_second": round(env_steps * len(seeds) / seconds) if seconds else 0,
        "final": {name: statistics.summarise(values) for name, values in final.items()},
        **provenance(),
    }
    if metrics.success is not None:
        summary |= _of_goal(config, metrics)
    if "spl" in final:
        count = int(np.sum(final["spl"] > 1 - 1e-6))
        low, high = statistics.wilson_interval(count, len(seeds))
        summary["shortest_path_seeds"] = {"count": count, "low": float(low), "high": float(high)}
    return summary


def _of_goal(config: Config, metrics: Metrics) -> dict[str, Any]:
    """Return how many seeds reached the goal, in an evaluation or only while exploring.

    Exploring certainly did where a return exceeds all that an episode can have without the goal.
    """
    _, params = environment.make(config)
    step = np.max(params.cell_rewards) - params.step_cost + abs(params.reward_noise)
    without = max(float(step), 0.0) * params.max_steps_in_episode
    found = np.any(np.asarray(metrics.success) > 0, axis=1)
    exploring = np.any(np.asarray(metrics.episode_return) > without, axis=1)
    return {
        "goal_found_seeds": int(found.sum()),
        "goal_found_only_exploring_seeds": int(np.sum(exploring & ~found)),
        "goal_is_rewarded": bool(params.goal_reward > 0 or params.step_cost > 0),
    }


def save_results(path: Path, metrics: Metrics, summary: dict[str, Any], params: Params) -> None:
    """Write ``params.msgpack`` (Flax), ``metrics.npz`` (per seed) and ``summary.json``.

    Raises:
        ConfigError: one of them can't be written.
    """
    content = serialization.to_bytes(jax.device_get(params))
    with writing(path / WEIGHTS) as draft:
        draft.write_bytes(content)
    save_metrics(path, metrics, summary, {WEIGHTS: content})


def save_metrics(
    path: Path, metrics: Metrics, summary: dict[str, Any], beside: Mapping[str, bytes] = {}
) -> None:
    """Write ``metrics.npz`` (per seed) and ``summary.json``.

    Args:
        path: the run folder.
        metrics: leaves ``[S, T]``.
        summary: what is to be said of it.
        beside: what other files hold whose checksums belong to the summary, too.

    Raises:
        ConfigError: one of them can't be written.
    """
    content = save_arrays(path / _METRICS, metrics)
    sums = checksums.said({_METRICS: content, **beside})
    save_json(path / checksums.SUMMARY, {**summary, **sums})


def save_arrays(path: Path, metrics: Metrics) -> bytes:
    """Write metrics as named arrays; return what the file holds.

    Raises:
        ConfigError: the file can't be written.
    """
    columns: dict[str, Any] = to_arrays(metrics)
    with writing(path) as draft:
        with draft.open("wb") as file:
            np.savez_compressed(file, **columns)
        return draft.read_bytes()


def save_json(path: Path, content: dict[str, Any]) -> None:
    """Write a dictionary, NaN and infinity as null.

    Raises:
        ConfigError: the file can't be written.
    """
    text = json.dumps(_without_nan(content), indent=2, ensure_ascii=False)
    with writing(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give the path of a draft, as ``files.replacing`` does, for a file of a run folder.

    Raises:
        ConfigError: it can't be written; what was there before stays.
    """
    try:
        with files.replacing(path) as draft:
            yield draft
    except OSError as error:
        raise ConfigError(
            f"'{path}' can't be written ({reason_of(error)}): copy the run first."
        ) from None


def load(path: str | Path) -> Run:
    """Read a run folder.

    Raises:
        ConfigError: it is missing, incomplete, damaged or not of agents.
    """
    path = place.as_path(path, "path")
    check_is_of_agents(path)
    config = load_config(path / place.SETTINGS)
    try:
        if not (path / place.SETTINGS).stat().st_size:
            raise ValueError(f"{place.SETTINGS} is empty")
        summary = json.loads((path / checksums.SUMMARY).read_text(encoding="utf-8"))
        metrics = from_arrays(files.unpacked(io.BytesIO(checksums.read(path / _METRICS))))
        params = serialization.msgpack_restore(checksums.read(path / WEIGHTS))
        first, last = summary["seeds"]
        return Run(summary["name"], config, metrics, range(first, last + 1), params)
    except ConfigError:
        raise
    except FileNotFoundError as error:
        raise _incomplete(path, Path(str(error.filename)).name) from None
    except Exception as error:
        raise ConfigError(
            f"run folder ('{path}') is damaged ({type(error).__name__}: {error}): train again."
        ) from None


def is_language(run: Path) -> bool:
    """Whether a run folder is a language model's, also where its checkpoint is gone."""
    if (run / place.LANGUAGE).exists():
        return True
    with contextlib.suppress(OSError, ValueError):  # what can't be read says nothing
        return "stage" in tomllib.loads((run / place.SETTINGS).read_text(encoding="utf-8-sig"))
    return False


def check_is_of_agents(run: Path) -> None:
    """Refuse, with a ``ConfigError``, a folder that another command than of training has left."""
    if is_language(run):
        raise ConfigError(
            f"run '{run}' is a language model's and has no agents: train some with --pretrained "
            f"{typed(run)}."
        )
    if (run / COMPARISON).exists():
        raise ConfigError(
            f"run '{run}' is a comparison: name the runs, sweeps or settings that it compared."
        )


def _incomplete(path: Path, missing: str) -> ConfigError:
    if (path / GRID).exists():
        remedy = f"read a sweep's networks with jaxdqn.runs.trained.trained({str(path)!r})"
    elif (path / place.CHECKPOINT).exists():
        remedy = f"finish it with jaxdqn resume {typed(path)}"
    else:
        remedy = "choose the folder of a training that has ended"
    return ConfigError(f"run folder ('{path}') has no {missing}: {remedy}.")


def _without_nan(value: Any) -> Any:
    """JSON has no NaN, and no infinity; null says that there is no number."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
