"""What does each step from Double DQN to Rainbow bring? One added, and one left out, at a time.

    python benchmarks/rainbow.py

Trains Double DQN, it with each addition alone, Rainbow, and Rainbow without each (Hessel et al.,
2018, arXiv:1710.02298) on four mazes and on CartPole, with the same seeds. Additions are compared
with Double DQN and omissions with Rainbow, seed by seed: the score is the mean along training of
success (on CartPole, of the greedy return over 500), with the 95 % bootstrap interval of the mean
difference.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from jaxdqn.metrics import Metrics, concatenate
from jaxdqn.parallel import devices

devices.use_cores()

import harness  # noqa: E402  (after the devices are set)
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

import jaxdqn  # noqa: E402
from jaxdqn import Config, statistics  # noqa: E402
from jaxdqn.config import scaled  # noqa: E402
from jaxdqn.parallel import seeds  # noqa: E402

matplotlib.use("Agg")

SERPENTINE = """
S........
########.
.........
.########
.........
########.
G........
"""
TASKS: dict[str, dict[str, Any]] = {
    "maze": {},
    "serpentine": {"env_kwargs": {"generator": "layout", "layout": SERPENTINE}},
    "noisy rewards": {"env_params": {"reward_noise": 2.0}},
    "slippery": {"env_params": {"slip": 0.2}},
    "CartPole": {},
}
RETURNS = {"noisy rewards": (-10.0, 20.0), "CartPole": (0.0, 100.0)}
"""Least and greatest of categorical heads, where these aren't 0 and 10."""
ADDITIONS: dict[str, dict[str, Any]] = {
    "n-step": {"n_step": 3},
    "prioritised": {"replay": "prioritised"},
    "dueling": {"dueling": True},
    "noisy": {"noisy": True},
    "categorical": {"head": "categorical"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "quantile": {"head": "quantile"},
    "implicit quantile": {"head": "implicit_quantile"},
    "Munchausen": {"bootstrap": "munchausen", "double": False},
}
"""Steps that Rainbow doesn't take."""
MEASURES = ("success", "regret", "q_bias", "eval_return")


def methods() -> dict[str, tuple[dict[str, Any], str]]:
    """Return the words of each method, and the name of that which it is compared with."""
    rainbow = {word: value for words in ADDITIONS.values() for word, value in words.items()}
    found: dict[str, tuple[dict[str, Any], str]] = {"Double DQN": ({}, "")}
    for name, words in {**ADDITIONS, **OTHERS}.items():
        found[f"+ {name}"] = (words, "Double DQN")
    found["Rainbow"] = (rainbow, "Double DQN")
    found["− double"] = ({**rainbow, "double": False}, "Rainbow")
    for name, words in ADDITIONS.items():
        rest = {word: value for word, value in rainbow.items() if word not in words}
        found[f"− {name}"] = (rest, "Rainbow")
    return found


def settings(task: str, words: dict[str, Any], scale: float, quick: bool) -> Config:
    """Return the settings of a method on a task: those of the shipped file but for the words."""
    name = "cartpole" if task == "CartPole" else "maze"
    config = jaxdqn.load_config(harness.ROOT / "configs" / f"{name}.toml", **TASKS[task])
    config = scaled(config, scale / 4 if task == "CartPole" else scale).replace(**words)
    if config.head == "categorical":
        low, high = RETURNS.get(task, (0.0, 10.0))
        config = config.replace(v_min=low, v_max=high)
    if quick:
        config = scaled(config, 0.02).replace(evaluations=2, eval_episodes=1, eval_steps=10)
    return config


def train(config: Config, count: int) -> Metrics:
    """Return the metrics of all seeds, leaves ``[S, T]``."""
    rows = [row for _, row in seeds.train_in_periods(config, range(count)) if row is not None]
    return concatenate(rows)


def score(metrics: Metrics) -> np.ndarray:
    """Return one number for each seed, ``[S]``, from 0 to 1."""
    along = metrics.eval_return / 500 if metrics.success is None else metrics.success
    return np.asarray(along).mean(axis=1)


def study(task: str, names: list[str], count: int, scale: float, quick: bool) -> dict[str, Any]:
    """Train all methods on one task and compare them."""
    scores, rows = {}, {}
    for name in names:
        words, versus = methods()[name]
        began = time.perf_counter()
        metrics = train(settings(task, words, scale, quick), count)
        scores[name] = score(metrics)
        rows[name] = {
            "versus": versus if versus in names else "",
            "seconds": time.perf_counter() - began,
            "score": statistics.summarise(scores[name]),
            "final": {
                measure: statistics.summarise(np.asarray(values)[:, -1])
                for measure in MEASURES
                if (values := getattr(metrics, measure)) is not None
            },
        }
        if rows[name]["versus"]:
            each = scores[name] - scores[versus]
            low, high = statistics.bootstrap_interval(jax.random.key(0), jnp.asarray(each))
            rows[name]["difference"] = {
                "mean": float(each.mean()), "low": float(low), "high": float(high),
            }  # fmt: skip
        print(f"{task}: {name}, {rows[name]['seconds']:.0f} s", flush=True)
    return {"task": task, "methods": rows}


def draw(tasks: list[dict[str, Any]], count: int) -> Figure:
    """Draw the differences with their intervals, one panel for each task."""
    compared = [name for name, row in tasks[0]["methods"].items() if row["versus"]]
    figure = Figure(figsize=(2.2 + 2.6 * len(tasks), 0.34 * len(compared) + 1.4),
                    layout="constrained")  # fmt: skip
    panels = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    for axes, task in zip(panels, tasks, strict=True):
        for place, name in enumerate(compared):
            row = task["methods"][name]
            found = row["difference"]
            colour = "#0072b2" if row["versus"] == "Double DQN" else "#d55e00"
            axes.plot([found["low"], found["high"]], [place, place], color=colour, linewidth=6,
                      alpha=0.4, solid_capstyle="butt")  # fmt: skip
            axes.plot([found["mean"]], [place], "o", color=colour, markersize=4)
        axes.axvline(0.0, color="black", linewidth=0.8)
        axes.set_title(task["task"], fontsize=10)
        axes.set_xlabel("difference of scores", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(compared)), compared)
    panels[0].set_ylim(len(compared) - 0.5, -0.5)
    figure.suptitle(
        f"+ beside Double DQN, − beside Rainbow: {count} paired seeds, 95 % intervals", fontsize=10
    )
    return figure


