"""Settings side by side: curves, intervals, performance profiles."""

from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdqn import statistics
from jaxdqn.errors import counted
from jaxdqn.plots.style import COLOURS, GREY, LINES, along_steps, plain, titled
from jaxdqn.runs import comparison
from jaxdqn.runs.comparison import Contender, Score

LETTERS = 60
"""Most letters of all names that stand among the curves, too."""
NAMED = 40
"""Most settings whose names stand beside their intervals."""
COUNTED: dict[Score, str] = {"mean": "mean along training", "final": "at the end"}


def compare(contenders: list[Contender], measure: str, score: Score) -> Figure:
    """Draw interquartile means with 95 % bootstrap intervals over seeds, and profiles.

    Of more contenders than there are colours the best are coloured, and all stand in their order.

    Args:
        contenders: two or more.
        measure: name of the measure.
        score: what of it counts for each seed, in the intervals and the profiles.
    """
    count, timed = len(contenders), comparison.common_seconds(contenders) is not None
    if count > len(COLOURS):
        contenders = _best_first(contenders, measure, score)
    figure = Figure(figsize=_size(contenders, timed), layout="constrained")
    widths = (1.5, 1.5, 1, 1) if timed else (1.5, 1, 1)
    along, *by_seconds, interval, profile = figure.subplots(1, len(widths), width_ratios=widths)
    steps = [np.asarray(contender.metrics.env_steps)[0] for contender in contenders]
    _draw_curves(along, contenders, steps, measure)
    for axes in by_seconds:
        _draw_curves(axes, contenders, [contender.along for contender in contenders], measure)
    samples = [comparison.scores(contender, measure, score) for contender in contenders]
    _draw_intervals(interval, samples)
    _draw_profiles(profile, samples, _best(measure))
    along.set_title("IQM and its pointwise 95 % bootstrap interval", fontsize=10)
    along_steps(along)
    along.set_ylabel(measure)
    for axes in by_seconds:
        axes.set_title("the same by time, compilation apart", fontsize=10)
        axes.set_xlabel("seconds of training, all seeds together")
    names = [contender.name for contender in contenders]
    if len("".join(names)) <= LETTERS:
        along.legend(frameon=False, loc="best", handlelength=3.5)
    elif count > NAMED:
        figure.legend(*along.get_legend_handles_labels(), frameon=False, fontsize=8,
                      loc="outside right upper", handlelength=3.5)  # fmt: skip
    if count <= NAMED:
        interval.set_yticks(range(1, count + 1), names, fontsize=_letters(count))
    else:
        interval.set_ylabel("place")
    for axes in (interval, profile):
        axes.set_xlabel(f"{measure},\n{COUNTED[score]}")
        axes.locator_params(axis="x", nbins=4)
    for axes in (along, *by_seconds, interval, profile):
        plain(axes)
    figure.suptitle(_said(contenders, measure))
    return figure


def _best_first(contenders: list[Contender], measure: str, score: Score) -> list[Contender]:
    """Return contenders by their interquartile means; those never measured come last."""
    sign = 1 if comparison.lower_is_better(measure) else -1
    middles = [statistics.iqm(comparison.scores(each, measure, score)) for each in contenders]
    order = np.argsort(sign * comparison.sized(measure, np.array(middles)), stable=True)
    return [contenders[place] for place in order]


def _size(contenders: list[Contender], timed: bool) -> tuple[float, float]:
    """Return the width and the height that names need, in inches."""
    count = len(contenders)
    longest = max(len(contender.name) for contender in contenders)
    width = (16 if timed else 12) + max(0.0, longest * _letters(count) / 120 - 1)
    return width, max(3.9, 1.6 + 0.2 * count) if count <= NAMED else 6.0


def _letters(count: int) -> int:
    """Return the size of letters in which so many names go below each other."""
    return 10 if count <= len(COLOURS) else 8


def _said(contenders: list[Contender], measure: str) -> str:
    *few, most = sorted({len(contender.seeds) for contender in contenders})
    said = f"{titled(measure)}, {' or '.join([*map(str, few), counted(most, 'seed')])} each"
    if (count := len(contenders)) > len(COLOURS):
        said += f"; the best {len(COLOURS)} of {count} in colour"
    return said


def _style(place: int) -> dict[str, Any]:
    """Return how lines of a contender are drawn: those without a colour thin, below the others."""
    if place < len(COLOURS):
        return {"color": COLOURS[place], "linestyle": LINES[place], "linewidth": 2.0}
    return {"color": GREY, "linewidth": 0.8, "alpha": 0.35, "zorder": 1.5}


def _draw_curves(axes: Axes, contenders: list[Contender], along: list[Any], measure: str) -> None:
    clear = 0.2 if len(contenders) <= len(COLOURS) else 0.1
    for place, (contender, at) in enumerate(zip(contenders, along, strict=True)):
        rows = comparison.curves(contender, measure)
        curve = jax.device_get(statistics.sample_efficiency(jax.random.key(0), rows))
        name = contender.name if place < len(COLOURS) else None
        axes.plot(at, curve.value, label=name, **_style(place))
        if name is not None:
            axes.fill_between(
                at, curve.low, curve.high, color=COLOURS[place], alpha=clear, linewidth=0
            )


def _draw_intervals(axes: Axes, samples: list[np.ndarray]) -> None:
    thick, said = min(9.0, 200 / len(samples)), "IQM and its 95 % interval"
    for place, values in enumerate(samples, 1):
        colour = _style(place - 1)["color"]
        low, high = statistics.bootstrap_interval(jax.random.key(0), values, statistics.iqm)
        middle = statistics.iqm(values)
        axes.plot([low, high], [place, place], color=colour, linewidth=thick, alpha=0.35,
                  solid_capstyle="butt")  # fmt: skip
        if low < high:
            axes.plot([middle, middle], [place - 0.22, place + 0.22], color=colour, linewidth=2.5)
        else:
            said = "IQM and its 95 % interval\n(open: spread not known)"
            axes.plot(middle, place, "o", color=colour, markerfacecolor="white")
    axes.set_ylim(len(samples) + 0.5, 0.5)
    axes.set_title(said, fontsize=10)


def _best(measure: str) -> str:
    """Return a cue where more isn't better."""
    if not comparison.lower_is_better(measure):
        return ""
    return "\n(best at 0)" if comparison.is_bias(measure) else "\n(less is better)"


def _draw_profiles(axes: Axes, samples: list[np.ndarray], cue: str) -> None:
    scores = np.concatenate(samples)
    measured = scores[np.isfinite(scores)]
    low, high = (measured.min(), measured.max()) if len(measured) else (0.0, 1.0)
    thresholds = np.linspace(low, high, 101)
    for place, values in enumerate(samples):
        share = statistics.performance_profile(values, thresholds)
        axes.plot(thresholds, share, drawstyle="steps-post", **_style(place))
    axes.set_ylim(-0.03, 1.03)
    axes.set_title(f"share of seeds above a value{cue}", fontsize=10)
