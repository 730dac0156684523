"""Pictures of a run: learning curves, and the policy on its maze."""

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from jaxdqn import agent as agents
from jaxdqn import environment as environments
from jaxdqn import maze, statistics
from jaxdqn.config import Config
from jaxdqn.maze import render
from jaxdqn.training import Metrics
from jaxdqn.types import Params

matplotlib.use("Agg")

BLUE = "#0072b2"
_PANELS = {
    "success": "success rate (greedy)",
    "eval_return": "return (greedy)",
    "eval_length": "steps to the end (greedy)",
    "episode_return": "return (exploring)",
    "loss": "loss",
    "q_mean": "mean Q of replayed actions",
}


def curves(metrics: Metrics, title: str, shortest: int | None = None) -> Figure:
    """Draw measures against environment steps: seeds thin, their mean thick, its interval shaded.

    Args:
        metrics: leaves ``[S, T]``.
        title: above all.
        shortest: length of the shortest path, drawn as a reference where it is known.
    """
    on_maze = metrics.success is not None
    names = ["success", "eval_length"] if on_maze else ["eval_return", "episode_return"]
    figure = Figure(figsize=(9, 6), layout="constrained")
    steps = np.asarray(metrics.env_steps)[0]
    for axes, name in zip(figure.subplots(2, 2).flat, [*names, "loss", "q_mean"], strict=True):
        values = np.asarray(getattr(metrics, name), np.float64)
        axes.plot(steps, values.T, color=BLUE, linewidth=0.6, alpha=0.25)
        rows = [statistics.summarise(column) for column in values.T]
        axes.plot(steps, [row["mean"] for row in rows], color=BLUE, linewidth=2)
        axes.fill_between(
            steps, [row["low"] for row in rows], [row["high"] for row in rows],
            color=BLUE, alpha=0.25, linewidth=0,
        )  # fmt: skip
        axes.set_title(_PANELS[name], fontsize=10)
        axes.set_xlabel("environment steps")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_formatter(_thousands)
        if name == "eval_length" and shortest is not None:
            axes.axhline(shortest, color=render.PATH_COLOUR, linestyle="--", linewidth=1.2)
            axes.text(
                steps[0], shortest, f"shortest path: {shortest}", color=render.PATH_COLOUR,
                ha="left", va="bottom",
            )  # fmt: skip
        if name == "loss":
            axes.set_yscale("log")
    count = len(np.asarray(metrics.loss))
    figure.suptitle(f"{title}: {count} seeds, their mean and its 95 % bootstrap interval")
    return figure


def policy(config: Config, params: Params, title: str) -> Figure:
    """Draw the first level of the bank with learned values, greedy arrows and greedy path.

    Args:
        config: settings of a run on a maze.
        params: the network of one seed.
        title: above the picture; the lengths of the shortest and walked paths are added.
    """
    environment, env_params = environments.make(config)
    level = maze.level(env_params.levels, 0)
    obs = environment.gymnax.observe_everywhere(env_params, jnp.int32(0), jnp.int32(level.goal))
    q_values = agents.make(config, environment).q_values
    q = np.asarray(jax.vmap(q_values, (None, 0))(params, obs))
    path = render.greedy_path(level, q)
    found = f"walked {len(path) - 1}" if path[-1] == level.goal else "doesn't reach the goal"
    shortest = maze.shortest_path(level)
    figure = Figure(figsize=(7, 6.2), layout="constrained")
    axes = figure.subplots()
    image = render.draw_policy(axes, level, q, path)
    figure.colorbar(image, ax=axes, label=r"learned value  $\max_a\, Q_\theta(s, a)$", shrink=0.85)
    axes.set_title(f"{title}: shortest path {shortest}, {found}")
    return figure


def shortest_path(config: Config) -> int | None:
    """Return the length of the shortest path where every episode has the same one, else None."""
    environment, env_params = environments.make(config)
    ends = {config.env_kwargs.get("start"), config.env_kwargs.get("goal")}
    if not environment.is_maze or config.env_kwargs.get("num_levels", 1) != 1 or "random" in ends:
        return None
    level = maze.level(env_params.levels, 0)
    return maze.shortest_path(level)


def _thousands(steps: float, _: int) -> str:
    return f"{steps / 1000:g} k" if steps else "0"
