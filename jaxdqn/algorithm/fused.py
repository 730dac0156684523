"""One update of a small dense network as one GPU kernel, everything read once and written once.

A network of 64-64 with its moments and its target is some 87 kB, and XLA's way over them, a kernel
for each product, sum and step of the optimiser, moves them several times. ``learner`` says in plain
JAX what this update is, and is its referee; ``update_kernel`` makes it.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from jaxdqn.algorithm import descent, update_kernel
from jaxdqn.algorithm.learner import AgentState, Learner
from jaxdqn.algorithm.update_kernel import DECAYS, Numbers, Part, Setup, padded
from jaxdqn.config import Config
from jaxdqn.environment import Environment
from jaxdqn.method import LearnInfo
from jaxdqn.networks.dense import ACTIVATIONS
from jaxdqn.types import Array, Params, PRNGKey, Transition

MOST = 64
"""Rows or columns of the largest product. At 128, registers run out: 1.7 × slower than XLA's way
(H100)."""
DEEPEST = 2
"""Hidden layers, whose values are all held in registers."""
WARPS = 4
"""For each agent; 8 take 1.6 × as long (H100)."""


def where_it_fits(config: Config, environment: Environment, plain: Learner) -> Learner:
    """Return a learner whose updates are one kernel on an NVIDIA GPU, if these settings fit it."""
    if not fits(config, environment):
        return plain
    fused = make(config, environment)
    of_many = values(config, environment)

    def learn(*arguments: Any) -> Any:
        return jax.lax.platform_dependent(*arguments, cuda=fused, default=plain.learn)

    @jax.custom_batching.custom_vmap
    def q_values(params: Params, obs: Array) -> Array:
        return plain.q_values(params, obs)

    @q_values.def_vmap
    def _(size: int, batched: Any, params: Params, obs: Array) -> tuple[Array, bool]:
        def otherwise(params: Params, obs: Array) -> Array:
            axes = jax.tree.map(lambda has: 0 if has else None, tuple(batched))
            return jax.vmap(plain.q_values, axes)(params, obs)

        of_params, of_obs = batched
        # Of an exported program the number of observations may not be known.
        known = isinstance(size, int) and _is_size(size)
        if any(jax.tree.leaves(of_params)) or not of_obs or not known:
            return otherwise(params, obs), True
        return jax.lax.platform_dependent(params, obs, cuda=of_many, default=otherwise), True

    return plain._replace(learn=learn, q_values=lambda params, obs, _=None: q_values(params, obs))


def fits(config: Config, environment: Environment) -> bool:
    """Whether the kernel can make an update of these settings, and faster than XLA.

    Double DQN or DQN, of a dense network of one or two layers, each a power of two from 16 to 64
    wide like the batch, on up to 64 inputs, unless JAX is told to make products as exactly as it
    can (``jax_default_matmul_precision``).
    """
    plain = {"method": "dqn", "head": "expected", "bootstrap": "greedy", "network": "mlp"}
    if any(config.chosen[word] != name for word, name in plain.items()):
        return False
    products = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    exactly = products in ("highest", "float32", "F32_F32_F32")
    if exactly or config.layer_norm or config.dueling or config.noisy:
        return False
    names = environment.categories
    inputs = math.prod(environment.obs.shape) if names is None else names
    return (
        1 <= len(config.widths) <= DEEPEST
        and all(map(_is_size, (config.batch_size, *config.widths)))
        and padded(max(inputs, environment.num_actions)) <= MOST
        and not (names and environment.obs.shape)
    )


def _is_size(size: int) -> bool:
    return size == padded(size) <= MOST


def values(
    config: Config, environment: Environment, interpret: bool = False
) -> Callable[[Params, Array], Array]:
    """Return ``(params, obs [E, ...]) -> [E, A]``, action values of many observations.

    Args:
        config: the settings, which fit.
        environment: for its observations and actions.
        interpret: run on any device, slowly, for tests.
    """

    def q_values(params: Params, obs: Array) -> Array:
        shape = jax.ShapeDtypeStruct((len(obs), environment.num_actions), jnp.float32)
        found: Array = pl.pallas_call(
            update_kernel.values(_setup(config, environment, params, interpret)),
            out_shape=shape,
            compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=1),
            interpret=interpret,
            name="q_values",
        )(_rows(obs, environment), *jax.tree.leaves(params))
        return found

    return q_values


def make(config: Config, environment: Environment, interpret: bool = False) -> Callable[..., Any]:
    """Return ``learn`` of a ``Learner``, for settings that fit.

    Args:
        config: the settings.
        environment: for its observations and actions.
        interpret: run on any device, slowly, for tests.
    """

    def learn(
        state: AgentState, batch: Transition, weights: Array, key: PRNGKey
    ) -> tuple[AgentState, LearnInfo, Array]:
        del key  # Nothing in these networks is left to chance.
        clipping, adam = state.opt_state
        count = optax.safe_increment(adam.count)
        leaves, structure = jax.tree.flatten(state.params)
        given = [
            _numbers(config, state, count),
            _rows(batch.obs_tm1, environment), batch.a_tm1, batch.r_t, batch.discount_t,
            _rows(batch.obs_t, environment), weights,
        ]  # fmt: skip
        changed = [adam.mu, adam.nu, *leaves, *jax.tree.leaves(state.target_params)]
        info, surprise, *changed = pl.pallas_call(
            update_kernel.program(_setup(config, environment, state.params, interpret)),
            out_shape=[
                jax.ShapeDtypeStruct((3,), jnp.float32),
                jax.ShapeDtypeStruct(weights.shape, jnp.float32),
                *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in changed),
            ],
            input_output_aliases={len(given) + k: 2 + k for k in range(len(changed))},
            compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=1),
            interpret=interpret,
            name="learn",
        )(*given, *changed)
        loss, q_mean, grad_norm = info
        halted = state.halted | ~(jnp.isfinite(loss) & jnp.isfinite(grad_norm))
        mu, nu, *both = changed
        after = AgentState(
            params=jax.tree.unflatten(structure, both[: len(leaves)]),
            target_params=jax.tree.unflatten(structure, both[len(leaves) :]),
            opt_state=(clipping, adam._replace(count=count, mu=mu, nu=nu)),
            updates=state.updates + ~halted,
            halted=halted,
        )
        found = LearnInfo(loss, q_mean, grad_norm)
        return after, jax.tree.map(lambda x: jnp.where(halted, jnp.nan, x), found), surprise

    return learn


def _setup(config: Config, environment: Environment, params: Params, interpret: bool) -> Setup:
    leaves = jax.tree.leaves(params)
    ends = itertools.accumulate((leaf.size for leaf in leaves), initial=0)
    return Setup(
        parts=[Part(leaf.shape, end) for leaf, end in zip(leaves, ends, strict=False)],
        activation=ACTIVATIONS[config.activation],
        loss=config.loss,
        double=config.double,
        num_actions=environment.num_actions,
        categories=environment.categories,
        interpret=interpret,
    )


def _numbers(config: Config, state: AgentState, count: Array) -> Array:
    """Return what ``Numbers`` names, as one vector."""
    mu, nu = (1.0 - decay ** count.astype(jnp.float32) for decay in DECAYS)
    numbers = Numbers(
        rate=descent.step_size(config, state.updates),
        correction_mu=mu,
        correction_nu=nu,
        adam_epsilon=config.adam_epsilon,
        max_grad_norm=config.max_grad_norm,
        huber_delta=config.huber_delta,
        discount=config.discount,
        target_rate=config.target_rate,
        due=(state.updates + 1) % config.target_period == 0,
        halted=state.halted,
    )
    return jnp.stack([jnp.asarray(x, jnp.float32) for x in numbers])


def _rows(obs: Array, environment: Environment) -> Array:
    """Return observations as rows ``[B, inputs]``, or as the names of one-hot rows ``[B]``."""
    if environment.categories is not None:
        return obs.astype(jnp.int32)
    return obs.reshape(len(obs), -1).astype(jnp.float32)
