"""What a sweep costs: spread over cores, with several settings, with convolutions.

    python benchmarks/sweeps.py

The same agents in plain ``jax.vmap`` on one device, and in the compiled program of
``jaxdqn.sweep``; four learning rates beside one; compilation apart, timed in turn. Convolutions
are compared twice: with the library's own, and with flax's ``nn.Conv`` in the plain vmap.
"""

import statistics
from functools import partial
from typing import Any

import harness
import jax
from flax import linen as nn

import jaxdqn
from jaxdqn.parallel import devices

devices.use_cores()

import job  # noqa: E402  (after the devices are set)

from jaxdqn.networks import residual  # noqa: E402

RATES = [3e-4, 1e-3, 2e-3, 3e-3]


def plain(config: jaxdqn.Config, seeds: int) -> harness.Program:
    """Return the training of many seeds as anyone would write it."""

    def train(config: jaxdqn.Config, keys: jax.Array) -> Any:
        state, metrics = jax.vmap(jaxdqn.train, (None, 0))(config, keys)
        return state.agent.params, metrics

    keys = jax.vmap(jax.random.key)(jax.numpy.arange(seeds))
    return harness.prepare(train, config, keys)


def plain_with_flax(config: jaxdqn.Config, seeds: int) -> harness.Program:
    """Return the same with flax's convolution in place of the library's."""
    own, residual.Conv3x3 = residual.Conv3x3, partial(nn.Conv, kernel_size=(3, 3))
    jax.clear_caches()  # the parts of training were traced with the other convolution
    try:
        return plain(config, seeds)
    finally:
        residual.Conv3x3 = own
        jax.clear_caches()


def main() -> None:
    """Time the comparisons; print them and write a result."""
    parser = harness.options(__doc__, repeats=3)
    options = parser.parse_args()
    mlp = {"total_steps": 20_000, "epsilon_steps": 10_000, "evaluations": 2}
    convolutions = {"total_steps": 6_000, "epsilon_steps": 3_000, "evaluations": 2}
    if options.quick:
        mlp = {"total_steps": 4_100, "epsilon_steps": 100, "evaluations": 1}
        convolutions = {**mlp, "total_steps": 2_100, "channels": 4, "blocks": 1}
    maze = jaxdqn.load_config(harness.ROOT / "configs" / "maze.toml", **mlp)
    residual = jaxdqn.load_config(harness.ROOT / "configs" / "residual_maze.toml", **convolutions)
    count = (lambda _: 2) if options.quick else (lambda seeds: seeds)
    pairs = {
        "16 seeds: `sweep` / plain `jax.vmap`": (
            job.swept(maze, count(16)), plain(maze, count(16)),
        ),
        "`sweep`: 4 learning rates × 16 seeds / 64 seeds of one rate": (
            job.swept(maze, count(16), RATES), job.swept(maze, count(64)),
        ),
        "8 residual networks: `sweep` / plain `jax.vmap`": (
            job.swept(residual, count(8)), plain(residual, count(8)),
        ),
    }  # fmt: skip
    if not options.quick:  # it takes a minute and a half to compile
        brief = residual.replace(
            total_steps=residual.schedule.warmup_env_steps + 960, epsilon_steps=900, evaluations=1
        )
        pairs["8 residual networks, 60 updates: `sweep` / plain `jax.vmap`, flax's `nn.Conv`"] = (
            job.swept(brief, 8),
            plain_with_flax(brief, 8),
        )
    results, rows = {}, []
    for name, (first, second) in pairs.items():
        seconds = harness.interleave(
            {"first": first.run, "second": second.run}, 1 if options.quick else options.repeats
        )
        medians = [statistics.median(times) for times in seconds.values()]
        results[name] = {"seconds": seconds, "ratio": medians[0] / medians[1]}
        rows.append([name, *(f"{median:.2f}" for median in medians),
                     f"{medians[0] / medians[1]:.2f}"])  # fmt: skip
    harness.show("sweeps", ["first / second", "first, s", "second, s", "ratio"], rows)
    harness.save("sweeps", {"results": results}, options.out)


if __name__ == "__main__":
    main()
