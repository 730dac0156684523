"""Environment steps per second of whole trainings, over seeds and environments.

    python benchmarks/throughput.py

Each cell trains the same configuration, seeds spread over all devices, and times one chunk of
learning: warm, blocked on, compilation apart.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from jaxdqn import devices

devices.use_all_cores()

import harness  # noqa: E402  (after the devices are set)
import jax  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from jaxdqn import load_config, seeds  # noqa: E402


def time_cell(path: Path, num_seeds: int, num_envs: int, iterations: int) -> dict[str, Any]:
    """Time the chunks of a short training; the first is left out as a warm-up."""
    chunks = 4
    warmup = -(-4_000 // num_envs) * num_envs
    config = load_config(
        path,
        num_envs=num_envs,
        warmup_steps=warmup,
        capacity=max(20_000, warmup),
        total_steps=warmup + chunks * iterations * num_envs,
        epsilon_steps=num_envs,
        evaluations=chunks,
        eval_episodes=1,
        eval_steps=1,
    )
    began = time.perf_counter()
    chunk_seconds = []
    for state, row in seeds.train_in_periods(config, range(num_seeds)):
        jax.block_until_ready(state)
        now = time.perf_counter()
        if row is not None:
            chunk_seconds.append(now - began)
        else:
            compile_seconds = now - began
        began = now
    warm = sorted(chunk_seconds[1:])
    steps = num_seeds * iterations * num_envs
    updates = num_seeds * iterations * config.updates_per_step
    return {
        "seeds": num_seeds,
        "num_envs": num_envs,
        "compile_seconds": compile_seconds,
        "env_steps_per_second": steps / warm[len(warm) // 2],
        "lowest": steps / warm[-1],
        "highest": steps / warm[0],
        "updates_per_second": updates / warm[len(warm) // 2],
        "replayed_per_collected": updates * config.batch_size / steps,
    }


def main() -> None:
    """Print the table and write ``throughput.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=harness.ROOT / "configs" / "maze.toml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--num_envs", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--quick", action="store_true", help="a few iterations, for tests")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    iterations = 5 if options.quick else 300
    cells = [
        time_cell(options.config, num_seeds, num_envs, iterations)
        for num_seeds in options.seeds
        for num_envs in options.num_envs
    ]
    table = Table(title=f"{options.config.name}, {harness.machine()['device']}")
    for column in ("seeds", "environments", "env-steps/s", "spread", "updates/s", "compile"):
        table.add_column(column, justify="right")
    for cell in cells:
        table.add_row(
            str(cell["seeds"]),
            str(cell["num_envs"]),
            f"{cell['env_steps_per_second']:,.0f}",
            f"{cell['lowest']:,.0f} … {cell['highest']:,.0f}",
            f"{cell['updates_per_second']:,.0f}",
            f"{cell['compile_seconds']:.1f} s",
        )
    Console().print(table)
    print(harness.save("throughput", {"config": options.config.name, "cells": cells}, options.out))


if __name__ == "__main__":
    main()
