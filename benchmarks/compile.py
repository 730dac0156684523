"""Seconds from starting Python to the first update, cold, and warm from JAX's persistent cache.

    python benchmarks/compile.py

Every start is a process of its own: without a cache, with an empty one, and with the one that the
start before has filled.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness

STARTS = ("no cache", "empty cache", "filled cache")
STAGES = ("import", "trace", "compile", "run", "total")


def child(path: str, count: int, began: float) -> None:
    """Train until the first update is done; print when each stage ended."""
    from jaxdqn.parallel import devices

    devices.use_cores()
    import jax
    import job

    import jaxdqn

    imported = time.time()
    config = jaxdqn.load_config(path)
    # One iteration after the warm-up; everything else as the configuration says.
    warmup = config.schedule.warmup_env_steps
    config = config.replace(total_steps=warmup + config.num_envs, epsilon_steps=1, evaluations=1)
    program = harness.prepare(job.many(job.ours(config), count), job.keys(count))
    compiled = time.time()
    jax.block_until_ready(program.run())
    ended = time.time()
    print(json.dumps({
        "import": imported - began,
        # With making the environment, its levels among it.
        "trace": compiled - imported - program.compile_seconds,
        "compile": program.compile_seconds,
        "run": ended - compiled,
        "total": ended - began,
    }))  # fmt: skip


def start(path: Path, count: int, cache: str | None) -> dict[str, float]:
    """Start once; return the seconds of each stage."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    if cache is not None:
        environment["JAX_COMPILATION_CACHE_DIR"] = cache
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    command = [sys.executable, __file__, "--child", str(path), str(count), repr(time.time())]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(path: Path, count: int, repeats: int) -> dict[str, Any]:
    """Start each way in turn; return the medians and the spread of the totals."""
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in STARTS}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for name, cache in zip(STARTS, (None, folder, folder), strict=True):
                seconds[name].append(start(path, count, cache))
    return {
        "config": path.name,
        "seeds": count,
        "starts": {name: _summary(found) for name, found in seconds.items()},
    }


def _summary(found: list[dict[str, float]]) -> dict[str, float]:
    medians = {stage: statistics.median(one[stage] for one in found) for stage in STAGES}
    totals = [one["total"] for one in found]
    return {**medians, "lowest": min(totals), "highest": max(totals)}


def main() -> None:
    """Print the table and write ``compile.json``."""
    parser = harness.options(__doc__, repeats=3)
    configs = ["maze", "residual_maze"]
    parser.add_argument("--configs", nargs="+", default=configs, help="names in configs/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        path, count, began = options.child
        return child(path, int(count), float(began))
    repeats = 1 if options.quick else options.repeats
    cells = [
        measure(harness.ROOT / "configs" / f"{name}.toml", count, repeats)
        for name in options.configs
        for count in options.seeds
    ]
    rows = [
        [cell["config"], str(cell["seeds"]), name,
         *(f"{stages[stage]:.2f} s" for stage in STAGES),
         f"{stages['lowest']:.2f} … {stages['highest']:.2f} s"]
        for cell in cells
        for name, stages in cell["starts"].items()
    ]  # fmt: skip
    columns = ["configuration", "seeds", "start", *STAGES, "spread of totals"]
    harness.show("start to first update", columns, rows)
    print(harness.save("compile", {"cells": cells}, options.out))
    return None


if __name__ == "__main__":
    main()
