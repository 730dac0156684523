"""Learning from a short stretch of experience that is gathered, gone over a few times, forgotten.

What methods without a replay share: the rollout, its returns, its minibatches. Where the network
remembers, these are sequences of the whole rollout, read from what it remembered at its start:
backpropagation through time, truncated there.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from jaxdqn.algorithm import acting, descent
from jaxdqn.algorithm.descent import Descent
from jaxdqn.config import Config
from jaxdqn.environment import Environment
from jaxdqn.method import State, Tally
from jaxdqn.networks.memory import begins, unroll
from jaxdqn.networks.network import Memory, Network, forgotten
from jaxdqn.random import unrolled
from jaxdqn.types import Array, Params, PRNGKey, Transition

Choose = Callable[[Array, Array, PRNGKey, Memory], tuple[Array, Memory, Any]]
"""``(bits [2], obs, key, memory) -> (action [], memory, kept)`` in one environment; what is kept of
the choice stands beside the step."""


class Rollout(NamedTuple):
    """What was seen and chosen, leaves ``[T, E, ...]``.

    Attributes:
        steps: transitions.
        memory: what was remembered when the action was chosen; of what came before and of
            ``obs_tm1``.
        kept: of the choices.
    """

    steps: Transition
    memory: Memory
    kept: Any


class Row(NamedTuple):
    """What minibatches are made of: one step, or all steps of one environment in line.

    Attributes:
        sample: what is learned from, leaves ``[...]`` or ``[T, ...]``; it has an ``obs_tm1``.
        memory: before the first of the steps.
        first: where an episode starts, ``[T]``; None of a step alone.
    """

    sample: Any
    memory: Memory = ()
    first: Array | None = None


BatchLoss = Callable[[Params, Row, PRNGKey], tuple[Array, Array]]
"""``(params, rows [B, ...], key) -> (loss [], mean value [])``."""


class AgentState(struct.PyTreeNode):
    """All that learning changes.

    Attributes:
        params: the network.
        opt_state: Adam's moments, of all weights as one vector.
        updates: gradient updates so far, int32 ``[]``.
        halted: whether learning has stopped for good, since the next update would have left the
            finite numbers, bool ``[]``.
    """

    params: Params
    opt_state: Any
    updates: Array
    halted: Array


class Parts(NamedTuple):
    """What the settings chose, put together."""

    config: Config
    environment: Environment
    env_params: Any
    network: Network
    down: Descent


def assemble(config: Config, environment: Environment, env_params: Any, outputs: int) -> Parts:
    """Put together what a method learns with, by a network of so many outputs."""
    network = config.part("memory").make(config.part("network"), outputs, 1, environment.categories)
    down = descent.make(config, network)
    return Parts(config, environment, env_params, network, down)


def init(parts: Parts, key: PRNGKey) -> tuple[AgentState, tuple[()]]:
    """Return what learning starts from, and no replay; the key is consumed."""
    params = parts.network.init(unrolled(key), jnp.zeros_like(parts.environment.obs))
    agent = AgentState(params, parts.down.init(params), jnp.int32(0), jnp.bool_(False))
    return agent, ()


def gather(
    parts: Parts, state: State, tally: Tally, policy: Callable[[State], Choose]
) -> tuple[State, Tally, Rollout]:
    """Step all environments ``rollout_steps`` times.

    Args:
        parts: of the method.
        state: from where.
        tally: of episodes.
        policy: what chooses the actions at a step; its network is the same for all of them.
    """
    config, fresh = parts.config, parts.network.memory()

    def step(carry: tuple[State, Tally], _: None) -> tuple[tuple[State, Tally], Any]:
        state, tally = carry
        actions, memory, kept = acting.choose(config, state, policy(state), state.memory)
        state, seen = acting.step(parts.environment, parts.env_params, state, actions)
        carried = jax.vmap(forgotten, (None, 0, 0))(fresh, seen.transitions.last, memory)
        carry = state.replace(memory=carried), tally.ended(seen.episodes, seen.returns)
        return carry, Rollout(seen.transitions, memory, kept)

    (state, tally), seen = lax.scan(step, (state, tally), length=config.rollout_steps)
    return state, tally, seen


def values_of(config: Config, value: Callable[[Memory, Array], Array], seen: Rollout) -> Array:
    """Return the value ``(memory, obs) -> []`` of what was seen last in each step, ``[T, E]``.

    As many at once as learning takes, so that a long rollout needs no more memory than that.
    """
    rows = _flat((seen.memory, seen.steps.obs_t))
    values = lax.map(lambda row: value(*row), rows, batch_size=config.schedule.batch_size)
    return values.reshape(seen.steps.r_t.shape)


def lambda_returns(
    steps: Transition, values_t: Array, discount: float | Array, decay: float | Array
) -> Array:
    """Return what each step of one environment's rollout was worth, ``[T]``.

    ``G = r_t + discount * discount_t * ((1 - decay) * v_t + decay * G')``, where ``G'`` is what the
    step after it was worth, and ``v_t`` in its place where there is none: where an episode ended,
    by the world or by the clock, and where the rollout does (Sutton and Barto, 2018, section 12.1).

    Each step brings the value of what was seen last *in it*, ``obs_t``, so that no value is one
    step early, one late, or of a reset.

    Args:
        steps: in line, leaves ``[T, ...]``.
        values_t: of ``obs_t``, ``[T]``.
        discount: discount factor.
        decay: lambda; 0: one reward, then the value; 1: all rewards there are.
    """

    def back(after: Array, step: tuple[Transition, Array]) -> tuple[Array, Array]:
        steps, value = step
        goes_on = jnp.where(steps.last, value, (1.0 - decay) * value + decay * after)
        worth = steps.r_t + discount * steps.discount_t * goes_on
        return worth, worth

    line = steps.replace(obs_tm1=None, obs_t=None)
    return lax.scan(back, values_t[-1], (line, values_t), reverse=True)[1]


returns_side_by_side = jax.vmap(lambda_returns, (1, 1, None, None), 1)
"""``lambda_returns`` of all environments: of leaves ``[T, E, ...]`` and values ``[T, E]``."""


def rows(network: Network, begun: Memory, steps: Transition, samples: Any) -> Row:
    """Return what a rollout gives to learn from: its steps, or one sequence of each environment.

    Args:
        network: what is to read it.
        begun: what was remembered before the first step, leaves ``[E, ...]``.
        steps: of the rollout.
        samples: what is learned from each step, leaves ``[T, E, ...]``.
    """
    if not network.remembers:
        return Row(_flat(samples))
    samples, first = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), (samples, begins(steps.last)))
    return Row(samples, begun, first)


def outputs_of(network: Network, params: Params, row: Row) -> Array:
    """Return what a network gives for one row, ``[A, K]`` or ``[T, A, K]``."""
    obs = row.sample.obs_tm1
    if row.first is None:
        return network.apply(params, row.memory, obs, True, None)[0]
    return unroll(network, params, row.memory, obs, row.first)[0]


def learn(
    parts: Parts, state: State, tally: Tally, rows: Row, batch_loss: BatchLoss
) -> tuple[State, Tally]:
    """Go over a rollout ``epochs`` times, each time in another order, in ``minibatches`` parts.

    Args:
        parts: of the method.
        state: whose agent learns.
        tally: of updates.
        rows: what to learn from.
        batch_loss: what to descend.
    """
    count = len(jax.tree.leaves(rows)[0])

    def update(
        carry: tuple[AgentState, Tally], batch: Any
    ) -> tuple[tuple[AgentState, Tally], None]:
        agent, tally = carry
        key = jax.random.fold_in(unrolled(state.keys.learn), agent.updates)
        (loss, value), grads = jax.value_and_grad(batch_loss, has_aux=True)(
            agent.params, batch, key
        )
        agent, info = parts.down.step(agent, loss, value, grads)
        return (agent, tally.learned(info)), None

    def epoch(carry: tuple[AgentState, Tally], _: None) -> tuple[tuple[AgentState, Tally], None]:
        key = jax.random.fold_in(unrolled(state.keys.sample), carry[0].updates)
        order = jnp.argsort(jax.random.bits(key, (count,))).reshape(parts.config.minibatches, -1)
        return lax.scan(update, carry, jax.tree.map(lambda x: x[order], rows))

    (agent, tally), _ = lax.scan(epoch, (state.agent, tally), length=parts.config.epochs)
    return state.replace(agent=agent), tally


def _flat(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), tree)
