"""Does DQN overestimate, and does Double DQN less? Measured against exact values.

    python benchmarks/overestimation.py

Trains both on a maze with noisy rewards, the same seeds each, and compares ``q_bias``, the mean of
max Q - max Q* over all cells (van Hasselt et al., 2016, arXiv:1509.06461). Several sizes of noise
are tried and all are reported.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from jaxdqn.metrics import concatenate
from jaxdqn.parallel import devices

devices.use_cores()

import harness  # noqa: E402  (after the devices are set)
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import tables  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from jaxdqn import Config, statistics  # noqa: E402
from jaxdqn.parallel import seeds  # noqa: E402
from jaxdqn.plots.style import BLUE, ORANGE, along_steps, plain  # noqa: E402

COLOURS = {"DQN": ORANGE, "Double DQN": BLUE}


def settings(noise: float, double: bool, quick: bool) -> Config:
    """Return a 6×6 maze with random starts, whose values a small network can learn."""
    return Config(
        env_kwargs={"height": 6, "width": 6, "density": 0.2, "start": "random"},
        env_params={"reward_noise": noise, "max_steps_in_episode": 60},
        double=double,
        total_steps=2_080 if quick else 40_800,
        num_envs=8,
        warmup_steps=800,
        capacity=10_000,
        batch_size=32,
        widths=(64, 64),
        discount=0.95,
        learning_rate=1e-3,
        target_period=100,
        loss="squared",
        epsilon_steps=1_000 if quick else 10_000,
        epsilon_end=0.1,
        evaluations=4 if quick else 25,
        eval_episodes=1,
        eval_steps=30,
    )


def train(config: Config, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return environment steps ``[T]`` and the bias of each seed along training, ``[S, T]``."""
    rows = [row for _, row in seeds.train_in_periods(config, range(count)) if row is not None]
    metrics = concatenate(rows)
    assert metrics.q_bias is not None
    return np.asarray(metrics.env_steps)[0], np.asarray(metrics.q_bias)


def compare(noise: float, count: int, quick: bool) -> dict[str, Any]:
    """Train both agents on one size of noise; average the bias over all of training, and late."""
    curves = {}
    for name, double in (("DQN", False), ("Double DQN", True)):
        steps, curves[name] = train(settings(noise, double, quick), count)
    half = len(steps) // 2
    return {
        "noise": noise,
        "steps": steps.tolist(),
        "curves": {
            name: [statistics.summarise(column) for column in bias.T]
            for name, bias in curves.items()
        },
        "peak": {name: float(bias.mean(axis=0).max()) for name, bias in curves.items()},
        "all of training": difference(curves, slice(None)),
        "second half": difference(curves, slice(half, None)),
    }


def difference(curves: dict[str, np.ndarray], part: slice) -> dict[str, float]:
    """Return the paired difference, DQN minus Double DQN, of the bias averaged over a part."""
    each = (curves["DQN"] - curves["Double DQN"])[:, part].mean(axis=1)
    low, high = statistics.bootstrap_interval(
        jax.random.key(0), jnp.asarray(each), resamples=10_000
    )
    return {"mean": float(each.mean()), "low": float(low), "high": float(high)}


def draw(cases: list[dict[str, Any]], count: int) -> Figure:
    """Draw the bias along training, one panel per size of noise."""
    figure = Figure(figsize=(3.6 * len(cases), 3.6), layout="constrained")
    panels = figure.subplots(1, len(cases), squeeze=False, sharey=True)[0]
    for axes, case in zip(panels, cases, strict=True):
        for name, rows in case["curves"].items():
            axes.plot(case["steps"], [r["mean"] for r in rows], color=COLOURS[name], label=name)
            axes.fill_between(
                case["steps"], [r["low"] for r in rows], [r["high"] for r in rows],
                color=COLOURS[name], alpha=0.25, linewidth=0,
            )  # fmt: skip
        axes.axhline(0.0, color="black", linewidth=0.8)
        axes.set_title(f"reward ± {case['noise']:g}")
        along_steps(axes)
        plain(axes)
    panels[0].set_ylabel(r"overestimation  $\max_a Q_\theta - \max_a Q^*$")
    panels[0].legend(frameon=False)
    figure.suptitle(f"mean of {count} seeds and its 95 % bootstrap interval")
    return figure


def main() -> None:
    """Print the table; write ``overestimation.json`` and ``overestimation.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=64)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 1.0, 4.0])
    parser.add_argument("--quick", action="store_true", help="a short training, for tests")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    began = time.perf_counter()
    cases = [compare(noise, options.seeds, options.quick) for noise in options.noise]
    seconds = time.perf_counter() - began
    table = Table(title=f"overestimation, {options.seeds} seeds each, {seconds:.0f} s")
    columns = [f"peak of {name}" for name in COLOURS]
    for column in ("noise", *columns, "difference, all of training", "second half"):
        table.add_column(column, justify="right")
    for case in cases:
        table.add_row(
            f"± {case['noise']:g}",
            *(f"{case['peak'][name]:.2f}" for name in COLOURS),
            *(
                f"{part['mean']:.3f} [{part['low']:.3f}, {part['high']:.3f}]"
                for part in (case["all of training"], case["second half"])
            ),
        )
    Console().print(table)
    path = harness.save(
        "overestimation",
        {"seeds": options.seeds, "seconds": seconds, "cases": cases},
        options.out,
    )
    draw(cases, options.seeds).savefig(path.with_suffix(".png"), dpi=130)
    if not options.quick and options.out == harness.RESULTS:
        tables.main()
    print(path)


if __name__ == "__main__":
    main()
