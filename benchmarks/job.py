"""The job that every comparison trains, and the programs that train it for many seeds."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import harness
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

import jaxdqn
from jaxdqn.parallel import executor, seeds, sweeps

# An update of the large one is 54 times the work, of the residual one 18,000 times, so they train
# for fewer steps.
NETWORKS: dict[str, dict[str, Any]] = {
    "small": {"widths": (64, 64), "batch_size": 64, "total_steps": 200_000},
    "large": {"widths": (256, 256), "batch_size": 256, "total_steps": 8_000},
    "residual": {
        "env": "Breakout-MinAtar", "network": "residual", "channels": 64, "blocks": 3,
        "widths": (128,), "batch_size": 256, "total_steps": 4_800,
    },
}  # fmt: skip
RAINBOW = {
    "n_step": 3, "replay": "prioritised", "dueling": True, "noisy": True, "shared_noise": True,
    "head": "categorical", "v_min": 0.0, "v_max": 10.0,
}  # fmt: skip
"""What Rainbow adds to Double DQN, its environments acting by one draw of the noise as in the
standard design; MetaMaze's goal is worth 10."""


def config(network: str = "small", **changes: Any) -> jaxdqn.Config:
    """Return Double DQN with one update for each step of 16 environments.

    They are gymnax's MetaMaze, which is no grid, and for the residual network MinAtar's Breakout.
    """
    settings: dict[str, Any] = {
        "env": "MetaMaze-misc",
        "num_envs": 16,
        "warmup_steps": 3_200,
        "capacity": 10_000,
        "learning_rate": 1e-3,
        "target_period": 200,
        # One row at the end: evaluating is no part of the work that is compared.
        "evaluations": 1,
        "eval_episodes": 1,
        "eval_steps": 1,
        **NETWORKS[network],
        **changes,
    }
    learning = settings["total_steps"] - settings["warmup_steps"]
    return jaxdqn.Config(epsilon_steps=min(16_000, learning), **settings)


ROLLOUTS: dict[str, dict[str, Any]] = {
    # One network for policy and value, of more weights than two of 64-64.
    "ppo": {"num_envs": 16, "rollout_steps": 128, "epochs": 4, "minibatches": 16,
            "widths": (96, 96), "activation": "tanh", "learning_rate": 2.5e-4,
            "max_grad_norm": 0.5},
    "pqn": {"num_envs": 32, "rollout_steps": 64, "epochs": 4, "minibatches": 16,
            "widths": (128, 128), "layer_norm": True, "learning_rate": 2.5e-4,
            "epsilon_steps": 40_000, "td_lambda": 0.95, "max_grad_norm": 10.0},
}  # fmt: skip


def rollout(method: str, total_steps: int) -> jaxdqn.Config:
    """Return PQN or PPO on CartPole, evaluated once at the end, by one step."""
    return jaxdqn.Config(
        method=method, env="CartPole-v1", total_steps=total_steps, evaluations=1, eval_episodes=1,
        eval_steps=1, **ROLLOUTS[method],
    )  # fmt: skip


def ours(config: jaxdqn.Config) -> Callable[[jax.Array], Any]:
    """Return ``train(key)`` of this library."""
    return partial(jaxdqn.train, config)


def many(train: Callable[[jax.Array], Any], count: int) -> Callable[[jax.Array], Any]:
    """Train one seed for each of ``count`` keys, spread over all devices that divide them."""
    size = max(n for n in range(1, len(jax.devices()) + 1) if count % n == 0)
    mesh = Mesh(np.array(jax.devices()[:size]), ("seeds",))
    spec = PartitionSpec("seeds")
    return jax.shard_map(jax.vmap(train), mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)


def keys(count: int) -> jax.Array:
    """Return the keys of seeds 0, 1, 2, ..."""
    return jax.vmap(jax.random.key)(jnp.arange(count))


def swept(
    config: jaxdqn.Config, count: int, rates: Sequence[float] | None = None
) -> harness.Program:
    """Prepare the programs of ``jaxdqn.sweep`` for that many seeds, of each learning rate given."""
    numbers = {"learning_rate": np.repeat(rates, count)} if rates else {}
    seeds_of = list(range(count)) * len(rates or [0])
    how = executor.plan(config, len(seeds_of), least=sweeps.LEAST)
    run = executor.programs(config, how)

    def whole(config: jaxdqn.Config, numbers: executor.Numbers, keys: jax.Array) -> Any:
        def period(state: jaxdqn.State, _: None) -> tuple[jaxdqn.State, jaxdqn.Metrics]:
            return run.advance(config, numbers, state)

        begun = run.begin(config, numbers, keys)
        state, metrics = jax.lax.scan(period, begun, length=config.schedule.evaluations)
        return state.agent.params, metrics

    return harness.prepare(whole, config, *seeds.arguments(seeds_of, numbers, how))
