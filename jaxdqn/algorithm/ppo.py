"""PPO: a policy and a value from one network, by a clipped policy gradient.

Schulman et al. (2017, arXiv:1707.06347), with generalised advantages (Schulman et al., 2016,
arXiv:1506.02438). With ``epochs`` and ``minibatches`` of 1 nothing is ever clipped, and it is an
actor-critic method; with ``gae_lambda`` of 1, too, without normalised advantages and without a
bonus of entropy, REINFORCE with a baseline (Williams, 1992), bootstrapped where the rollout ends.
"""

from collections.abc import Callable
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

Judge = Callable[[Params, Row], tuple[Array, Array]]
"""``(params, row) -> (logarithms of probabilities [..., A], values [...])`` of one row's steps."""


class Sample(NamedTuple):
    """One step to learn from."""

    obs_tm1: Array
    a_tm1: Array  # int32 []
    log_probability: Array  # float32 [], of the action, by the network that took it
    advantage: Array  # float32 []
    target: Array  # float32 [], of the value


def make(config: Config, environment: Environment, env_params: Any) -> Method:
    """Build the method for an environment's observations and actions."""
    parts = rollout.assemble(config, environment, env_params, environment.num_actions + 1)
    network = parts.network

    def act(params: Params, memory: Memory, obs: Array, _: PRNGKey) -> tuple[Array, Memory]:
        (log_probabilities, _), memory = _judge(network, params, memory, obs)
        return jnp.argmax(log_probabilities), memory

    def outputs(params: Params, obs: Array) -> tuple[Array, Array]:
        return _judge(network, params, network.memory(), obs)[0]

    def policy(params: Params, obs: Array) -> tuple[Array, Array]:
        log_probabilities, value = outputs(params, obs)
        return jnp.exp(log_probabilities), value

    return Method(
        init=partial(rollout.init, parts),
        warmup=lambda state: state,
        iterate=partial(_iterate, parts),
        epsilon=lambda _: jnp.float32(0.0),
        memory=network.memory,
        act=act,
        outputs=outputs,
        q_values=None,
        side_by_side=network.side_by_side,
        bytes_per_transition=0,
        learned_by=("rollout_steps", "num_envs"),
        policy=None if network.remembers else policy,
    )


def _judge(
    network: Network, params: Params, memory: Memory, obs: Array
) -> tuple[tuple[Array, Array], Memory]:
    """Judge one observation within an episode; return what is remembered then, too."""
    outputs, memory = network.apply(params, memory, obs, False, None)
    return _meaning(outputs), memory


def _meaning(outputs: Array) -> tuple[Array, Array]:
    """Return what outputs ``[..., A + 1, 1]`` mean: a policy and a value."""
    return jax.nn.log_softmax(outputs[..., :-1, 0]), outputs[..., -1, 0]


def _iterate(parts: Parts, state: State, tally: Tally) -> tuple[State, Tally]:
    """Act for a rollout, judge it once by the network that acted, then learn from it."""
    config, network, begun = parts.config, parts.network, state.memory
    judge = partial(_judge, network, state.agent.params)

    def choose(
        bits: Array, obs: Array, _: PRNGKey, memory: Memory
    ) -> tuple[Array, Memory, tuple[Array, Array]]:
        (log_probabilities, value), memory = judge(memory, obs)
        action = exploration.drawn(bits, jnp.exp(log_probabilities))
        return action, memory, (log_probabilities[action], value)

    def policy(_: State) -> Choose:
        return choose

    state, tally, seen = rollout.gather(parts, state, tally, policy)
    steps, (log_probability, values_tm1) = seen.steps, seen.kept
    values_t = rollout.values_of(config, lambda *seen: judge(*seen)[0][1], seen)
    # Generalised advantages are λ-returns less the value before the step.
    targets = rollout.returns_side_by_side(steps, values_t, config.discount, config.gae_lambda)
    samples = Sample(steps.obs_tm1, steps.a_tm1, log_probability, targets - values_tm1, targets)

    def judge_row(params: Params, row: Row) -> tuple[Array, Array]:
        return _meaning(rollout.outputs_of(network, params, row))

    rows = rollout.rows(network, begun, steps, samples)
    batch_loss = partial(loss, config, judge_row)
    return rollout.learn(parts, state, tally, rows, batch_loss)


def loss(
    config: Config, judge: Judge, params: Params, batch: Row, _: PRNGKey | None = None
) -> tuple[Array, Array]:
    """Return what is descended, and the mean value.

    The clipped surrogate of the policy's gain, half the squared error of the value, and entropy,
    each a mean over samples, the last two by their coefficients.

    Args:
        config: the settings.
        judge: what is learned.
        params: its weights.
        batch: rows, leaves ``[B, ...]``.
    """
    log_probabilities, values = jax.vmap(judge, (None, 0))(params, batch)
    sample = batch.sample
    # A sum over a mask, not an index: the transpose of an index is a scatter.
    chosen = jax.nn.one_hot(sample.a_tm1, log_probabilities.shape[-1])
    ratio = jnp.exp(jnp.sum(log_probabilities * chosen, axis=-1) - sample.log_probability)
    advantage = sample.advantage
    if config.normalise_advantages:
        advantage = (advantage - jnp.mean(advantage)) / (jnp.std(advantage) + 1e-8)
    clipped = jnp.clip(ratio, 1.0 - config.clip_range, 1.0 + config.clip_range)
    gain = jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))
    error = jnp.mean(optax.losses.l2_loss(values, sample.target))
    entropy = -jnp.mean(jnp.sum(jnp.exp(log_probabilities) * log_probabilities, axis=-1))
    found = config.value_coefficient * error - gain - config.entropy_coefficient * entropy
    return found, jnp.mean(values)
