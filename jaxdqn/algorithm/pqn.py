"""PQN: Q-learning by λ-returns of parallel environments, without replay or target network.

Gallici et al. (2024, arXiv:2407.04811). What keeps it stable in their place is layer
normalisation, which ``method = "pqn"`` turns on. Theirs uses RAdam; this one Adam, as all here.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdqn.algorithm import exploration, rollout
from jaxdqn.algorithm.rollout import Choose, Parts, Row
from jaxdqn.config import Config
from jaxdqn.environment import Environment
from jaxdqn.method import Method, State, Tally
from jaxdqn.networks.network import Memory, Network
from jaxdqn.types import Array, Params, PRNGKey


class _Sample(NamedTuple):
    """One step to learn from."""

    obs_tm1: Array
    a_tm1: Array  # int32 []
    target: Array  # float32 []


def make(config: Config, environment: Environment, env_params: Any) -> Method:
    """Build the method for an environment's observations and actions."""
    parts = rollout.assemble(config, environment, env_params, environment.num_actions)
    network = parts.network

    def act(params: Params, memory: Memory, obs: Array, _: PRNGKey) -> tuple[Array, Memory]:
        q, memory = _q_values(network, params, memory, obs)
        return jnp.argmax(q), memory

    def q_values(params: Params, obs: Array) -> Array:
        return _q_values(network, params, network.memory(), obs)[0]

    return Method(
        init=partial(rollout.init, parts),
        warmup=lambda state: state,
        iterate=partial(_iterate, parts),
        epsilon=partial(_epsilon, config),
        memory=network.memory,
        act=act,
        outputs=lambda params, obs: network.apply(params, network.memory(), obs, True, None)[0],
        q_values=None if network.remembers else q_values,
        side_by_side=network.side_by_side,
        bytes_per_transition=0,
        learned_by=("rollout_steps", "num_envs"),
    )


def _q_values(
    network: Network, params: Params, memory: Memory, obs: Array, key: PRNGKey | None = None
) -> tuple[Array, Memory]:
    """Return action values ``[A]``, and what is remembered then, within an episode."""
    outputs, memory = network.apply(params, memory, obs, False, key)
    return outputs[:, 0], memory


def _epsilon(config: Config, state: State) -> Array:
    return exploration.linear_epsilon(
        state.vector_steps * config.num_envs,
        config.epsilon_start, config.epsilon_end, config.epsilon_steps,
    )  # fmt: skip


def _iterate(parts: Parts, state: State, tally: Tally) -> tuple[State, Tally]:
    """Act for a rollout, value it once by the network that acted, then learn from it."""
    config, params, begun = parts.config, state.agent.params, state.memory
    q_values = partial(_q_values, parts.network, params)

    def policy(state: State) -> Choose:
        epsilon = _epsilon(config, state)

        def choose(
            bits: Array, obs: Array, key: PRNGKey, memory: Memory
        ) -> tuple[Array, Memory, tuple[()]]:
            q, memory = q_values(memory, obs, key)
            return exploration.epsilon_greedy(bits, q, epsilon), memory, ()

        return choose

    state, tally, seen = rollout.gather(parts, state, tally, policy)
    steps = seen.steps
    values_t = rollout.values_of(config, lambda *seen: jnp.max(q_values(*seen)[0]), seen)
    targets = rollout.returns_side_by_side(steps, values_t, config.discount, config.td_lambda)
    samples = _Sample(steps.obs_tm1, steps.a_tm1, targets)
    rows = rollout.rows(parts.network, begun, steps, samples)
    return rollout.learn(parts, state, tally, rows, partial(_loss, parts))


def _loss(parts: Parts, params: Params, batch: Row, key: PRNGKey) -> tuple[Array, Array]:
    """Return half the mean squared error, and the mean value of the actions."""
    noisy = parts.network.perturb(params, key)
    q = jax.vmap(partial(rollout.outputs_of, parts.network), (None, 0))(noisy, batch)[..., 0]
    # A sum over a mask, not an index: the transpose of an index is a scatter.
    chosen = jax.nn.one_hot(batch.sample.a_tm1, parts.environment.num_actions)
    q_tm1 = jnp.sum(q * chosen, axis=-1)
    return jnp.mean(optax.losses.l2_loss(q_tm1, batch.sample.target)), jnp.mean(q_tm1)
