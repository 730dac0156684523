"""What does each step from Double DQN to Rainbow bring? One added, and one left out, at a time.

    python benchmarks/rainbow.py
    python benchmarks/rainbow.py --minutes 9  # begin no more after nine; the same again goes on

Trains Double DQN, it with each addition alone, Rainbow, and Rainbow without each (Hessel et al.,
2018, arXiv:1710.02298) on four mazes and on CartPole, with the same seeds. Additions are compared
with Double DQN and omissions with Rainbow, seed by seed, by means along training: of the score,
which is success (on CartPole the greedy return over 500), and on mazes of regret and of bias.

What is trained is kept in ``--raw``, a file for each task, method and block of seeds, and trained
once: it is asked for by its settings and the package's code, so that changed ones train anew. Each
core has a process of its own, which trains one method at a time, so that some train while others
compile.
"""

import argparse
import hashlib
import itertools
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from jaxdqn.parallel import devices

if multiprocessing.parent_process() is not None:
    # Before what follows starts JAX.
    devices.use_cores(1)

import harness
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import jaxdqn
from jaxdqn import Config, metrics, statistics
from jaxdqn.config import scaled, to_toml
from jaxdqn.parallel import seeds
from jaxdqn.plots.style import BLUE, GREY, ORANGE, along_steps, plain

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
    # What differs between three of these is set in each, so that one program trains them all.
    "maze": {"env_params": {"reward_noise": 0.0, "slip": 0.0}},
    "serpentine": {"env_kwargs": {"generator": "layout", "layout": SERPENTINE}},
    "noisy rewards": {"env_params": {"reward_noise": 0.5, "slip": 0.0}},
    "slippery": {"env_params": {"reward_noise": 0.0, "slip": 0.2}},
    # Returns of more than one step are an addition, too.
    "CartPole": {
        "total_steps": 450_000, "epsilon_steps": 75_000, "n_step": 1, "learning_rate": 1e-3,
    },
}  # fmt: skip
RETURNS = {"noisy rewards": (-5.0, 15.0), "CartPole": (0.0, 100.0)}
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
    # As many as its authors found to be enough; 32 take four times as long.
    "implicit quantile": {"head": "implicit_quantile", "fractions": 8},
    "Munchausen": {"bootstrap": "munchausen", "double": False},
}
"""Steps that Rainbow doesn't take."""
ONE_NOISE = "Rainbow, one noise"
"""Rainbow with one draw of noise for all environments that act: trained only where it is named."""
MEASURES = {"score": "score", "regret": "regret", "q_bias": "bias of values"}
BETTER = {"score": " (better →)", "regret": " (← better)"}
BLOCK = 8
"""Seeds of one file."""


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
    found[ONE_NOISE] = ({**rainbow, "shared_noise": True}, "Rainbow")
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


def cell(config: Config, block: range, raw: Path, wait: bool) -> dict[str, np.ndarray] | None:
    """Return the measures of a block of seeds, ``[S, T]`` each, and processor time ``[]``.

    Args:
        config: the settings.
        block: the seeds.
        raw: folder of what is trained already.
        wait: train it if it isn't; else None is returned.
    """
    asked = "\n".join([*sorted(to_toml(config).splitlines()), str(block)])
    path = raw / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.npz"
    if path.exists():
        with np.load(path) as kept:
            return dict(kept)
    if not wait:
        return None
    began = time.process_time()
    rows = [row for _, row in seeds.train_in_periods(config, block) if row is not None]
    found = metrics.to_arrays(metrics.concatenate(rows))
    along = found["eval_return"] / 500 if "success" not in found else found["success"]
    kept = {name: found[name] for name in (*MEASURES, "env_steps") if name in found}
    kept |= {"score": along, "seconds": np.float32(time.process_time() - began)}
    raw.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=raw, suffix=".tmp", delete=False) as draft:
        np.savez(draft, **kept)
    Path(draft.name).replace(path)
    return kept


def collect(options: argparse.Namespace, raw: Path) -> dict[tuple[str, str], Any]:
    """Train what is missing until time is up; return what is whole, by task and method."""
    end = time.time() + 60 * options.minutes
    # The tasks of one environment share programs. Those that take longest come first, so that the
    # processes end together.
    mazes = [task for task in options.tasks if task != "CartPole"]
    groups = [mazes, [task for task in options.tasks if task not in mazes]]
    work = [
        (options, raw, tasks, name, end)
        for name in reversed(options.methods) for tasks in groups if tasks
    ]  # fmt: skip
    if jax.default_backend() == "cpu":
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.cores, fresh) as pool:
            found = list(pool.map(train, *zip(*work, strict=True)))
    else:
        found = [train(*piece) for piece in work]
    parts = {key: cells for some in found for key, cells in some.items()}
    count = len(blocks(options))
    if missing := sum(count - len(cells) for cells in parts.values()):
        print(f"{missing} pieces are missing: the same command goes on.")
    return {
        (task, name): _joined(parts[task, name])
        for task in options.tasks for name in options.methods if len(parts[task, name]) == count
    }  # fmt: skip


