"""Tests run strictly: two CPU devices, rank promotion raises, warnings are errors."""

import atexit
import gc
import importlib.metadata
import os
import signal
import tempfile
from collections import deque
from pathlib import Path

# Workers, and the processes that tests start, take programs from one another: most of them are
# the same few. Named before JAX is imported, which reads it then.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _PROGRAMS = tempfile.TemporaryDirectory(prefix="jaxdqn-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _PROGRAMS.name
# To write one that is compiled sooner takes longer than to compile it again.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import jax
import numpy as np
from compilations import (
    compiles_at_most,
    compiles_nothing,
    pytest_addoption,
    pytest_runtest_makereport,
    pytest_runtest_protocol,
    pytest_terminal_summary,
)

if "JAXDQN_TESTS_OPTIMISED" not in os.environ:
    # Compilation is most of the tests' time, and this takes two thirds of it; .ci/run says which
    # tests it runs with optimisation.
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true --xla_cpu_parallel_codegen_split_count=1 "
        "--xla_disable_hlo_passes=simplify-while-loops,while-loop-invariant-code-motion,"
        "while-loop-constant-sinking"
    )
    # Where each operation was written is read by nobody here.
    os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"
    # Its older emitters compile sooner still; later ones know no other and refuse the flag.
    if importlib.metadata.version("jaxlib").startswith("0.10."):
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Registered last, so called first: a worker that has reported need not free its programs one
    # by one, which takes seconds.
    atexit.register(os._exit, 0)
# What a script starts in the background ignores Ctrl-C, and then so do its trainings.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Tracing makes many small objects that stay; looking through them all takes a twentieth of it.
gc.set_threshold(100_000, 50, 100)

import jaxdqn.maze  # noqa: E402  (after the devices are set)
from jaxdqn import Config  # noqa: E402
from jaxdqn.config import scaled  # noqa: E402
from jaxdqn.deferred import gymnax  # noqa: E402

MOVES = [(-1, 0), (1, 0), (0, -1), (0, 1)]
LONG = "JAXDQN_LONG" in os.environ
"""Whether tests of chance repeat as often as was claimed, which takes longer than the gate has."""
ROOT = Path(__file__).parent.parent
AGENTS = sorted(set((ROOT / "configs").glob("*.toml")) - {ROOT / "configs" / "language.toml"})
"""The shipped settings of agents; those of a language model are read by its own tests."""
METHODS = ["c51", "qr_dqn", "iqn", "munchausen", "rainbow", "pqn", "ppo", "t_maze", "r2d2_t_maze"]
"""Shipped settings of each method, for which every law is tried."""
SOLVED = {
    "maze": 16, "seed_maze": 16 if LONG else 8, "residual_maze": 4, "cartpole": 8,
    "pqn": 4, "ppo": 4,
}  # fmt: skip
"""Shipped settings that are trained to the end, and how many seeds."""
RESIDUAL = {
    "network": "residual",
    "channels": 4,
    "blocks": 1,
    "env_kwargs": {"height": 4, "width": 4, "generator": "empty", "observation": "planes"},
}
"""Changes that make ``small`` train the smallest residual network, which sees planes."""
COLLECTIVES = ["all-reduce", "all-gather", "all-to-all", "collective-permute"]
"""By which devices wait for one another."""
os.environ["COLUMNS"] = "200"


LONGEST = [
    "solves",
    "cli",
    "sweep",
    "statistics",
    "laws",
    "environment",
    "checkpoint",
    "readme",
    "language_run",
    "language",
    "oracle",
]


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, so that the workers end together."""
    place = {f"test_{name}": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


SMALL = {
    "total_steps": 64 + 4 * 40,
    "warmup_steps": 64,
    "capacity": 128,
    "batch_size": 8,
    "epsilon_steps": 100,
    "target_period": 7,
}
SMALL_ROLLOUT = {"total_steps": 8 * 4 * 8, "rollout_steps": 8, "epochs": 2, "minibatches": 4}
"""Of every method without replay: 8 iterations, each of 8 updates by 8 observations."""
SMALL_OF = {
    "pqn": SMALL_ROLLOUT,
    "ppo": SMALL_ROLLOUT,
    "r2d2": {**SMALL, "burn_in": 2, "unroll": 4},
}


def small(**changes) -> Config:
    """Return settings of a training that takes a moment: a 4×4 empty maze, 4 environments."""
    of_method = SMALL_OF.get(str(changes.get("method")), SMALL)
    settings = {
        "env_kwargs": {"height": 4, "width": 4, "generator": "empty"},
        "env_params": {"max_steps_in_episode": 20},
        "num_envs": 4,
        "widths": (16,),
        "evaluations": 4,
        "eval_episodes": 2,
        "eval_steps": 20,
        **of_method,
    }
    return Config(**{**settings, **changes})


SMALLER = {
    "residual": {"channels": 4, "blocks": 1}, "planning": {"plans": 2, "rounds": 4},
    "transformer": {"layers": 1, "width": 8},
}  # fmt: skip


def tiny(config: Config) -> Config:
    """Return settings of the same method in the same environment that train for a moment."""
    brief = scaled(config, 1e-6)
    return brief.replace(
        total_steps=brief.schedule.env_steps + 3 * brief.schedule.env_steps_per_iteration,
        evaluations=2,
        eval_steps=5,
        eval_episodes=4,
        oracle_levels=2,
        **SMALLER.get(config.network, {}),
    )


def maze_env(**kwargs):
    """Return the maze and its parameters, as gymnax makes them."""
    return gymnax.make("Maze-jaxdqn", **kwargs)


def breadth_first(walls: np.ndarray, goal: int) -> np.ndarray:
    """Distances to the goal in plain Python; ``H * W`` where there is no way."""
    height, width = walls.shape
    far = walls.size
    distance = np.full(walls.size, far)
    distance[goal], queue = 0, deque([divmod(goal, width)])
    while queue:
        row, column = queue.popleft()
        for dr, dc in MOVES:
            r, c = row + dr, column + dc
            inside = 0 <= r < height and 0 <= c < width
            if inside and not walls[r, c] and distance[r * width + c] == far:
                distance[r * width + c] = distance[row * width + column] + 1
                queue.append((r, c))
    return distance


def assert_same_bits(one, other) -> None:
    """Two pytrees hold the same arrays, bit for bit (NaN equals NaN)."""
    one, other = (jax.tree.map(_data, tree) for tree in (one, other))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        assert left.tobytes() == right.tobytes()


def _data(leaf):
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return jax.device_get(leaf)


__all__ = [
    "AGENTS",
    "LONG",
    "METHODS",
    "MOVES",
    "ROOT",
    "assert_same_bits",
    "breadth_first",
    "compiles_at_most",
    "compiles_nothing",
    "jaxdqn",
    "maze_env",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
    "pytest_terminal_summary",
    "small",
    "tiny",
]
