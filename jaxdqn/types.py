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

import difflib
from collections.abc import Iterable
from typing import Any

import jax
from chex import ArrayTree, PRNGKey
from flax import struct

Array = jax.Array
Params = ArrayTree

__all__ = [
    "Array",
    "ArrayTree",
    "ConfigError",
    "PRNGKey",
    "Params",
    "Transition",
    "reason_of",
    "shared",
    "shown",
    "unknown",
]


class ConfigError(ValueError):
    """A setting that can't be honoured; the message names the field, its value and the remedy."""


def reason_of(error: OSError, otherwise: str = "unknown reason") -> str:
    """Return why the system refused a file, in the words of a message."""
    return (error.strerror or otherwise).lower()


def shown(value: Any) -> str:
    """Return a value as a message shows it: on one line, without the addresses of objects."""
    text = " ".join(repr(value).split())
    if " at 0x" in text:
        return f"of type {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]} …"


def unknown(kind: str, name: Any, known: Iterable[str], where: str = "") -> ConfigError:
    """Return the error for a misspelt name, with the nearest known one."""
    known = sorted(known)
    word = name if isinstance(name, str) else ""
    nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    remedy = f"did you mean {nearest[0]!r}?" if nearest else f"use one of {', '.join(known)}."
    return ConfigError(f"{kind} {shown(name)} is not known{where}: {remedy}")


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
