"""What all figures have in common: colours, titles of measures, axes without a frame."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdqn.runs import folder

# Okabe and Ito (2008), in an order that stays apart also in grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK = COLOURS
GREY = "#555555"
LINES: tuple[Any, ...] = (
    "-", "--", "-.", ":", (0, (7, 1.5, 1, 1.5, 1, 1.5)), (0, (8, 3)), (0, (3, 1)),
)  # fmt: skip
"""One for each colour, so that curves are told apart in grey."""
TITLES = {
    "success": "success rate (greedy)",
    "eval_return": "return (greedy)",
    "eval_length": "steps to the end (greedy)",
    "episode_return": "return (exploring)",
    "regret": "regret: value lost at the start",
    "q_error": r"error of Q: RMS of $Q_\theta - Q^*$",
    "return_distance": r"distance of learned from true returns, $W_1$ at the start",
    "q_bias": r"bias of Q: mean of $\max Q_\theta - \max Q^*$",
    "policy_regret": "regret of the policy's own chances",
    "value_error": r"error of V: RMS of $V_\theta - V^\pi$",
    "loss": "loss",
    "q_mean": "mean value of what is learned from",
}


@contextlib.contextmanager
def as_everywhere() -> Iterator[None]:
    """Draw and write pictures as on every machine, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def titled(measure: str) -> str:
    """Return what a measure is called, held out or not."""
    held_out = " on held-out levels" if measure.startswith("held_out_") else ""
    return TITLES.get(measure.removeprefix("held_out_"), measure) + held_out


def plain(axes: Axes) -> None:
    """Draw a faint grid, and a line at the left and at the bottom alone."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def along_steps(axes: Axes, what: str = "environment steps") -> None:
    """Write counts along the lower axis, 300 k or 3 M, with room between them."""
    axes.set_xlabel(what)
    axes.xaxis.set_major_formatter(_short)
    axes.locator_params(axis="x", nbins=7)


def _short(steps: float, _: float) -> str:
    if steps >= 1e6:
        return f"{steps / 1e6:g} M"
    return f"{steps / 1e3:g} k" if abs(steps) >= 1e3 else f"{steps:g}"


def save(figure: Figure, path: Path, dpi: int = 120) -> None:
    """Write a picture of the kind that its name ends in.

    Raises:
        ConfigError: it can't be written; what was there before stays.
    """
    with folder.writing(path) as draft:
        figure.savefig(draft, format=path.suffix.removeprefix("."), dpi=dpi)
