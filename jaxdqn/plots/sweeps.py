"""Pictures of a sweep: curves by setting, a heat map over two numbers, all settings ranked."""

import itertools
from typing import Any

import jax
import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import CARETLEFT, CARETRIGHT

from jaxdqn import statistics
from jaxdqn.errors import counted
from jaxdqn.plots.contenders import COUNTED, NAMED
from jaxdqn.plots.style import COLOURS, GREY, LINES, along_steps, plain, titled
from jaxdqn.runs import comparison, ranking
from jaxdqn.runs.comparison import Score
from jaxdqn.runs.ranking import Ranked

BANDS = 3
"""Most curves with a band."""
FINE = 120
"""Cells of a smoothed heat map along each axis."""
WIDTH = 0.08
"""Of the kernel that smooths it, as a share of an axis."""
EDGE = 0.03
"""How far it goes on beyond the outermost settings, as a share of an axis: dots are seen whole."""
FAR = 2.0
"""Half the square of the widths from any setting beyond which nothing is drawn."""


def curves(ranked: list[Ranked], measure: str) -> Figure:
    """Draw a measure along training: the best settings in colour, others thin and grey.

    The first few have bands: of more one sees none.

    Args:
        ranked: settings, best first.
        measure: what they are ranked by.
    """
    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    axes = figure.subplots()
    steps = [np.asarray(one.contender.metrics.env_steps)[0] for one in ranked]
    others = len(ranked) - len(COLOURS)
    for one, along in zip(ranked[len(COLOURS) :], steps[len(COLOURS) :], strict=True):
        rows = comparison.curves(one.contender, measure)
        # Of many, the shade says how many go the same way.
        faint = min(0.35, max(10 / others, 0.04))
        axes.plot(along, _means(rows), color=GREY, linewidth=0.8, alpha=faint)
    for place, (one, along, colour, line) in enumerate(
        zip(ranked, steps, COLOURS, LINES, strict=False)
    ):
        rows = comparison.curves(one.contender, measure)
        curve = statistics.sample_efficiency(jax.random.key(0), rows, statistics.mean)
        axes.plot(along, curve.value, color=colour, linestyle=line, linewidth=2,
                  label=one.contender.name)  # fmt: skip
        if place < BANDS:
            axes.fill_between(along, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
    if others > 0:
        said = f"{others} others, their means" if others > 1 else "one other, its mean"
        axes.plot([], [], color=GREY, linewidth=0.8, label=said)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5),
                handlelength=3.5)  # fmt: skip
    banded = f", for the best {BANDS}" if len(ranked) > BANDS else ""
    axes.set_title(
        f"{titled(measure)}: means over {_seeds(ranked)}; 95 % bootstrap intervals{banded}",
        fontsize=10,
    )
    along_steps(axes)
    plain(axes)
    return figure


def _seeds(ranked: list[Ranked]) -> str:
    """Return how many seeds settings have."""
    few, many = (end(len(one.scores) for one in ranked) for end in (min, max))
    return counted(many, "seed") if few == many else f"{few} to {many} seeds"


