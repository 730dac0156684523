"""How much memory training takes, and how much there is."""

import dataclasses
from typing import Any

import jax

from jaxdqn import pytrees
from jaxdqn.assembly import assemble
from jaxdqn.config import Config, shaping
from jaxdqn.metrics import Evaluation, Metrics
from jaxdqn.parallel import host
from jaxdqn.training import outline
from jaxdqn.types import Params

SHARE = 0.8
"""Of what is free, so much is used: an estimate isn't a measurement."""

BACKWARD = 1.6
"""Bytes of a backward pass per byte that the forward pass keeps for it; XLA takes 1.5 to 1.6 for
residual networks (CPU)."""


def per_agent(config: Config) -> int:
    """Estimate the bytes that training one agent takes at its peak.

    Its state (replay, networks, optimiser, environments) counts once, since the compiled loops
    change it in place; then experience that is gathered and forgotten, metrics, the gradient, and
    what the backward pass keeps of a batch.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    state = outline(config)
    parts = assemble(shaping(config))
    environment, outputs = parts.environment, parts.method.outputs
    params = state.agent.params
    rows = len(dataclasses.fields(Metrics)) + len(dataclasses.fields(Evaluation))
    shape = (config.schedule.batch_size, *environment.obs.shape)
    batch = jax.ShapeDtypeStruct(shape, environment.obs.dtype)

    def backward(params: Params, batch: jax.Array) -> Any:
        return jax.vjp(lambda p: jax.vmap(outputs, (None, 0))(p, batch), params)[1]

    kept = pytrees.size(jax.eval_shape(backward, params, batch)) - pytrees.size(params)
    metrics = 4 * rows * config.evaluations
    working = parts.method.bytes_gathered + pytrees.size(params) + int(BACKWARD * max(kept, 0))
    return pytrees.size(state) + metrics + working


def free(device: jax.Device) -> int:
    """Return the bytes that may still be used on a device; CPU devices share what there is."""
    statistics = device.memory_stats() if device.platform != "cpu" else None
    if statistics and "bytes_limit" in statistics:
        return int(SHARE * (statistics["bytes_limit"] - statistics["bytes_in_use"]))
    return int(SHARE * host.free()) // len(jax.local_devices())


def gigabytes(count: int) -> str:
    """Write a number of bytes for people."""
    return f"{count / 1e9:.3g} GB"
