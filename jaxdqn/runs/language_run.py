"""A language model's training in a run folder: saved as it goes, carried on after any stop."""

import csv
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from jaxdqn import checksums, pytrees
from jaxdqn.errors import ConfigError, shown
from jaxdqn.language import config as configs
from jaxdqn.language import corpus, generation, measures, training
from jaxdqn.language.config import LanguageConfig
from jaxdqn.language.generation import Verdicts
from jaxdqn.language.training import LanguageMetrics, LanguageState
from jaxdqn.maze import text
from jaxdqn.networks.pretrained import WEIGHTS
from jaxdqn.precision import in_usual_numbers
from jaxdqn.runs import checkpoint, files, folder, place
from jaxdqn.runs.attempts import Attempts
from jaxdqn.runs.provenance import provenance
from jaxdqn.types import Params, PRNGKey

JUDGED = 1_024
"""Most held-out mazes that paths are written in."""


class LanguageRun(NamedTuple):
    """A training, as far as it has come.

    Attributes:
        config: the settings.
        state: of the model.
        metrics: rows so far, leaves ``[T]``; None before the first.
        seconds: of training so far, compilation included.
    """

    config: LanguageConfig
    state: LanguageState
    metrics: LanguageMetrics | None
    seconds: float

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return 0 if self.metrics is None else len(self.metrics.loss)


def refuse_of_agents(run: Path, given: Mapping[str, object]) -> None:
    """Refuse, with a ``ConfigError``, what was given for agents and means nothing here."""
    for name, value in given.items():
        raise ConfigError(
            f"{name} ({shown(value)}) is of agents, and run '{run}' is a language model's: leave "
            "it out."
        )


def begin(out: Path, config: LanguageConfig, state: LanguageState) -> LanguageRun:
    """Make a run folder.

    Raises:
        ConfigError: something is there already, or the place or the settings can't be written.
    """
    place.begin(out, configs.to_toml(config))
    return LanguageRun(config, state, None, 0.0)


def extend(run: LanguageRun, updates: int) -> LanguageRun:
    """Return a training that goes on to so many updates, see ``config.extended``.

    Raises:
        ConfigError: fewer updates than were done.
    """
    return run._replace(config=configs.extended(run.config, updates, run.rows))


def carry_on(
    out: Path, run: LanguageRun, save_every: float, show: Callable[[LanguageRun], bool]
) -> LanguageRun:
    """Train to the end of the schedule, or until ``show`` says true after a row.

    Args:
        out: the run folder.
        run: from ``begin`` or ``restore``.
        save_every: seconds between checkpoints; 0: after each row.
        show: called after each row.

    Raises:
        ConfigError: the folder can't be written to at the beginning or the end, or loss or weights
            left the finite numbers; what is saved is then from the row before.
    """
    saved, attempts = time.monotonic(), Attempts()
    save(out, run)
    while run.rows < run.config.rows:
        began = time.monotonic()
        state, row = training.run(run.config, run.state, 1)
        row = jax.device_get(row)
        if off := pytrees.nonfinite({"loss": row.loss, "weights": state.params}):
            save(out, run)
            raise _diverged(out, run, off[0])
        rows = row if run.metrics is None else _joined(run.metrics, row)
        seconds = run.seconds + time.monotonic() - began
        run = run._replace(state=state, metrics=rows, seconds=seconds)
        stop = show(run)
        if stop or run.rows == run.config.rows:
            save(out, run)
        elif time.monotonic() - saved >= save_every:
            attempts("the checkpoint", save, out, run)
            saved = time.monotonic()
        if stop:
            break
    return run


def _diverged(out: Path, run: LanguageRun, what: str) -> ConfigError:
    config = run.config
    done = run.rows * config.updates_per_evaluation
    return ConfigError(
        f"{what} of run '{out}' left the finite numbers after update {done}, so it stops, its "
        f"checkpoint of that update kept: train anew with a learning_rate below "
        f"{config.learning_rate:g} or a max_grad_norm below {config.max_grad_norm:g}."
    )


def save(out: Path, run: LanguageRun) -> None:
    """Write the checkpoint; a crash at any moment leaves the one before, or this one."""
    config = configs.to_toml(run.config)
    trees: dict[str, Any] = {"state": run.state, "metrics": run.metrics or {}}
    about, arrays = checkpoint.pack(trees, config, run.seconds)
    files.write_arrays(out / place.LANGUAGE, about, arrays, "checkpoint")


def restore(run: Path) -> LanguageRun:
    """Read the checkpoint of a run folder.

    Raises:
        ConfigError: it is missing, damaged, or of a version that this one can't carry on.
    """
    path = run / place.LANGUAGE
    said, arrays = files.read_arrays(path, "checkpoint", made_by="pretrain")
    about = checkpoint.understood(path, said)
    config = configs.from_toml(about.config, f"the settings in checkpoint '{path}'")
    like = training.outline(config)  # whose refusals are no fault of the file
    row = jax.eval_shape(lambda state: training.run(config, state, 1)[1], like)  # likewise
    try:
        state = checkpoint.assemble(arrays, about.keys, like)
        rows = _rows(arrays, row)
    except (KeyError, ValueError, TypeError):
        raise ConfigError(
            f"checkpoint '{path}' holds another kind of state than this jaxdqn makes: "
            f"restore it with jaxdqn {about.versions['jaxdqn']}, which wrote it."
        ) from None
    return LanguageRun(config, jax.tree.map(jnp.asarray, state), rows, about.seconds)


