"""Learning curves."""

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdqn import environment as environments
from jaxdqn import maze, statistics
from jaxdqn.config import Config
from jaxdqn.errors import ConfigError
from jaxdqn.metrics import Metrics
from jaxdqn.plots.style import BLUE, GREY, ORANGE, TITLES, along_steps, plain

_ON_MAZES = (
    "success", "eval_length", "regret", "q_error", "q_bias", "policy_regret", "value_error", "loss",
)  # fmt: skip
_ELSEWHERE = ("eval_return", "episode_return", "loss", "q_mean")


def curves(config: Config, metrics: Metrics, title: str) -> Figure:
    """Draw measures against environment steps: seeds thin, their mean thick, its interval shaded.

    Args:
        config: the settings.
        metrics: leaves ``[S, T]``.
        title: above all.

    Raises:
        ConfigError: metrics of another shape, such as those of one agent alone.
    """
    if len(shape := np.shape(metrics.loss)) != 2:
        raise ConfigError(
            f"metrics (leaves of shape {list(shape)}) must be [seeds, evaluations]: give those of "
            "one agent an axis, jax.tree.map(lambda x: x[None], metrics)."
        )
    names = [name for name in _ON_MAZES if getattr(metrics, name) is not None]
    names = names if metrics.success is not None else list(_ELSEWHERE)
    if len(names) % 2:  # a network that remembers isn't compared with exact values
        names.append("episode_return")
    columns = len(names) // 2
    figure = Figure(figsize=(4.4 * columns, 6), layout="constrained")
    steps, losses = np.asarray(metrics.env_steps)[0], np.asarray(metrics.loss)
    has_logarithms = np.any(losses > 0) and not np.any(losses < 0)  # PPO's is below 0 at times
    for axes, name in zip(figure.subplots(2, columns).flat, names, strict=True):
        both = metrics.held_out is not None and hasattr(metrics.held_out, name)
        _draw(axes, steps, getattr(metrics, name), BLUE, "training levels" if both else None)
        if both:
            _draw(axes, steps, getattr(metrics.held_out, name), ORANGE, "held-out levels")
        if name == "success" and both:
            axes.legend(frameon=False, loc="best")
        _set_range(axes, name)
        if name == "loss" and has_logarithms:
            axes.set_yscale("log")
        elif name == "eval_length" and (shortest := shortest_path(config)) is not None:
            _reference(axes, steps, shortest, f"shortest path: {shortest}")
        elif name == "q_bias":
            _reference(axes, steps, 0, "exact")
        axes.set_title(TITLES[name], fontsize=10)
        along_steps(axes)
        plain(axes)
    count = len(losses)
    seeds = "1 seed" if count == 1 else f"{count} seeds, their mean and its 95 % bootstrap interval"
    figure.suptitle(f"{title}: {seeds}")
    return figure


def shortest_path(config: Config) -> int | None:
    """Return the length of the shortest path where every episode has the same one, else None."""
    environment, env_params = environments.make(config)
    if not environment.is_maze or len(env_params.levels) > 1:
        return None
    if environment.gymnax.random_start or environment.gymnax.random_goal:
        return None
    return maze.shortest_path(maze.level(env_params.levels, 0))


def _draw(axes: Axes, steps: np.ndarray, measure: object, colour: str, label: str | None) -> None:
    values = np.asarray(measure, np.float64)
    axes.plot(steps, values.T, color=colour, linewidth=0.6, alpha=0.25)
    curve = jax.device_get(statistics.sample_efficiency(jax.random.key(0), values, statistics.mean))
    point = "o" if len(steps) == 1 else None  # through one there is no line
    axes.plot(steps, curve.value, color=colour, linewidth=2, label=label, marker=point)
    axes.fill_between(steps, curve.low, curve.high, color=colour, alpha=0.25, linewidth=0)
    if np.all(np.isnan(values)):
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no number was measured", transform=axes.transAxes, color=GREY,
                  ha="center", va="center")  # fmt: skip


def _set_range(axes: Axes, name: str) -> None:
    """Show all that a share can be, and a regret from 0; what else is drawn sets its own range."""
    if name == "success":
        axes.set_ylim(-0.04, 1.04)
    elif name.endswith("regret"):
        # A constant one has no margin of its own.
        top = 1.04 * axes.get_ylim()[1]
        axes.set_ylim(-0.04 * top, top)


def _reference(axes: Axes, steps: np.ndarray, value: float, text: str) -> None:
    above = value < np.mean(axes.get_ylim())
    axes.axhline(value, color=GREY, linestyle="--", linewidth=1.2)
    axes.annotate(
        text, (steps[0], value), xytext=(0, 3 if above else -3), textcoords="offset points",
        color=GREY, ha="left", va="bottom" if above else "top",
    )  # fmt: skip
