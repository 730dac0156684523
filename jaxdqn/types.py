"""Words that every module shares.

Shape letters, used beside fields and in docstrings throughout the package:

======  ==========================================
``E``   parallel environments of one agent
``B``   transitions in a batch
``A``   actions
``K``   numbers that the network gives per action
``N``   slots of the replay buffer
``S``   seeds (agents trained side by side)
``T``   evaluations along training
``H W`` rows and columns of a maze
``L``   levels in a bank of mazes
``R``   side of an egocentric view
``M``   tasks that scores are compared on
======  ==========================================

In formulas ``_tm1`` is the step before the transition and ``_t`` the step after it.
"""

from typing import Any

import jax
from chex import ArrayTree, PRNGKey
from flax import struct

Array = jax.Array
Params = ArrayTree

__all__ = ["Array", "ArrayTree", "PRNGKey", "Params", "Transition", "shared"]


def shared() -> Any:
    """Declare a field of a state that is the same for all agents trained side by side.

    It has no axis of agents: an index that differed between them would turn every write to the
    replay from a slice into a scatter.
    """
    return struct.field(metadata={"shared": True})


class Transition(struct.PyTreeNode):
    """One step of one environment.

    There is no ``done``: ``discount_t`` is 0 where the world ended and 1 elsewhere, also where
    only the clock ran out, and ``obs_t`` is what the agent saw last, never the reset. A time
    limit is therefore bootstrapped correctly (Pardo et al., 2018, arXiv:1712.00378).

    ``last`` says whether the environment's next step is of another episode, which the discount
    can't; None where nothing looks beyond one step.
    """

    obs_tm1: Any
    a_tm1: Array  # int32 []
    r_t: Array  # float32 []
    discount_t: Array  # float32 []
    obs_t: Any
    last: Any = None  # bool []
