"""What resets cost: stepping many mazes with auto-reset against stepping them without.

    python benchmarks/autoreset.py

gymnax computes a reset in every step. Here levels lie in a bank, so a reset draws an index.
"""

import statistics
from functools import partial
from typing import Any

import gymnax
import harness
import jax
import jax.numpy as jnp

import jaxdqn.maze  # noqa: F401  (registers the maze)

KINDS = ("position", "planes", "view", "tokens")


def stepper(env: Any, params: Any, num_envs: int, steps: int, *, resets: bool) -> Any:
    """Return a compiled ``(key, obs, state) -> checksum`` of ``steps`` random steps."""

    def without(key: jax.Array, state: Any, action: jax.Array) -> tuple[Any, Any, jax.Array]:
        obs, state, reward, _, _ = env.step_env(key, state, action, params)
        return obs, state, reward

    def with_resets(key: jax.Array, state: Any, action: jax.Array) -> tuple[Any, Any, jax.Array]:
        obs, state, reward, _, _, _ = env.step(key, state, action, params)
        return obs, state, reward

    one = with_resets if resets else without

    @jax.jit
    def run(key: jax.Array, state: Any) -> Any:
        def step(carry: Any, t: jax.Array) -> tuple[Any, None]:
            state, total = carry
            key_action, key_env = jax.random.split(jax.random.fold_in(key, t))
            actions = jax.random.randint(key_action, (num_envs,), 0, 4)
            obs, state, rewards = jax.vmap(one)(jax.random.split(key_env, num_envs), state, actions)
            # Everything that was asked for is used, so that nothing is optimised away.
            seen = jnp.sum(obs.reshape(num_envs, -1).astype(jnp.float32))
            return (state, total + seen + rewards.sum()), None

        return jax.lax.scan(step, (state, jnp.float32(0)), jnp.arange(steps))[0]

    return run


def compare(kind: str, num_envs: int, steps: int, repeats: int) -> dict[str, float]:
    """Return microseconds per vector step with and without resets, medians of interleaved runs."""
    env, params = gymnax.make(
        "Maze-jaxdqn", height=13, width=13, generator="corridors", num_levels=1_000,
        start="random", observation=kind,
    )  # fmt: skip
    keys = jax.random.split(jax.random.key(0), num_envs)
    _, state = jax.vmap(env.reset, (0, None))(keys, params)
    runs = {
        name: partial(
            stepper(env, params, num_envs, steps, resets=resets), jax.random.key(1), state
        )
        for name, resets in (("without", False), ("with", True))
    }
    seconds = harness.interleave(runs, repeats)
    micro = {name: 1e6 * statistics.median(times) / steps for name, times in seconds.items()}
    return {**micro, "ratio": micro["with"] / micro["without"]}


def main() -> None:
    """Measure every kind of observation; print a table and write a result."""
    parser = harness.options(__doc__, repeats=7)
    parser.add_argument("--num_envs", type=int, default=1_024)
    parser.add_argument("--steps", type=int, default=1_000)
    options = parser.parse_args()
    steps, repeats = (20, 2) if options.quick else (options.steps, options.repeats)
    results = {kind: compare(kind, options.num_envs, steps, repeats) for kind in KINDS}
    print(f"{options.num_envs} mazes of 13×13, µs per step of all")
    for kind, row in results.items():
        print(f"{kind:>9}: {row['without']:8.1f} without resets, {row['with']:8.1f} with, "
              f"ratio {row['ratio']:.2f}")  # fmt: skip
    harness.save("autoreset", {"num_envs": options.num_envs, "results": results}, options.out)


if __name__ == "__main__":
    main()
