"""Double DQN, PQN and PPO on three mazes and on CartPole, by environment steps and by seconds.

    python benchmarks/methods.py

Each task is one ``jaxdqn compare`` of the shipped settings of the three methods, with the same
seeds and as many environment steps. A score is the mean along training of success, on CartPole of
the greedy return: along all steps, and along the seconds that the quickest of the three took, all
seeds trained together, evaluations counted in and compilation left out.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from jaxdqn.parallel import devices

devices.use_cores()

import harness  # noqa: E402  (after the devices are set)
import jax  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

import jaxdqn  # noqa: E402
from jaxdqn import Config, statistics  # noqa: E402
from jaxdqn.commands import compare  # noqa: E402
from jaxdqn.config import scaled, to_toml  # noqa: E402
from jaxdqn.plots.style import BLUE, GREEN, ORANGE, along_steps, plain  # noqa: E402

MAZE = {"Double DQN": "maze", "PQN": "pqn", "PPO": "ppo"}
POLE = {"Double DQN": "cartpole", "PQN": "pqn_cartpole", "PPO": "ppo_cartpole"}
TASKS: dict[str, tuple[dict[str, str], str, int, dict[str, Any]]] = {
    "maze": (MAZE, "success", 102_400, {}),
    "noisy rewards": (MAZE, "success", 102_400, {"env_params": {"reward_noise": 0.5}}),
    "slippery": (MAZE, "success", 102_400, {"env_params": {"slip": 0.2}, "eval_episodes": 8}),
    "CartPole": (POLE, "eval_return", 409_600, {}),
}
"""Shipped settings of each method, what is measured, environment steps, and what is changed."""
COLOURS = {"Double DQN": BLUE, "PQN": GREEN, "PPO": ORANGE}


def settings(task: str, quick: bool) -> dict[str, Config]:
    """Return what each method trains on a task."""
    files, _, steps, changes = TASKS[task]
    configs = {
        name: jaxdqn.load_config(harness.ROOT / "configs" / f"{file}.toml", **changes)
        .replace(total_steps=steps, evaluations=20)
        for name, file in files.items()
    }  # fmt: skip
    if quick:
        tiny = {"evaluations": 2, "eval_episodes": 1, "eval_steps": 10}
        configs = {name: scaled(config, 0.05).replace(**tiny) for name, config in configs.items()}
    return configs


def study(task: str, seeds: int, folder: Path, quick: bool) -> dict[str, Any]:
    """Compare the methods on one task by the command; return its figures and curves."""
    folder.mkdir(parents=True)
    measure, paths = TASKS[task][1], []
    for name, config in settings(task, quick).items():
        paths.append(str(folder / f"{name}.toml"))
        Path(paths[-1]).write_text(to_toml(config), encoding="utf-8")
    out, began = folder / "compared", time.perf_counter()
    compare.main([*paths, "--seeds", str(seeds), "--measure", measure, "--out", str(out)])
    seconds = time.perf_counter() - began
    found = json.loads((out / "comparison.json").read_text(encoding="utf-8"))["settings"]
    for entry in found.values():
        with np.load(out / f"{entry.pop('file')}.npz") as trained:
            curve = statistics.sample_efficiency(jax.random.key(0), trained[measure])
            entry["steps"] = trained["env_steps"][0].tolist()
            entry["curve"] = {part: np.round(getattr(curve, part), 5).tolist()
                              for part in ("value", "low", "high")}  # fmt: skip
            entry["final"] = float(trained[measure][:, -1].mean())
    return {"task": task, "measure": measure, "seconds": seconds, "methods": found}


def draw(tasks: list[dict[str, Any]], count: int) -> Figure:
    """Draw each task's measure along steps, and below along seconds."""
    figure = Figure(figsize=(1.0 + 3.4 * len(tasks), 6.2), layout="constrained")
    panels = figure.subplots(2, len(tasks), squeeze=False)
    for task, column in zip(tasks, panels.T, strict=True):
        for name, entry in task["methods"].items():
            for axes, at in zip(
                column, (entry["steps"], entry["by_seconds"]["along"]), strict=True
            ):
                low, middle, high = (entry["curve"][part] for part in ("low", "value", "high"))
                axes.plot(at, middle, color=COLOURS[name], linewidth=2, label=name)
                axes.fill_between(at, low, high, color=COLOURS[name], alpha=0.2, linewidth=0)
        column[0].set_title(task["task"], fontsize=10)
        along_steps(column[0])
        column[1].set_xlabel("seconds, all seeds together")
        column[1].set_xlim(0)
        for axes in column:
            plain(axes)
            axes.set_ylabel({"eval_return": "greedy return"}.get(task["measure"], task["measure"]))
    panels[0, 0].legend(frameon=False, loc="best")
    figure.suptitle(
        f"{count} seeds each: interquartile mean and its pointwise 95 % bootstrap interval",
        fontsize=10,
    )
    return figure


def main() -> None:
    """Print each comparison; write ``methods.json`` and ``methods.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--quick", action="store_true", help="a short training, for tests")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tasks = [study(task, options.seeds, Path(folder) / task, options.quick)
                 for task in options.tasks]  # fmt: skip
    path = harness.save("methods", {"seeds": options.seeds, "tasks": tasks}, options.out)
    draw(tasks, options.seeds).savefig(path.with_suffix(".png"), dpi=110)
    print(path)


if __name__ == "__main__":
    main()