def blocks(options: argparse.Namespace) -> list[range]:
    """Return the seeds of each file."""
    starts = range(0, options.seeds, BLOCK)
    return [range(first, min(first + BLOCK, options.seeds)) for first in starts]


def train(
    options: argparse.Namespace, raw: Path, tasks: list[str], name: str, end: float
) -> dict[tuple[str, str], list[dict[str, np.ndarray]]]:
    """Train a method on tasks, beginning no more after ``end``; return what there is of each."""
    devices.keep_programs()
    parts: dict[tuple[str, str], list[Any]] = {(task, name): [] for task in tasks}
    for block in blocks(options):
        for task in tasks:
            config = settings(task, methods()[name][0], options.scale, options.quick)
            part = cell(config, block, raw, time.time() < end)
            if part is not None:
                parts[task, name].append(part)
                print(f"{block}, {task}, {name}: {part['seconds']:.0f} s", flush=True)
    return parts


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    seconds = float(sum(part["seconds"] for part in parts))
    names = set(parts[0]) - {"seconds"}
    return {name: np.concatenate([part[name] for part in parts]) for name in names} | {
        "seconds": seconds
    }


def interval(values: np.ndarray) -> dict[str, float]:
    """Return the mean of one number per seed, ``[S]``, and its 95 % bootstrap interval."""
    low, high = statistics.bootstrap_interval(jax.random.key(0), jnp.asarray(values))
    found = {"mean": float(values.mean()), "low": float(low), "high": float(high)}
    return {name: round(value, 5) for name, value in found.items()}