def intervals(ranked: list[Ranked], measure: str, score: Score) -> Figure:
    """Draw all settings in their order, each mean with its interval over seeds.

    Blue is the best, and what is not established to be worse; grey is. What has no interval, or
    one of no width, is an open circle: of its spread nothing is known.

    Args:
        ranked: settings, best first.
        measure: what they are ranked by.
        score: what of it counts for a seed.
    """
    worse = [False, *ranking.established(ranked, measure)]
    count = len(ranked)
    figure = Figure(figsize=(8.5, min(1.6 + 0.22 * count, 10.5)), layout="constrained")
    axes = figure.subplots()
    left, right = _limits(np.array([[one.low, one.mean, one.high] for one in ranked]))
    wide, mark = (3.0, 5.0) if count <= NAMED else (0.8, 2.0)
    for place, (one, is_worse) in enumerate(zip(ranked, worse, strict=True), 1):
        colour = GREY if is_worse else COLOURS[0]
        axes.plot([one.low, one.high], [place, place], color=colour, linewidth=wide, alpha=0.45,
                  solid_capstyle="butt")  # fmt: skip
        inside = colour if one.low < one.high else "white"
        axes.plot(one.mean, place, "o", color=colour, markerfacecolor=inside, markersize=mark)
        # Of a mean that isn't finite there is only the arrow.
        cut = {left: (CARETLEFT, min(one.mean, one.low) < left),
               right: (CARETRIGHT, max(one.mean, one.high) > right)}  # fmt: skip
        for end, (arrow, is_cut) in cut.items():
            if is_cut:
                axes.plot(end, place, marker=arrow, color=colour, markersize=1.6 * mark,
                          markeredgewidth=0, clip_on=False)  # fmt: skip
    if count <= NAMED:
        axes.set_yticks(range(1, count + 1), [one.contender.name for one in ranked], fontsize=8)
    else:
        axes.set_ylabel("place")
    axes.set_ylim(count + 0.5, 0.5)
    axes.set_xlabel(f"{titled(measure)}, {COUNTED[score]}")
    axes.set_xlim(left, right)
    known = all(one.low < one.high for one in ranked)
    figure.suptitle(
        f"{count} settings, means over {_seeds(ranked)} and Student's 95 % intervals (arrow: goes "
        "on)\nblue: the best, and what isn't established to be worse"
        + ("" if known else "; open: of one seed or of seeds alike, whose spread isn't known"),
        fontsize=10,
    )
    plain(axes)
    return figure


def _limits(ends: np.ndarray) -> tuple[float, float]:
    """Return limits of an axis that show all finite means; what is wider than these is cut."""
    ends = ends[np.isfinite(ends[:, 1])]
    means = ends[:, 1]
    if not len(means):
        return 0.0, 1.0
    room = 0.5 * (np.ptp(means) or 1.0)
    low, high = np.nanmin(ends), np.nanmax(ends)
    margin = 0.03 * (high - low or 1.0)
    return max(low - margin, means.min() - room), min(high + margin, means.max() + room)


def heat_map(
    settings: list[dict[str, Any]], ranked: list[Ranked], measure: str, score: Score
) -> Figure | None:
    """Draw the mean score over two numbers; None where fewer than two were swept.

    Of more than two, those are drawn that say most about the score by themselves; the others are
    averaged over. Drawn settings are dots, the best is a star, and the colour between them is a
    kernel's average; where none is near, there is none.

    Args:
        settings: values of the swept fields, in the order of the grid.
        ranked: settings, best first.
        measure: what they are ranked by.
        score: what of it counts for a seed.
    """
    chosen = [one for one in ranked if np.isfinite(one.mean)]
    means = np.array([one.mean for one in chosen])
    columns = {name: np.array([settings[one.cell][name] for one in chosen], float)
               for name in settings[0] if _is_number(settings, name)}  # fmt: skip
    if len(columns) < 2 or len(chosen) < 4:
        return None
    said = {name: _explained(_places(column), means) for name, column in columns.items()}
    first, second = sorted(columns, key=lambda name: -said[name])[:2]
    x, y = columns[first], columns[second]
    figure = Figure(figsize=(6.6, 5.0), layout="constrained")
    axes = figure.subplots()
    values = [sorted({*column.tolist()}) for column in (x, y)]
    # The light end is the good one.
    shades = "viridis_r" if comparison.lower_is_better(measure) else "viridis"
    if len(values[0]) * len(values[1]) <= len(chosen):
        image, best = _draw_cells(axes, x, y, means, values, shades), ""
    else:
        image, best = _draw_smoothed(axes, x, y, means, shades), "; the star is the best"
    axes.set_xlabel(_short(first))
    axes.set_ylabel(_short(second))
    figure.colorbar(image, ax=axes, label=f"{titled(measure)}, {COUNTED[score]}")
    rest = [_short(name) for name in settings[0] if name not in (first, second)]
    averaged = f", averaged over {', '.join(rest)}" if rest else ""
    figure.suptitle(
        f"{len(chosen)} settings, means over seeds{averaged}{best}", fontsize=10, wrap=True
    )
    return figure