def show(task: dict[str, Any]) -> None:
    """Print the table of one task."""
    rows = []
    for name, row in task["methods"].items():
        found = row.get("difference")
        said = "established" if found and (found["low"] > 0 or found["high"] < 0) else ""
        rows.append([
            name,
            f"{row['score']['mean']:.3f} [{row['score']['low']:.3f}, {row['score']['high']:.3f}]",
            f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]" if found else "",
            said,
            *(f"{row['final'][m]['mean']:.3g}" if m in row["final"] else "" for m in MEASURES),
            f"{row['seconds']:.0f}",
        ])  # fmt: skip
    columns = ["method", "score", "difference", "", *(f"final {m}" for m in MEASURES), "s"]
    harness.show(task["task"], columns, rows)


def main() -> None:
    """Print the tables; write ``rainbow.json`` and ``rainbow.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--methods", nargs="+", default=list(methods()), choices=list(methods()))
    parser.add_argument("--scale", type=float, default=0.5, help="of the mazes' 100,000 steps")
    parser.add_argument("--quick", action="store_true", help="a short training, for tests")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    began = time.perf_counter()
    tasks = []
    for task in options.tasks:
        how = (options.methods, options.seeds, options.scale, options.quick)
        tasks.append(study(task, *how))
        show(tasks[-1])
    seconds = time.perf_counter() - began
    result = {
        "seeds": options.seeds, "scale": options.scale, "seconds": seconds, "tasks": tasks,
    }  # fmt: skip
    path = harness.save("rainbow", result, options.out)
    draw(tasks, options.seeds).savefig(path.with_suffix(".png"), dpi=130)
    print(path)


if __name__ == "__main__":
    main()
