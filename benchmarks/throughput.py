"""Environment steps per second of whole trainings, over seeds and environments, and their price.

    python benchmarks/throughput.py

Each cell trains one configuration, seeds laid out as ``jaxdqn.sweep`` does, and, in turn with it,
only acts at random and stores: what is left of an iteration is the network's. ``--prices`` times
instead what each step from Double DQN to Rainbow adds to an iteration of ``maze.toml``.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from jaxdqn.parallel import devices

CORES = argparse.ArgumentParser(add_help=False)
CORES.add_argument("--cores", type=int, help="CPU cores to use, all by default")
devices.use_cores(CORES.parse_known_args()[0].cores)

import harness  # noqa: E402  (after the devices are set)
import job  # noqa: E402
import limits  # noqa: E402
import rainbow  # noqa: E402

import jaxdqn  # noqa: E402
from jaxdqn.training import bytes_per_transition  # noqa: E402

# Iterations of one timed run; a residual network takes a hundred times as long.
ITERATIONS = {"mlp": 1_000, "residual": 20}


def settings(path: Path, num_envs: int, iterations: int) -> tuple[jaxdqn.Config, jaxdqn.Config]:
    """Return a training with next to no warm-up, and one of which ``init`` runs all as warm-up."""
    config = jaxdqn.load_config(path, evaluations=1, eval_episodes=1, eval_steps=1, epsilon_steps=1)
    first = max(-(-config.batch_size // num_envs), config.n_step) * num_envs
    steps = iterations * num_envs
    capacity = -(-max(config.capacity, first, steps) // num_envs) * num_envs
    learning = config.replace(
        num_envs=num_envs, warmup_steps=first, capacity=capacity, total_steps=first + steps
    )
    return learning, learning.replace(warmup_steps=steps, total_steps=steps + num_envs)


def time_cell(
    name: str, num_seeds: int, num_envs: int, options: Any, ceiling: float
) -> dict[str, Any]:
    """Time training, and acting alone, in turn."""
    path = harness.ROOT / "configs" / f"{name}.toml"
    network = jaxdqn.load_config(path).network
    iterations = 20 if options.quick else ITERATIONS[network]
    learning, acting = settings(path, num_envs, iterations)
    keys = job.keys(num_seeds)
    train = job.swept(learning, num_seeds)
    act = harness.prepare(job.many(partial(jaxdqn.init, acting), num_seeds), keys)
    seconds = harness.interleave(
        {"train": train.run, "act": act.run}, 1 if options.quick else options.repeats
    )
    plan = learning.schedule
    steps = harness.rate(num_seeds * plan.env_steps, seconds["train"])
    alone = harness.rate(num_seeds * acting.schedule.warmup_env_steps, seconds["act"])
    updates = harness.rate(num_seeds * plan.updates, seconds["train"])
    return {
        "config": path.name,
        "seeds": num_seeds,
        "num_envs": num_envs,
        "env_steps_per_second": steps,
        "env_steps_per_second_without_learning": alone,
        "learning_share_of_time": 1.0 - steps["median"] / alone["median"],
        "updates_per_second": updates,
        "replay_ratio": plan.updates * learning.batch_size / plan.env_steps,
        "share_of_matmul_ceiling": updates["median"] * limits.learning_flops(learning) / ceiling,
        "bytes_per_transition": bytes_per_transition(learning),
        "program_bytes": train.bytes,
        "trace_seconds": train.trace_seconds,
        "compile_seconds": train.compile_seconds,
    }


def prices(num_seeds: int, options: Any) -> list[dict[str, Any]]:
    """Time an iteration of each method, all in turn: one step of 16 environments, one update."""
    path = harness.ROOT / "configs" / "maze.toml"
    iterations = 20 if options.quick else ITERATIONS["mlp"]
    runs = {}
    for name, (words, _) in rainbow.methods().items():
        learning, _ = settings(path, 16, iterations)
        first = 16 * max(4, words.get("n_step", 1))
        words = {"warmup_steps": first, "total_steps": first + 16 * iterations, **words}
        runs[name] = job.swept(learning.replace(**words), num_seeds).run
    seconds = harness.interleave(runs, 1 if options.quick else options.repeats)
    each = {name: 1e6 * min(found) / iterations / num_seeds for name, found in seconds.items()}
    return [
        {
            "method": name,
            "seeds": num_seeds,
            "microseconds": found,
            "to_double_dqn": found / each["Double DQN"],
        }
        for name, found in each.items()
    ]


def show(cells: list[dict[str, Any]]) -> None:
    """Print the table."""
    columns = ["configuration", "seeds", "environments", "env-steps/s", "without learning",
               "updates/s", "replayed", "of matmuls", "bytes", "memory",
               "trace + compile"]  # fmt: skip
    rows = [
        [
            cell["config"],
            str(cell["seeds"]),
            str(cell["num_envs"]),
            harness.say(cell["env_steps_per_second"]),
            f"{cell['env_steps_per_second_without_learning']['median']:,.0f}",
            f"{cell['updates_per_second']['median']:,.0f}",
            f"{cell['replay_ratio']:.1f}",
            f"{cell['share_of_matmul_ceiling']:.0%}",
            str(cell["bytes_per_transition"]),
            f"{cell['program_bytes'] / 2**20:,.0f} MiB",
            f"{cell['trace_seconds']:.1f} + {cell['compile_seconds']:.1f} s",
        ]
        for cell in cells
    ]
    harness.show("training", columns, rows)


def main() -> None:
    """Print the table and write ``throughput.json``."""
    parser = harness.options(__doc__, parents=[CORES])
    configs = ["maze", "residual_maze"]
    parser.add_argument("--configs", nargs="+", default=configs, help="names in configs/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--num_envs", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--prices", action="store_true", help="of each step to Rainbow instead")
    options = parser.parse_args()
    if options.prices:
        rows = [row for count in options.seeds for row in prices(count, options)]
        columns = ["method", "seeds", "µs an iteration and agent", "to Double DQN"]
        cells = [[row["method"], str(row["seeds"]), f"{row['microseconds']:.0f}",
                  f"{row['to_double_dqn']:.2f}"] for row in rows]  # fmt: skip
        harness.show("prices", columns, cells)
        print(harness.save("prices", {"rows": rows}, options.out))
        return
    ceilings = limits.measure(options.quick)
    cells = [
        time_cell(name, num_seeds, num_envs, options, ceilings["matmul_flops"])
        for name in options.configs
        for num_seeds in options.seeds
        for num_envs in options.num_envs
    ]
    show(cells)
    print(harness.save("throughput", {"ceilings": ceilings, "cells": cells}, options.out))


if __name__ == "__main__":
    main()
