"""What a machine can do at best, measured, and how much of it learning needs, counted."""

import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdqn import Config
from jaxdqn import environment as environments

Layer = tuple[int, int, int]  # rows per observation, inputs, outputs


def layers(config: Config) -> list[Layer]:
    """Return the matrix products of one forward pass, from the widths alone."""
    environment, _ = environments.make(config)
    shape, found = environment.obs.shape, []
    inputs = int(np.prod(shape))
    if config.network == "residual":
        height, width, planes = shape
        channels = config.channels
        found = [(height * width, 9 * planes, channels)]
        found += [(height * width, 9 * channels, channels)] * (2 * config.blocks)
        inputs = height * width * channels
    sizes = [inputs, *config.widths, environment.num_actions]
    found += [(1, m, n) for m, n in itertools.pairwise(sizes)]
    # A one-hot observation needs a row of the first matrix, not a product with it.
    return found[1:] if environment.categories is not None else found


def learning_flops(config: Config) -> int:
    """Count the floating-point operations of the matrix products in one update.

    2·m·n for each row of a product. Forward: the online network before the step, the target
    network and, for Double DQN, the online network after it. Backward: the gradient with respect
    to every matrix, and to every input but the first layer's.
    """
    forward = [2 * config.batch_size * rows * m * n for rows, m, n in layers(config)]
    environment, _ = environments.make(config)
    to_inputs = sum(forward) if environment.categories is not None else sum(forward[1:])
    return (4 if config.double else 3) * sum(forward) + to_inputs


def state_bytes(config: Config) -> int:
    """Count the bytes of networks and optimiser that one update reads and writes at least.

    Online network and both moments of Adam are read and written, the target network is read.
    """
    environment, _ = environments.make(config)
    rows = int(environment.categories or 0)
    weights = rows * config.widths[0] + sum(m * n for _, m, n in layers(config))
    return 7 * 4 * weights


def measure(quick: bool = False) -> dict[str, Any]:
    """Measure the ceilings of all devices together.

    Returns:
        ``matmul_flops``: the best float32 FLOP/s over all shapes and ways, at JAX's default
        precision (on NVIDIA that is TF32) and, as ``matmul_flops_float32``, at full precision.
        ``bytes_per_second``: read and written by adding one to a large array. ``matmuls``: each.
    """
    cpu = jax.default_backend() == "cpu"
    sizes = (64, 128, 256, 512, 1024, 2048) if cpu else (2048, 4096, 8192)
    matmuls = [
        {"size": size, "devices": count, "precision": precision,
         "flops": _matmul_flops(size, count, precision, 0.01 if quick else 0.2)}
        for size in (sizes[:1] if quick else sizes)
        # One CPU device may use all cores by itself; that is tried, too.
        for count in sorted({1, len(jax.devices())})
        # A CPU has one precision only.
        for precision in (("highest",) if cpu else ("default", "highest"))
    ]  # fmt: skip
    return {
        "matmul_flops": max(m["flops"] for m in matmuls),
        "matmul_flops_float32": max(m["flops"] for m in matmuls if m["precision"] == "highest"),
        "bytes_per_second": bytes_per_second(2**20 if quick else 2**28),
        "matmuls": matmuls,
    }


def bytes_per_second(count: int) -> float:
    """Measure the bytes that one device reads and writes by adding one to so many floats."""
    ones = jnp.ones(count, jnp.float32)
    increment = jax.jit(lambda x: x + 1)
    increment(ones).block_until_ready()
    return 2 * 4 * count / _best_of(5, lambda: increment(ones))


def _matmul_flops(size: int, count: int, precision: str, seconds: float) -> float:
    """Time a chain of square products on each device; return FLOP/s of all together."""
    key = jax.random.key(0)
    # Of this spread, so that a long chain neither overflows nor vanishes.
    matrix = jax.random.normal(key, (size, size)) / np.sqrt(size)

    def chain(x: jax.Array, length: jax.Array) -> jax.Array:
        product = partial(jnp.matmul, precision=precision)
        return jax.lax.fori_loop(0, length, lambda _, x: product(x, matrix), x)

    mesh = Mesh(np.array(jax.devices()[:count]), ("devices",))
    spec = PartitionSpec("devices")
    program = jax.jit(
        jax.shard_map(chain, mesh=mesh, in_specs=(spec, PartitionSpec()), out_specs=spec,
                      check_vma=False)
    )  # fmt: skip
    x = jax.device_put(jnp.tile(matrix, (count, 1)), NamedSharding(mesh, spec))
    length = 8
    _best_of(3, lambda: program(x, length))
    length = max(8, int(length * seconds / _best_of(3, lambda: program(x, length))))
    return count * length * 2 * size**3 / _best_of(5, lambda: program(x, length))


def _best_of(repeats: int, run: Callable[[], Any]) -> float:
    """Return the seconds of the fastest run: what a ceiling is, not what is usual."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - began)
    return min(seconds)
