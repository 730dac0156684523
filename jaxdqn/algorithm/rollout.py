"""Learning from a short stretch of experience that is gathered, gone over a few times, forgotten.

What methods without a replay share: the rollout, its returns, its minibatches.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from jaxdqn import pytrees
from jaxdqn.algorithm import acting
from jaxdqn.algorithm.descent import Descent
from jaxdqn.config import Config
from jaxdqn.environment import Environment
from jaxdqn.method import State, Tally
from jaxdqn.random import unrolled
from jaxdqn.types import Array, Params, PRNGKey, Transition

Choose = Callable[[Array, Array, PRNGKey], tuple[Array, Any]]
"""``(bits [2], obs, key) -> (action [], kept)`` in one environment; what is kept of the choice
stands beside the step."""

BatchLoss = Callable[[Params, Any, PRNGKey], tuple[Array, Array]]
"""``(params, samples [B, ...], key) -> (loss [], mean value [])``."""


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


def fresh(params: Params, down: Descent) -> AgentState:
    """Return what learning starts from."""
    return AgentState(params, down.init(params), jnp.int32(0), jnp.bool_(False))


def gather(
    config: Config,
    environment: Environment,
    env_params: Any,
    state: State,
    tally: Tally,
    policy: Callable[[State], Choose],
) -> tuple[State, Tally, tuple[Transition, Any]]:
    """Step all environments ``rollout_steps`` times.

    Args:
        config: the settings.
        environment: where.
        env_params: its numbers.
        state: from where.
        tally: of episodes.
        policy: what chooses the actions at a step; its network is the same for all of them.

    Returns:
        State, tally, and transitions with what was kept of the choices, leaves ``[T, E, ...]``.
    """

    def step(carry: tuple[State, Tally], _: None) -> tuple[tuple[State, Tally], Any]:
        state, tally = carry
        actions, kept = acting.choose(state, config.num_envs, policy(state))
        state, seen = acting.step(environment, env_params, state, actions)
        return (state, tally.ended(seen.episodes, seen.returns)), (seen.transitions, kept)

    (state, tally), seen = lax.scan(step, (state, tally), length=config.rollout_steps)
    return state, tally, seen


def values_of(config: Config, value: Callable[[Array], Array], obs: Array) -> Array:
    """Return the value ``(obs) -> []`` of each observation of a rollout, ``[T, E]``.

    As many at once as learning takes, so that a long rollout needs no more memory than that.
    """
    rows = obs.reshape(-1, *obs.shape[2:])
    return lax.map(value, rows, batch_size=config.schedule.batch_size).reshape(obs.shape[:2])


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


def learn(
    config: Config, down: Descent, state: State, tally: Tally, samples: Any, batch_loss: BatchLoss
) -> tuple[State, Tally]:
    """Go over a rollout ``epochs`` times, each time in another order, in ``minibatches`` parts.

    Args:
        config: the settings.
        down: the optimiser.
        state: whose agent learns.
        tally: of updates.
        samples: leaves ``[T, E, ...]``.
        batch_loss: what to descend.
    """
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), samples)
    count = config.num_envs * config.rollout_steps

    def update(
        carry: tuple[AgentState, Tally], batch: Any
    ) -> tuple[tuple[AgentState, Tally], None]:
        agent, tally = carry
        key = jax.random.fold_in(unrolled(state.keys.learn), agent.updates)
        (loss, value), grads = jax.value_and_grad(batch_loss, has_aux=True)(
            agent.params, batch, key
        )
        agent, info = down.step(agent, loss, value, grads)
        return (agent, tally.learned(info)), None

    def epoch(carry: tuple[AgentState, Tally], _: None) -> tuple[tuple[AgentState, Tally], None]:
        key = jax.random.fold_in(unrolled(state.keys.sample), carry[0].updates)
        order = jnp.argsort(jax.random.bits(key, (count,))).reshape(config.minibatches, -1)
        return lax.scan(update, carry, jax.tree.map(lambda x: x[order], rows))

    (agent, tally), _ = lax.scan(epoch, (state.agent, tally), length=config.epochs)
    return state.replace(agent=agent), tally


def bytes_gathered(config: Config, environment: Environment, numbers: int) -> int:
    """Return the bytes of a rollout's transitions, of what is made of them, and of all shuffled.

    Args:
        config: the settings.
        environment: where.
        numbers: that a sample has beside what was seen, the action first, of four bytes each.
    """
    seen = pytrees.size(environment.obs)
    transition, sample = 2 * seen + 13, seen + 4 * numbers
    return config.num_envs * config.rollout_steps * (transition + 4 * (numbers - 1) + sample)
