"""Tests run strictly: two CPU devices, rank promotion raises, warnings are errors."""

import os
from pathlib import Path

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)

import jaxdqn  # noqa: E402  (after the devices are set)
from jaxdqn import Config  # noqa: E402

ROOT = Path(__file__).parent.parent
os.environ["COLUMNS"] = "200"


@pytest.fixture(autouse=True)
def _strict():
    with jax.numpy_rank_promotion("raise"):
        yield


def small(**changes) -> Config:
    """Return settings of a training that takes a moment: a 4×4 empty maze, 4 environments."""
    settings = {
        "env_kwargs": {"height": 4, "width": 4, "generator": "empty"},
        "env_params": {"max_steps_in_episode": 20},
        "total_steps": 64 + 4 * 40,
        "num_envs": 4,
        "warmup_steps": 64,
        "capacity": 128,
        "batch_size": 8,
        "widths": (16,),
        "epsilon_steps": 100,
        "target_period": 7,
        "evaluations": 4,
        "eval_episodes": 2,
        "eval_steps": 20,
    }
    return Config(**{**settings, **changes})


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


__all__ = ["ROOT", "assert_same_bits", "jaxdqn", "small"]
