"""Is what a network that plans learns in small mazes good for larger ones, and for other kinds?

    python benchmarks/larger_mazes.py

Trains ``configs/planning.toml``, on corridors of 7×7, and walks from corner to corner through mazes
that nobody trained on, by the same weights and as many rounds of value iteration as the longest way
has cells.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from jaxdqn.parallel import devices

devices.use_cores()

import harness  # noqa: E402  (after the devices are set)
import jax  # noqa: E402
import numpy as np  # noqa: E402
import tables  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from jaxdqn import Config, environment, evaluate, load_config, maze, statistics  # noqa: E402
from jaxdqn.config import scaled  # noqa: E402
from jaxdqn.parallel import seeds  # noqa: E402
from jaxdqn.plots import mazes  # noqa: E402

KINDS = [("corridors", 7), ("corridors", 13), ("corridors", 25), ("braid", 25), ("rooms", 25),
         ("scatter", 25)]  # fmt: skip
"""Generators and sizes that are walked."""
MAZES = 64
DRAWN = [0, 2, 4, 5]
"""Which of them are drawn."""


def train(config: Config, count: int) -> tuple[Any, float]:
    """Return the parameters of each seed, leaves ``[S, ...]``, and the seconds that it took."""
    began = time.perf_counter()
    for state, _ in seeds.train_in_periods(config, range(count)):
        last = state
    params = jax.tree.map(np.asarray, last.agent.params)
    return params, time.perf_counter() - began


def elsewhere(config: Config, generator: str, size: int, count: int) -> tuple[Config, int]:
    """Return settings of other mazes, and the moves of the longest of their shortest paths."""
    kwargs = {
        "height": size, "width": size, "generator": generator, "observation": "planes",
        "num_levels": 1, "num_held_out": count, "level_seed": 1,
    }  # fmt: skip
    other = config.replace(env_kwargs=kwargs, eval_episodes=count, oracle_levels=1)
    _, env_params = environment.make(other)
    bank = env_params.held_out
    longest = max(maze.shortest_path(maze.level(bank, index)) for index in range(count))
    # The walk may be half as long again; a plan sees the whole of the longest way.
    steps = longest + longest // 2
    limit = {"max_steps_in_episode": steps + 1}
    return other.replace(rounds=longest, eval_steps=steps, env_params=limit), longest


def judge(params: Any, config: Config) -> dict[str, Any]:
    """Walk greedily through every maze by the network of every seed."""
    found = jax.vmap(evaluate, (None, 0, None))(config, params, jax.random.key(0)).held_out
    success, spl = np.asarray(found.success), np.asarray(found.spl)
    return {
        "success": statistics.summarise(success),
        "spl": statistics.summarise(spl),
        "success of each seed": success.tolist(),
    }


def draw(params: Any, cases: list[Config], titles: list[str]) -> Figure:
    """Draw the way of the first seed through the first maze of each kind."""
    one = jax.tree.map(lambda x: x[0], params)
    figure = Figure(figsize=(4.2 * len(cases), 4.6), layout="constrained")
    for axes, config, title in zip(figure.subplots(1, len(cases)), cases, titles, strict=True):
        mazes.draw_walk(axes, mazes.walk_unseen(config, one), 0)
        axes.set_title(f"{title}: {axes.get_title()}")
    figure.suptitle("walked by one network, trained on the first kind alone")
    return figure


def main() -> None:
    """Print what is found; write ``larger_mazes.json`` and ``larger_mazes.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="a short training, for tests")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    config = load_config(harness.ROOT / "configs" / "planning.toml")
    kinds, count = ([*KINDS[:1], ("scatter", 9)], 4) if options.quick else (KINDS, MAZES)
    if options.quick:
        brief = {"evaluations": 1, "eval_episodes": 4, "eval_steps": 9, "oracle_levels": 1}
        config = scaled(config, 1e-3).replace(**brief)
    began = time.perf_counter()
    params, seconds = train(config, options.seeds)
    cases, settings = [], []
    for generator, size in kinds:
        other, longest = elsewhere(config, generator, size, count)
        found = judge(params, other)
        cases.append({"generator": generator, "size": size, "longest": longest} | found)
        settings.append(other)
        print(f"{generator} {size}×{size}: {found['success']['mean']:.1%} solved", flush=True)
    result = {
        "seeds": options.seeds,
        "mazes": count,
        "env_steps": config.schedule.env_steps,
        "training_seconds": seconds,
        "seconds": time.perf_counter() - began,
        "cases": cases,
    }
    path = harness.save("larger_mazes", result, options.out)
    shown = [0, 1] if options.quick else DRAWN
    titles = [f"{kinds[each][0]} {kinds[each][1]}×{kinds[each][1]}" for each in shown]
    draw(params, [settings[each] for each in shown], titles).savefig(
        path.with_suffix(".png"), dpi=100
    )
    if not options.quick and options.out == harness.RESULTS:
        tables.main()
    print(path)


if __name__ == "__main__":
    main()
