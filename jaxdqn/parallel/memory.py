"""How much memory training takes, and how much there is."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn import environment as environments
from jaxdqn.algorithm import agent as agents
from jaxdqn.config import Config, check
from jaxdqn.evaluation import Evaluation
from jaxdqn.training import Metrics, outline
from jaxdqn.types import ArrayTree, Params

SHARE = 0.8
"""Of what is free, so much is used: an estimate isn't a measurement."""

BACKWARD = 1.6
"""Bytes of a backward pass per byte that the forward pass keeps for it; XLA takes 1.5 to 1.6 for
residual networks (CPU)."""


def per_agent(config: Config) -> int:
    """Estimate the bytes that training one agent takes at its peak.

    Its state (replay, networks, optimiser, environments) counts once, since the compiled loops
    change it in place; then metrics, the gradient, and what the backward pass keeps of a batch.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    check(config)
    config = _without_sweeps(config)
    environment, _ = environments.make(config)
    agent = agents.make(config, environment)
    state = outline(config)
    params = state.agent.params
    rows = len(dataclasses.fields(Metrics)) + len(dataclasses.fields(Evaluation))
    batch = jax.ShapeDtypeStruct((config.batch_size, *environment.obs.shape), environment.obs.dtype)

    def backward(params: Params, batch: jax.Array) -> Any:
        return jax.vjp(lambda p: jax.vmap(agent.q_values, (None, 0))(p, batch), params)[1]

    kept = size(jax.eval_shape(backward, params, batch)) - size(params)
    metrics = 4 * rows * config.evaluations
    return size(state) + metrics + size(params) + int(BACKWARD * max(kept, 0))


def free(device: jax.Device) -> int:
    """Return the bytes that may still be used on a device; CPU devices share what there is."""
    statistics = device.memory_stats() if device.platform != "cpu" else None
    if statistics and "bytes_limit" in statistics:
        return int(SHARE * (statistics["bytes_limit"] - statistics["bytes_in_use"]))
    return int(SHARE * _free_on_host()) // len(jax.local_devices())


def size(tree: ArrayTree) -> int:
    """Return the bytes of the arrays of a pytree, or of their shapes."""
    return sum(_bytes(leaf) for leaf in jax.tree.leaves(tree))


def _bytes(leaf: jax.Array) -> int:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return int(np.prod(leaf.shape)) * leaf.dtype.itemsize


def _free_on_host() -> int:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return free
    # What the page cache holds is given back on demand.
    available = [line.split()[1] for line in lines if line.startswith("MemAvailable")]
    return 1024 * int(available[0]) if available else free


def _without_sweeps(config: Config) -> Config:
    def first(leaf: Any) -> Any:
        return np.asarray(leaf).reshape(-1)[0] if np.ndim(leaf) else leaf

    params = config.env_params
    return jax.tree.map(first, config.replace(env_params={})).replace(env_params=params)
