"""What a person sees while a language model reads, and at its end."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.table import Table

from jaxdqn.runs import console
from jaxdqn.runs.language_run import LanguageRun


def announce(begun: LanguageRun, out: Path) -> None:
    """Say what a language model is going to read, before it is compiled."""
    config = begun.config
    total = config.rows * config.updates_per_evaluation
    weights = sum(x.size for x in jax.tree.leaves(begun.state.params))
    console.say(
        config.stage,
        f"{weights:,} weights, {config.layers} layers of "
        f"{config.width}; {total:,} updates of {config.batch_size} texts of {config.context} "
        f"tokens, about {config.mazes:,} mazes\nrun folder: {out}\ncompiling …",
    )


def report_row(so_far: LanguageRun) -> None:
    """Print one line of a language model's training."""
    assert so_far.metrics is not None
    row, total = jax.tree.map(lambda x: x[-1], so_far.metrics), so_far.config.rows
    found = row.held_out
    left = so_far.seconds / so_far.rows * (total - so_far.rows)
    # In fine-tuning walls aren't learned.
    board = f"walls {found.board:.2f}{_floor(row.board_floor)}  "
    console.print_line(
        f"{so_far.rows / total:4.0%}  {row.texts:,} texts  "
        f"{board if so_far.config.stage == 'pretrain' else ''}"
        f"path {found.path:.2f}{_floor(found.path_floor)} nats, held out  ETA {left:.0f} s"
    )


def _floor(nats: float) -> str:
    """Return a floor as a line says it: nothing where none is known."""
    return "" if np.isnan(nats) else f" (floor {nats:.2f})"


def report(summary: dict[str, Any], out: Path) -> None:
    """Print what a training came to."""
    report_paths(summary)
    seconds = f"{summary['seconds']} s of training, compilation included"
    console.print_line(f"{seconds}; everything is in {out}")


def report_paths(summary: dict[str, Any]) -> None:
    """Print what became of the paths that a language model wrote, by their length."""
    paths, mazes = summary["greedy"]["paths"], summary["mazes"]
    title = f"{paths:,} paths written in {mazes:,} held-out mazes [95 % interval]"
    table = Table(title=title, title_justify="left")
    for head in ("moves", "paths", "exactly shortest", "solved", "shortest, sampled"):
        table.add_column(head, justify="right", no_wrap=True)
    groups = {"all": summary["greedy"], **summary["greedy"]["by_moves"]}
    drawn = {"all": summary["sampled"], **summary["sampled"]["by_moves"]}
    for name, group in groups.items():
        cells = (group["shortest"], group["solved"], drawn[name]["shortest"])
        said = [f"{x['mean']:.2f} [{x['low']:.2f}, {x['high']:.2f}]" for x in cells]
        table.add_row(name, f"{group['paths']:,}", *said)
    console.print_table(table)
