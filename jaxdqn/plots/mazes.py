"""Pictures of what one trained agent does in its mazes."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdqn import environment as environments
from jaxdqn import maze, walks
from jaxdqn.assembly import assemble
from jaxdqn.config import Config
from jaxdqn.errors import counted
from jaxdqn.maze import render, solve
from jaxdqn.runs import folder
from jaxdqn.types import Array, Params

WALKS = 64
"""At most so many are looked at, on one level or on as many; a program for all numbers."""
SHEET = (4, 6)


def policy(config: Config, params: Params, title: str) -> Figure:
    """Draw learned values beside exact ones on the first level, with moves and the greedy path.

    Learned moves that aren't optimal stand out; of exact ones all that are tied are drawn.

    Args:
        config: settings of a run on a maze.
        params: the network of one seed.
        title: above the picture; what the policy loses and how far it walks is added.
    """
    _, env_params = environments.make(config)
    level = maze.level(env_params.levels, 0)
    learned, exact, worth = jax.device_get(_values(config, env_params, params, level.goal))
    regret = float(exact[level.start].max() - worth[level.start])
    path = render.greedy_path(level, learned)
    limits = render.value_limits(level, learned, exact)
    figure = Figure(figsize=(11.5, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    optimal = render.best_moves(level, exact)
    image = render.draw_values(left, level, learned, limits, optimal)
    render.draw_path(left, level, path, render.PATH_COLOUR)
    render.draw_values(right, level, exact, limits)
    left.set_title(r"learned  $\max_a\, Q_\theta(s, a)$")
    right.set_title(r"exact  $\max_a\, Q^*(s, a)$")
    inner = level.cells[:-1]
    wrong = np.sum(~optimal[inner, learned[inner].argmax(axis=1)])
    left.set_xlabel(f"orange: moves that aren't optimal, in {wrong} of {len(inner)} cells")
    right.set_xlabel("all optimal moves; white: the goal, and what the start can't reach")
    figure.colorbar(image, ax=[left, right], label="value", shrink=0.85)
    walked = f"walks {len(path) - 1}" if path[-1] == level.goal else "doesn't reach the goal"
    figure.suptitle(
        f"{title}: regret {max(regret, 0.0):.3g} at the start; "
        f"shortest path {counted(maze.shortest_path(level), 'move')}, {walked}"
    )
    return figure


@jax.jit
def _values(
    config: Config, env_params: maze.MazeParams, params: Params, goal: Array
) -> tuple[Array, Array, Array]:
    """Return learned and exact values on the first level, ``[H * W, A]``, and the exact value of
    the policy that is greedy by the learned ones, ``[H * W]``.
    """
    parts = assemble(config, env_params)
    rules = parts.environment.gymnax
    obs = rules.observe_everywhere(env_params, 0, goal)
    q_values = parts.method.q_values
    assert q_values is not None, "only values are drawn"
    learned = jax.vmap(q_values, (None, 0))(params, obs)
    model = rules.model(env_params, 0, goal, config.discount)
    worth = solve.policy_value(model, learned.argmax(axis=1))
    return learned, solve.optimal_q(model), worth


def visits(config: Config, params: Params, epsilon: float, title: str) -> Figure:
    """Draw how often the first level's cells are visited.

    Args:
        config: settings of a run on a maze.
        params: the network of one seed.
        epsilon: probability of a random action.
        title: above the picture.
    """
    _, env_params = environments.make(config)
    level = maze.level(env_params.levels, 0)
    found = _walk(config, env_params, params, np.zeros(WALKS, np.int32), epsilon)
    under_way = np.arange(config.eval_steps + 1) <= found.steps[:, None]
    counts = np.bincount(found.cells[under_way], minlength=level.walls.size)
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    image = render.draw_visits(axes, level, counts)
    figure.colorbar(image, ax=axes, label="share of steps (white: never visited)", shrink=0.85)
    figure.suptitle(
        f"{title}: visits in {WALKS} episodes, $\\epsilon$ = {epsilon:.3g}", fontsize=11, wrap=True
    )
    return figure


class Unseen(NamedTuple):
    """Greedy walks on levels that training didn't see, or on training levels if there are none.

    Attributes:
        env_params: with the bank that was walked.
        walks: one on each of its first levels, on the host.
        kind: what to call them.
    """

    env_params: maze.MazeParams
    walks: walks.Walks
    kind: str


def walk_unseen(config: Config, params: Params) -> Unseen:
    """Walk greedily on the first held-out levels, at most ``WALKS``.

    Args:
        config: settings of a run on mazes.
        params: the network of one seed.
    """
    _, env_params = environments.make(config)
    kind = "training"
    if env_params.held_out is not None:
        env_params, kind = env_params.replace(levels=env_params.held_out), "held-out"
    count = min(len(env_params.levels), WALKS)
    found = _walk(config, env_params, params, np.arange(WALKS, dtype=np.int32) % count, 0.0)
    return Unseen(env_params, jax.tree.map(lambda x: x[:count], found), kind)


def _walk(
    config: Config, env_params: maze.MazeParams, params: Params, levels: np.ndarray, epsilon: float
) -> walks.Walks:
    """Walk once on each of the levels; return that on the host."""
    key = jax.random.key(0)
    found = walks.walk(config, env_params, params, key, levels, epsilon, config.eval_steps)
    return jax.device_get(found)


def sheet(unseen: Unseen, title: str) -> Figure:
    """Draw a contact sheet of levels: failed ones in half of it, or in all that solved ones leave.

    Args:
        unseen: greedy walks, from ``walk_unseen``.
        title: above the picture; how many levels were solved is added.
    """
    found = unseen.walks
    reached = found.reached
    failed, solved = np.flatnonzero(~reached), np.flatnonzero(reached)
    room = SHEET[0] * SHEET[1]
    failed = failed[: max(room // 2, room - len(solved))]
    chosen = np.concatenate([failed, solved[: room - len(failed)]])
    rows = -(-len(chosen) // SHEET[1])
    figure = Figure(figsize=(1.9 * SHEET[1], 2.15 * rows + 0.5), layout="constrained")
    for axes in (panels := figure.subplots(rows, SHEET[1], squeeze=False)).flat:
        axes.set_axis_off()
    for axes, index in zip(panels.flat, chosen.tolist(), strict=False):
        axes.set_axis_on()
        draw_walk(axes, unseen, index)
    figure.suptitle(f"{title}: {reached.sum()} of {len(reached)} {unseen.kind} levels solved")
    return figure


def draw_walk(axes: Axes, unseen: Unseen, index: int) -> None:
    """Draw a level and the greedy walk on it; its moves, and those needed, are the title.

    Args:
        axes: drawn into.
        unseen: greedy walks, from ``walk_unseen``.
        index: of the level.
    """
    found = unseen.walks
    level = maze.level(unseen.env_params.levels, index)
    steps, goal, reached = int(found.steps[index]), int(found.goals[index]), found.reached[index]
    path = found.cells[index, : steps + 1].tolist()
    needed = int(np.asarray(maze.distances(level.walls, goal))[path[0]])
    colour = render.REACHED_COLOUR if reached else render.PATH_COLOUR
    render.draw_walls(axes, level.walls)
    render.draw_path(axes, level, path, colour)
    stays = not reached and path[-1] == path[0]
    if not reached:
        render.draw_end(axes, level, path[-1], "S×" if stays else "×", size=7)
    if not stays:
        render.draw_end(axes, level, path[0], "S", size=7)
    render.draw_end(axes, level, goal, "G", size=7)
    verdict = counted(steps, "move") if reached else "failed"
    axes.set_title(f"{verdict}, {needed} needed", fontsize=9, color=colour)


def animation(unseen: Unseen, path: Path) -> None:
    """Write an animated GIF of the longest walk that arrives, if any does.

    Args:
        unseen: greedy walks, from ``walk_unseen``.
        path: the file.

    Raises:
        ConfigError: it can't be written; what was there before stays.
    """
    found = unseen.walks
    index = int(np.argmax(np.where(found.reached, found.steps, 0)))
    level = maze.level(unseen.env_params.levels, index)
    cells = found.cells[index, : int(found.steps[index]) + 1].tolist()
    first, *others = render.animate(level, cells, int(found.goals[index]))
    lasting = [120] * len(others) + [1_200]
    with folder.writing(path) as draft:
        first.save(draft, "GIF", save_all=True, append_images=others, duration=lasting, loop=0)