def _draw_cells(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    means: np.ndarray,
    values: list[list[float]],
    shades: str,
) -> Any:
    table = np.full((len(values[1]), len(values[0])), np.nan)
    for (i, low), (j, left) in itertools.product(enumerate(values[1]), enumerate(values[0])):
        within = (x == left) & (y == low)
        if within.any():
            table[i, j] = means[within].mean()
    image = axes.imshow(table, origin="lower", aspect="auto", cmap=shades)
    for (i, j), value in np.ndenumerate(table):
        if not np.isnan(value):
            dark = sum(image.to_rgba(value)[:3]) < 1.5
            ink = "white" if dark else "black"
            axes.text(j, i, f"{value:.3g}", ha="center", va="center", color=ink, fontsize=9)
    axes.set_xticks(range(len(values[0])), [f"{value:g}" for value in values[0]])
    axes.set_yticks(range(len(values[1])), [f"{value:g}" for value in values[1]])
    return image


def _draw_smoothed(axes: Axes, x: np.ndarray, y: np.ndarray, means: np.ndarray, shades: str) -> Any:
    scales = ["log" if _is_wide(column) else "linear" for column in (x, y)]
    across, up = _places(x), _places(y)
    fine = np.linspace(-EDGE, 1 + EDGE, FINE)
    gaps = (fine[None, :, None] - across) ** 2 + (fine[:, None, None] - up) ** 2
    weights = np.exp(-gaps / (2 * WIDTH**2))
    smooth = (weights * means).sum(-1) / np.maximum(weights.sum(-1), 1e-12)
    scale = colors.Normalize(means.min(), means.max())
    edges = [_span(column, np.linspace(-EDGE, 1 + EDGE, FINE + 1)) for column in (x, y)]
    smooth[weights.max(-1) < np.exp(-FAR)] = np.nan
    axes.pcolormesh(*edges, smooth, cmap=shades, norm=scale, linewidth=0)
    axes.set_xscale(scales[0])
    axes.set_yscale(scales[1])
    axes.scatter(x[:1], y[:1], marker="*", s=170, color="white", edgecolors="black", zorder=3)
    return axes.scatter(
        x, y, c=means, cmap=shades, norm=scale, s=18, edgecolors="white", linewidths=0.7
    )


def _places(column: np.ndarray) -> np.ndarray:
    """Return where values are between the least and the greatest, from 0 to 1."""
    scaled = np.log(column) if _is_wide(column) else column
    low, high = scaled.min(), scaled.max()
    return (scaled - low) / (high - low or 1.0)


def _span(column: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Invert ``_places``."""
    if _is_wide(column):
        return np.exp(np.log(column.min()) + places * np.log(column.max() / column.min()))
    return column.min() + places * (column.max() - column.min())


def _is_wide(column: np.ndarray) -> bool:
    return bool(column.min() > 0 and column.max() >= 10 * column.min())


def _explained(places: np.ndarray, means: np.ndarray) -> float:
    """Return the share of the variance of means between five fifths of an axis."""
    fifth = np.minimum((5 * places).astype(int), 4)
    between = sum(
        (fifth == k).sum() * (means[fifth == k].mean() - means.mean()) ** 2 for k in {*fifth}
    )
    return float(between / max(((means - means.mean()) ** 2).sum(), 1e-12))


def _is_number(settings: list[dict[str, Any]], name: str) -> bool:
    values = [setting[name] for setting in settings]
    number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return number and len({*values}) > 1


def _means(rows: np.ndarray) -> np.ndarray:
    return np.ma.masked_invalid(rows).mean(axis=0)


def _short(name: str) -> str:
    return name.rpartition(".")[2]
