"""Pictures of a run."""

from pathlib import Path
from typing import Any

from jaxdqn import environment as environments
from jaxdqn.config import Config
from jaxdqn.metrics import Metrics
from jaxdqn.plots import mazes, style, sweeps
from jaxdqn.plots.contenders import compare
from jaxdqn.plots.curves import curves
from jaxdqn.runs.comparison import Score
from jaxdqn.runs.ranking import Ranked
from jaxdqn.types import Params

__all__ = ["compare", "curves", "draw", "draw_elsewhere", "draw_sweep", "mazes", "style"]


@style.as_everywhere()
def draw_sweep(
    folder: Path,
    settings: list[dict[str, Any]],
    ranked: list[Ranked],
    measure: str,
    score: Score,
) -> list[str]:
    """Draw everything there is to see of a sweep into its folder; return the files' names.

    Args:
        folder: where the pictures go.
        settings: values of the swept fields, in the order of the grid.
        ranked: settings, best first.
        measure: what they are ranked by.
        score: what of it counts for a seed.
    """
    figures = {
        "curves.png": sweeps.curves(ranked, measure),
        "ranking.png": sweeps.intervals(ranked, measure, score),
        "heat_map.png": sweeps.heat_map(settings, ranked, measure, score),
    }
    drawn = {name: figure for name, figure in figures.items() if figure is not None}
    for name, figure in drawn.items():
        style.save(figure, folder / name)
    return list(drawn)


@style.as_everywhere()
def draw(
    folder: Path, name: str, config: Config, metrics: Metrics, params: Params, seed: int
) -> list[str]:
    """Draw everything there is to see of a run into its folder; return the files' names.

    Args:
        folder: where the pictures go.
        name: of the run, for titles.
        config: its settings.
        metrics: leaves ``[S, T]``.
        params: the network of one seed.
        seed: number of that seed.
    """
    title = f"{name}, seed {seed}"
    figures = {"curves.png": curves(config, metrics, name)}
    if metrics.success is not None:
        if metrics.q_error is not None:
            figures["policy.png"] = mazes.policy(config, params, title)
        figures["visits.png"] = mazes.visits(config, params, float(metrics.epsilon[0, -1]), title)
        unseen = mazes.walk_unseen(config, params)
        if environments.make(config)[0].gymnax.num_levels > 1:
            figures["levels.png"] = mazes.sheet(unseen, title)
        mazes.animation(unseen, folder / "greedy.gif")
    for file, figure in figures.items():
        style.save(figure, folder / file)
    return [*figures, *(["greedy.gif"] if metrics.success is not None else [])]


@style.as_everywhere()
def draw_elsewhere(path: Path, config: Config, params: Params, title: str) -> None:
    """Draw what one agent does in other mazes than it was trained on.

    Args:
        path: the file.
        config: settings of those mazes.
        params: the network of one seed.
        title: above the picture.
    """
    walked = mazes.walk_unseen(config, params)._replace(kind="other")
    style.save(mazes.sheet(walked, title), path)
