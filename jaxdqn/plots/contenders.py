"""Settings side by side: curves, intervals, performance profiles."""

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdqn import statistics
from jaxdqn.plots.curves import TITLES, short_steps
from jaxdqn.runs import comparison
from jaxdqn.runs.comparison import Contender, Score

# Okabe and Ito (2008), in an order that stays apart also in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def compare(contenders: list[Contender], measure: str, score: Score) -> Figure:
    """Draw interquartile means with 95 % bootstrap intervals over seeds, and profiles.

    Args:
        contenders: two or more.
        measure: name of the measure.
        score: what of it counts for each seed, in the intervals and the profiles.
    """
    timed = comparison.common_seconds(contenders) is not None
    figure = Figure(figsize=(16 if timed else 12, 3.9), layout="constrained")
    widths = (1.5, 1.5, 1, 1) if timed else (1.5, 1, 1)
    along, *by_seconds, interval, profile = figure.subplots(1, len(widths), width_ratios=widths)
    name = TITLES.get(measure.removeprefix("held_out_"), measure)
    held_out = " on held-out levels" if measure.startswith("held_out_") else ""
    what = {"mean": "mean along training", "final": "at the end"}[score]
    samples = [comparison.scores(contender, measure, score) for contender in contenders]
    measured = np.concatenate(samples)[~np.isnan(np.concatenate(samples))]
    thresholds = np.linspace(measured.min(), measured.max(), 101)
    for index, (contender, values) in enumerate(zip(contenders, samples, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        steps = np.asarray(contender.metrics.env_steps)[0]
        _draw_curve(along, contender, steps, measure, colour)
        for axes in by_seconds:
            assert contender.along is not None
            _draw_curve(axes, contender, contender.along, measure, colour)
        low, high = statistics.bootstrap_interval(jax.random.key(0), values, statistics.iqm)
        middle = statistics.iqm(values)
        interval.plot([low, high], [index, index], color=colour, linewidth=9, alpha=0.35,
                      solid_capstyle="butt")  # fmt: skip
        interval.plot([middle, middle], [index - 0.22, index + 0.22], color=colour, linewidth=2.5)
        share = statistics.performance_profile(values, thresholds)
        profile.plot(thresholds, share, color=colour, linewidth=2, drawstyle="steps-post")
    along.set_title(f"{name}{held_out}", fontsize=10)
    along.set_xlabel("environment steps")
    along.xaxis.set_major_formatter(short_steps)
    along.legend(frameon=False, loc="best")
    for axes in by_seconds:
        axes.set_title("the same by time, compilation apart", fontsize=10)
        axes.set_xlabel("seconds of training, all seeds together")
    interval.set_yticks(range(len(contenders)), [contender.name for contender in contenders])
    interval.set_ylim(len(contenders) - 0.5, -0.5)
    interval.set_title("IQM and its 95 % interval", fontsize=10)
    interval.set_xlabel(what)
    profile.set_title("share of seeds above a value", fontsize=10)
    profile.set_xlabel(what)
    profile.set_ylim(-0.03, 1.03)
    for axes in (along, *by_seconds, interval, profile):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    counts = " and ".join(sorted({str(len(contender.seeds)) for contender in contenders}))
    figure.suptitle(f"{counts} seeds each; band: pointwise 95 % bootstrap interval of the IQM")
    return figure


def _draw_curve(
    axes: Axes, contender: Contender, at: np.ndarray, measure: str, colour: str
) -> None:
    scores = comparison.curves(contender, measure)
    curve = jax.device_get(statistics.sample_efficiency(jax.random.key(0), scores))
    axes.plot(at, curve.value, color=colour, linewidth=2, label=contender.name)
    axes.fill_between(at, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