def _rows(arrays: Mapping[str, Any], row: LanguageMetrics) -> LanguageMetrics | None:
    """Return the rows of a checkpoint, leaves ``[T]``; None where there are none yet.

    Args:
        arrays: of the file.
        row: shapes and dtypes of one row, leaves ``[1]``.

    Raises:
        KeyError: one of its measures is missing.
        ValueError: they are not as many of each.
    """
    if not any(name.startswith("metrics.") for name in arrays):
        return None
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((), x.dtype), row)
    names = [f"metrics.{name}" for name in pytrees.named_leaves(one)]
    rows: LanguageMetrics = jax.tree.unflatten(
        jax.tree.structure(one), [arrays[name] for name in names]
    )
    pytrees.leading_axes(rows, one, "metrics")
    return rows


def judge(run: LanguageRun) -> tuple[dict[str, Any], Verdicts]:
    """Let the model write paths in held-out mazes; return the summary and the greedy paths."""
    config, params = run.config, run.state.params
    assert run.metrics is not None, "something was read"
    written, greedy = write_paths(config, params, jax.random.key(0))
    final = {name: float(x[-1]) for name, x in _table(run).items()}
    summary = {
        "stage": config.stage,
        "seconds": round(run.seconds, 1),
        "weights": sum(x.size for x in jax.tree.leaves(params)),
        "final": final,
        **written,
        **provenance(),
    }
    if config.stage == "pretrain" and not np.isnan(final["board_floor"]):
        walls = corpus.banks(config)[0].walls[:JUDGED]
        far = measures.divergence(config, params, walls, text.SOLUTION)
        summary["board_divergence"] = {"sum": float(far.sum()), "cells": far.tolist()}
    return summary, greedy


@in_usual_numbers
def write_paths(
    config: LanguageConfig, params: Params, key: PRNGKey, paths: int | None = None
) -> tuple[dict[str, Any], Verdicts]:
    """Let a model write paths in held-out mazes, from and to cells drawn at random.

    Args:
        config: of the model.
        params: its weights.
        key: consumed.
        paths: how many, in one maze after the other and again from the first; None: one in each
            maze, but at most ``JUDGED``.

    Returns:
        In how many mazes, and what became of them, by their length, ``greedy`` and ``sampled``;
        and the greedy paths.
    """
    held_out, _ = corpus.banks(config)
    paths = min(JUDGED, len(held_out)) if paths is None else paths
    parts: list[tuple[Verdicts, Verdicts]] = []
    for first in range(0, paths, JUDGED):
        indices = jnp.arange(first, min(first + JUDGED, paths)) % len(held_out)
        key_part = jax.random.fold_in(key, first) if first else key
        # The same ends in both.
        greedy, sampled = (
            generation.judge(config, params, held_out, indices, temperature, key_part)
            for temperature in (0.0, 1.0)
        )
        parts.append((greedy, sampled))
    greedy, sampled = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    bounds = tuple(range(8, int(np.max(greedy.moves)), 8))
    return {
        "mazes": min(paths, len(held_out)),
        "greedy": measures.summarise(greedy, bounds),
        "sampled": measures.summarise(sampled, bounds),
    }, greedy


def leave_results(out: Path, run: LanguageRun) -> tuple[dict[str, Any], Verdicts]:
    """Judge the model and write table, weights and summary; return what was found."""
    summary, greedy = judge(run)
    try:
        _write_table(out / "metrics.csv", _table(run))
        summary |= write_weights(out, run.state.params)
    except OSError as error:
        raise folder.unchangeable(out, error) from None
    folder.save_json(out / checksums.SUMMARY, summary)
    return summary, greedy


def write_weights(out: Path, params: Params) -> dict[str, Any]:
    """Write what a network begins with; return what the summary is to say of it."""
    content = serialization.to_bytes(jax.device_get(params))
    with files.replacing(out / WEIGHTS) as draft:
        draft.write_bytes(content)
    return checksums.said({WEIGHTS: content})


def _joined(rows: LanguageMetrics, row: LanguageMetrics) -> LanguageMetrics:
    return jax.tree.map(lambda x, y: np.concatenate([x, y]), rows, row)


def _table(run: LanguageRun) -> dict[str, np.ndarray]:
    return {name: np.asarray(x) for name, x in measures.flat(run.metrics).items()}


def _write_table(path: Path, rows: dict[str, np.ndarray]) -> None:
    with files.replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(rows)
        writer.writerows(zip(*(x.tolist() for x in rows.values()), strict=True))
