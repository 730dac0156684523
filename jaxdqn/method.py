"""What training asks of a method of learning, and the state that it carries on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import struct

from jaxdqn.networks.network import Memory, SideBySide
from jaxdqn.types import Array, Params, PRNGKey, shared


class Keys(struct.PyTreeNode):
    """One key for each thing that chance pays for; each use folds in a counter.

    Evaluation has a stream of its own, so that looking more often changes nothing in training.
    New streams are appended: the old ones keep their bits.
    """

    explore: PRNGKey
    env: PRNGKey
    sample: PRNGKey
    eval: PRNGKey
    noise: PRNGKey
    learn: PRNGKey


class State(struct.PyTreeNode):
    """Everything that a run needs to carry on: arrays only.

    Attributes:
        agent: networks and optimiser; ``params``, ``updates`` and ``halted`` are in every
            method's.
        replay: what the method keeps of experience; ``()`` where it keeps nothing.
        env_state: states of the environments, leaves ``[E, ...]``.
        obs: what the agent sees, ``[E, ...]``.
        episode_return: return of each episode under way, float32 ``[E]``.
        memory: what the network remembers of it, leaves ``[E, ...]``; ``()`` where it does not.
        keys: one for each purpose.
        vector_steps: steps of all environments so far, warm-up included, int32 ``[]``.
        evaluations: evaluations so far, int32 ``[]``.
    """

    agent: Any
    replay: Any
    env_state: Any
    obs: Array
    episode_return: Array
    memory: Memory
    keys: Keys
    vector_steps: Array = shared()
    evaluations: Array = shared()


class LearnInfo(struct.PyTreeNode):
    """What one update measured, over its batch; float32 ``[]`` each; NaN once learning halted.

    Attributes:
        loss: mean loss.
        q_mean: mean value of the actions in the batch, before the update.
        grad_norm: global norm of the gradient, before clipping.
    """

    loss: Array
    q_mean: Array
    grad_norm: Array


class Tally(struct.PyTreeNode):
    """Sums since the last evaluation, ``[]`` each: over updates, then over ended episodes.

    In float32: a mean over 10⁵ updates may be off by 0.01 %, over 10⁶ by 1 %.
    """

    loss: Array
    q_mean: Array
    grad_norm: Array
    episodes: Array
    returns: Array

    @classmethod
    def zero(cls) -> "Tally":
        """Nothing so far."""
        zero = jnp.float32(0.0)
        return cls(loss=zero, q_mean=zero, grad_norm=zero, episodes=jnp.int32(0), returns=zero)

    def ended(self, episodes: Array, returns: Array) -> "Tally":
        """Add episodes that ended, and the sum of their returns."""
        return self.replace(episodes=self.episodes + episodes, returns=self.returns + returns)

    def learned(self, info: LearnInfo) -> "Tally":
        """Add an update."""
        return self.replace(
            loss=self.loss + info.loss,
            q_mean=self.q_mean + info.q_mean,
            grad_norm=self.grad_norm + info.grad_norm,
        )


class Method(NamedTuple):
    """One way of learning, as pure functions for one agent.

    Attributes:
        init: ``(key) -> (agent, replay)``, the parts of a state that are its own; the key is
            consumed.
        warmup: ``(state) -> state`` before anything is learned; the identity where nothing is
            collected first.
        iterate: ``(state, tally) -> (state, tally)``, one iteration of acting and learning.
        epsilon: ``(state) -> []``, probability of a uniformly random action at this point.
        memory: ``() -> memory`` of a network at the start of an episode.
        act: ``(params, memory, obs, key) -> (action [], memory)`` for one observation, greedily.
        outputs: ``(params, obs) ->`` all that the network gives for one observation.
        q_values: ``(params, obs) -> [A]`` for one observation; None where nothing estimates them,
            or where they depend on what is remembered, too.
        returns: ``(params, obs) -> (returns [A, K], probabilities [A, K])`` for one observation;
            None where no distribution is estimated.
        policy: ``(params, obs) -> (probabilities [A], value [])`` for one observation, of a policy
            that acts by chance, and what is learned of its value; None where there is none, or
            where it depends on what is remembered, too.
        kept_by: words that decide how much experience an agent keeps, what decides most first.
        learned_by: words that decide how much it gathers and learns from at once.
        side_by_side: most agents to train at the same time.
        bytes_per_transition: of the replay; 0 where there is none.
    """

    init: Callable[[PRNGKey], tuple[Any, Any]]
    warmup: Callable[[State], State]
    iterate: Callable[[State, Tally], tuple[State, Tally]]
    epsilon: Callable[[State], Array]
    memory: Callable[[], Memory]
    act: Callable[[Params, Memory, Array, PRNGKey], tuple[Array, Memory]]
    outputs: Callable[[Params, Array], Any]
    q_values: Callable[[Params, Array], Array] | None
    side_by_side: SideBySide
    bytes_per_transition: int
    kept_by: tuple[str, ...] = ("num_envs",)
    learned_by: tuple[str, ...] = ()
    returns: Callable[[Params, Array], tuple[Array, Array]] | None = None
    policy: Callable[[Params, Array], tuple[Array, Array]] | None = None