def study(task: str, names: list[str], cells: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """Compare all methods on one task."""
    rows = {}
    for name in names:
        versus = methods()[name][1]
        found, other = cells.get((task, name)), cells.get((task, versus))
        if found is None:
            continue
        measured = [measure for measure in MEASURES if measure in found]
        along = {measure: found[measure].mean(axis=1) for measure in measured}
        rows[name] = {
            "versus": versus if other else "",
            "seconds": found["seconds"],
            "along": {measure: interval(values) for measure, values in along.items()},
            "final": {measure: interval(found[measure][:, -1]) for measure in measured},
            "curve": [interval(column) for column in found["score"].T],
        }
        if other:
            rows[name]["difference"] = {
                measure: interval(values - other[measure].mean(axis=1))
                for measure, values in along.items()
            }
    steps = next(found["env_steps"][0] for (of, _), found in cells.items() if of == task)
    return {"task": task, "steps": steps.tolist(), "methods": rows}


COLOURS = {"": BLUE, "Double DQN": BLUE, "Rainbow": ORANGE}


def draw(tasks: list[dict[str, Any]], count: int) -> Figure:
    """Draw scores along training, and below them differences with their intervals."""
    there = {name for task in tasks for name, row in task["methods"].items() if row["versus"]}
    compared = [name for name in methods() if name in there]
    figure = Figure(figsize=(1.8 + 2.5 * len(tasks), 2.7 + 3 * (0.2 * len(compared) + 0.8)),
                    layout="constrained")  # fmt: skip
    heights = [2.3, *[0.2 * len(compared) + 0.5] * len(MEASURES)]
    panels = figure.subplots(
        1 + len(MEASURES), len(tasks), squeeze=False, sharey="row", height_ratios=heights
    )
    for task, column in zip(tasks, panels.T, strict=True):
        _draw_curves(column[0], task)
        for axes, measure in zip(column[1:], MEASURES, strict=True):
            _draw_differences(axes, task, compared, measure)
    panels[0, 0].set_ylabel("score (success;\nCartPole: return / 500)", fontsize=8)
    panels[0, 0].plot([], [], color="#bbbbbb", linewidth=0.8, label="all others")
    panels[0, 0].legend(frameon=False, fontsize=8)
    for axes in panels[1:, 0]:
        axes.set_yticks(range(len(compared)), compared, fontsize=8)
        axes.set_ylim(len(compared) - 0.5, -0.5)
    figure.suptitle(
        f"{count} paired seeds. Top: along training. Below: differences of means along training, "
        "95 % intervals,\nfrom Double DQN (blue: one part more) and from Rainbow (orange: one part "
        "less); pale and open where 0 is inside", fontsize=11,
    )  # fmt: skip
    return figure


def _draw_curves(axes: Any, task: dict[str, Any]) -> None:
    for name, row in task["methods"].items():
        middle = [point["mean"] for point in row["curve"]]
        bold = {"Double DQN": COLOURS["Double DQN"], "Rainbow": COLOURS["Rainbow"]}.get(name)
        axes.plot(task["steps"], middle, color=bold or "#bbbbbb", linewidth=2 if bold else 0.8,
                  zorder=2 if bold else 1, label=name if bold else None)  # fmt: skip
        if bold:
            low, high = ([point[end] for point in row["curve"]] for end in ("low", "high"))
            axes.fill_between(task["steps"], low, high, color=bold, alpha=0.25, linewidth=0)
    axes.set_title(task["task"], fontsize=10)
    along_steps(axes)
    axes.tick_params(labelsize=8)
    plain(axes)


def _draw_differences(axes: Any, task: dict[str, Any], names: list[str], measure: str) -> None:
    rows = {place: task["methods"].get(name) for place, name in enumerate(names)}
    shown = {place: row for place, row in rows.items() if row and "difference" in row}
    if not any(measure in row["difference"] for row in shown.values()):
        axes.set_visible(False)
        return
    for place, row in shown.items():
        found, colour = row["difference"][measure], COLOURS[row["versus"]]
        low, high = found["low"], found["high"]
        is_told_apart = low > 0 or high < 0
        axes.plot([low, high], [place, place], color=colour, linewidth=6,
                  alpha=0.55 if is_told_apart else 0.2, solid_capstyle="butt")  # fmt: skip
        axes.plot(found["mean"], place, "o", color=colour, markersize=4,
                  markerfacecolor=colour if is_told_apart else "white")  # fmt: skip
    axes.axvline(0.0, color="black", linewidth=0.8)
    for above, below in itertools.pairwise(sorted(shown)):
        if shown[above]["versus"] != shown[below]["versus"]:
            axes.axhline(below - 0.5, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xlabel(f"difference of {MEASURES[measure]}{BETTER.get(measure, '')}", fontsize=8)
    axes.tick_params(labelsize=8)
    plain(axes)


def show(task: dict[str, Any]) -> None:
    """Print the table of one task."""

    def say(found: dict[str, float] | None) -> str:
        if not found:
            return ""
        return f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"

    rows = [
        [name, say(row["along"]["score"])]
        + [say(row.get("difference", {}).get(measure)) for measure in MEASURES]
        + [say(row["final"]["score"]), f"{row['seconds']:.0f}"]
        for name, row in task["methods"].items()
    ]
    differences = [f"difference of {said}" for said in MEASURES.values()]
    harness.show(task["task"], ["method", "score", *differences, "final score", "s"], rows)


def main() -> None:
    """Print the tables; write ``rainbow.json`` and ``rainbow.png``, or another JSON file alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=devices.usable_cores(), help="CPU processes")
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    steps = [name for name in methods() if name != ONE_NOISE]
    parser.add_argument("--methods", nargs="+", default=steps, choices=list(methods()))
    parser.add_argument("--scale", type=float, default=0.5, help="of the mazes' 100,000 steps")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="then begin no more")
    parser.add_argument("--quick", action="store_true", help="a short training, for tests")
    parser.add_argument("--raw", type=Path, help="folder of what is trained, runs/rainbow")
    parser.add_argument("--name", default="rainbow", help="of the JSON file")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    usual = options.out / "raw" if options.quick else harness.ROOT / "runs" / "rainbow"
    cells = collect(options, (options.raw or usual) / harness.code())
    if not cells:
        return
    begun = [task for task in options.tasks if any(of == task for of, _ in cells)]
    tasks = [study(task, options.methods, cells) for task in begun]
    for task in tasks:
        show(task)
    seconds = sum(found["seconds"] for found in cells.values())
    missing = len(options.tasks) * len(options.methods) - len(cells)
    result = {
        "seeds": options.seeds, "scale": options.scale, "seconds": seconds, "missing": missing,
        "tasks": tasks,
    }  # fmt: skip
    path = harness.save(options.name, result, options.out)
    if options.name == "rainbow":
        draw(tasks, options.seeds).savefig(path.with_suffix(".png"), dpi=110)
    print(path)


if __name__ == "__main__":
    main()
