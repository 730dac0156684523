"""Pictures of a language model: losses and their floors, paths it writes, what it looks at."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from jaxdqn.errors import counted
from jaxdqn.language.config import LanguageConfig
from jaxdqn.language.generation import Verdicts
from jaxdqn.maze import Level, render, text
from jaxdqn.networks import pretrained
from jaxdqn.plots.style import BLUE, GREY, along_steps, as_everywhere, plain, save
from jaxdqn.runs.language_run import LanguageRun
from jaxdqn.types import Array, Params

SHEET = (3, 6)


@as_everywhere()
def draw(out: Path, run: LanguageRun, summary: dict[str, Any], verdicts: Verdicts) -> list[str]:
    """Draw everything there is to see of a language model into its run folder; return the files."""
    name = out.resolve().name
    figures = {
        "losses.png": losses(run, name),
        "paths.png": paths(run.config, verdicts, name),
        "attention.png": attention(run.config, run.state.params, verdicts, name),
    }
    if "board_divergence" in summary:
        figures["walls.png"] = divergence(summary["board_divergence"], name)
    for file, figure in figures.items():
        save(figure, out / file)
    return list(figures)


def losses(run: LanguageRun, title: str) -> Figure:
    """Draw held-out losses against texts read, each with its floor."""
    rows = run.metrics
    assert rows is not None
    held_out = rows.held_out
    panels = {
        "walls": (held_out.board, rows.board_floor),
        "goal and start": (held_out.ends, held_out.ends_floor),
        "path": (held_out.path, held_out.path_floor),
    }
    if run.config.stage == "finetune":
        panels = {"path": panels["path"]}
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    for axes, (name, (loss, floor)) in zip(
        figure.subplots(1, len(panels), squeeze=False).flat, panels.items(), strict=True
    ):
        axes.plot(rows.texts, loss, color=BLUE, label="held-out mazes")
        found = f"{name}: {loss[-1]:.2f} nats"
        if np.isfinite(floor).all():
            axes.plot(rows.texts, floor, color=GREY, linestyle="--", label="a perfect reader's")
            found = f"{found}, floor {floor[-1]:.2f}"
        axes.set_title(found, fontsize=10)
        along_steps(axes, "texts read")
        axes.set_ylabel("nats per text")
        plain(axes)
        axes.legend(frameon=False, fontsize=9)
    figure.suptitle(title, wrap=True)
    return figure


def paths(config: LanguageConfig, verdicts: Verdicts, title: str) -> Figure:
    """Draw paths that the model wrote: wrong ones in half of the sheet, or in all that right ones
    leave.
    """
    right = np.asarray(verdicts.shortest)
    wrong, good = np.flatnonzero(~right), np.flatnonzero(right)
    room = SHEET[0] * SHEET[1]
    wrong = wrong[: max(room // 2, room - len(good))]
    chosen = np.concatenate([wrong, good[: room - len(wrong)]])
    figure = Figure(figsize=(1.9 * SHEET[1], 2.25 * SHEET[0] + 0.4), layout="constrained")
    panels = figure.subplots(*SHEET, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, index in zip(panels.flat, chosen.tolist(), strict=False):
        level, path = _written(config, np.asarray(verdicts.tokens[index]))
        colour = render.REACHED_COLOUR if right[index] else render.PATH_COLOUR
        axes.set_axis_on()
        render.draw_walls(axes, level.walls)
        render.draw_path(axes, level, [level.start, *path], colour)
        render.draw_end(axes, level, level.start, "S", size=7)
        render.draw_end(axes, level, level.goal, "G", size=7)
        said = f"{counted(len(path), 'move')}, {int(verdicts.moves[index])} needed"
        if not right[index]:
            said = f"{_mistake(verdicts, index)}\n{said}"
        axes.set_title(said, fontsize=9, color=colour)
    figure.suptitle(
        f"{title}: {right.sum():,} of {len(right):,} paths exactly shortest; here "
        f"{len(wrong)} that aren't, and {len(chosen) - len(wrong)} that are"
    )
    return figure


def _mistake(verdicts: Verdicts, index: int) -> str:
    """Return what is wrong with a path."""
    if verdicts.solved[index]:
        return "a longer way"
    if verdicts.wrong_end[index]:
        return "ends elsewhere"
    if not verdicts.invalid_token[index]:
        return "a step that there isn't"
    has_end = text.END in np.asarray(verdicts.tokens[index])
    return "a word that is no cell" if has_end else "never ends"


def attention(config: LanguageConfig, params: Params, verdicts: Verdicts, title: str) -> Figure:
    """Draw what each head of the last layer looks at from the agent's cell, over the maze."""
    level, _ = _written(config, np.asarray(verdicts.tokens[0]))
    end = text.prompt_length(config.cells)
    looks = np.asarray(_weights(config, params, np.asarray(verdicts.tokens)[0]))
    looks = looks[:, end - 1, 1 : config.cells + 1]
    figure = Figure(figsize=(3.0 * config.heads, 3.0), layout="constrained")
    for head, axes in enumerate(figure.subplots(1, config.heads, squeeze=False).flat):
        image = axes.imshow(looks[head].reshape(level.walls.shape), cmap="viridis")
        where = np.argwhere(level.walls)
        axes.scatter(where[:, 1], where[:, 0], s=6, color="white", marker="s", alpha=0.6)
        render.draw_end(axes, level, level.start, "S", size=8)
        render.draw_end(axes, level, level.goal, "G", size=8)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"head {head + 1}: {looks[head].sum():.0%} on cells", fontsize=9)
        figure.colorbar(image, ax=axes, shrink=0.7)
    figure.suptitle(
        f"{title}: attention of the last layer from the agent's cell (white: walls)", wrap=True
    )
    return figure


def divergence(found: dict[str, Any], title: str) -> Figure:
    """Draw how far the model's idea of each wall is from the exact probability."""
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.asarray(found["cells"]), cmap="viridis")
    figure.colorbar(image, ax=axes, label="nats")
    axes.set_xticks([])
    axes.set_yticks([])
    figure.suptitle(
        f"{title}: KL(exact ‖ model)\nof each cell's wall, {found['sum']:.3g} nats in all",
        fontsize=10,
        wrap=True,
    )
    return figure


def _written(config: LanguageConfig, tokens: np.ndarray) -> tuple[Level, list[int]]:
    """Return the maze of a text and the cells walked before its end."""
    return text.read(text.decode(tokens, config.cells), *pretrained.size(config.env_kwargs))


@jax.jit
def _weights(config: LanguageConfig, params: Params, tokens: Array) -> Array:
    """Return the attention of the last layer, ``[heads, T, T]``."""
    _, kept = config.model().apply(params, tokens, mutable=["intermediates"])
    last = kept["intermediates"]["trunk"][f"block_{config.layers - 1}"]
    weights: Array = last["attention"]["attention_weights"][0]
    return weights
