"""What is measured: along training, by the greedy policy, and against exact values."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import struct

from jaxdqn.types import Array


class Progress(struct.PyTreeNode):
    """How training goes; means are over the time since the row before.

    Attributes:
        env_steps: environment steps so far, warm-up included, int32.
        updates: gradient updates so far, int32.
        epsilon: probability of a random action at this point.
        loss: mean loss.
        q_mean: mean value of the actions learned from; of the states, where a policy is learned.
        grad_norm: mean global norm of the gradient before clipping.
        episodes: training episodes that ended, int32.
        episode_return: their mean return while exploring; NaN where none ended.
    """

    env_steps: Array
    updates: Array
    epsilon: Array
    loss: Array
    q_mean: Array
    grad_norm: Array
    episodes: Array
    episode_return: Array


class Evaluation(struct.PyTreeNode):
    """Means over the greedy episodes of one evaluation; float32 ``[]`` each.

    On mazes the episodes take the levels of the bank in their order, so that ``eval_episodes``
    equal to ``num_levels`` walks each once. What isn't measured is None: elsewhere than on mazes
    all from ``success`` on, and ``held_out`` where there are no such levels; where the network
    remembers, all that is compared with exact values, which are those of cells. With a discount of
    1, or hardly less, what is compared with a value that is infinite or takes too long is NaN.

    Attributes:
        eval_return: undiscounted return; of an episode cut at ``eval_steps``, up to the cut.
        eval_length: steps; of an episode that was cut, ``eval_steps``.
        success: share of episodes that reached the goal.
        spl: success weighted by (shortest / walked) path length (Anderson et al., 2018,
            arXiv:1807.06757).
        regret: value lost by acting greedily, V*(s) - V^greedy(s) at the start, by policy
            evaluation; its mean over all connected cells where episodes start at random.
        q_error: root mean square of Q - Q* over connected cells and all actions.
        q_bias: mean over connected cells of max Q - max Q*; above 0 is overestimation
            (van Hasselt et al., 2016, arXiv:1509.06461).
        return_distance: Wasserstein-1 distance between the distribution of returns that was learned
            for the start of the first level, and the true one of acting greedily; None where no
            distribution is learned.
        policy_regret: value lost by acting by a learned policy's own chances, V*(s) - V^pi(s),
            where ``regret`` looks; None where no policy is learned.
        value_error: root mean square of V - V^pi over connected cells: what is learned of the value
            of that policy, beside its exact value.
        held_out: the same measures on the levels that training never sees.
    """

    eval_return: Array
    eval_length: Array
    success: Array | None = None
    spl: Array | None = None
    regret: Array | None = None
    q_error: Array | None = None
    q_bias: Array | None = None
    return_distance: Array | None = None
    policy_regret: Array | None = None
    value_error: Array | None = None
    held_out: "Evaluation | None" = None


class Metrics(Evaluation, Progress):
    """One row per evaluation, leaves ``[T]``: all of ``Progress``, then all of ``Evaluation``."""


def named(metrics: Progress | Evaluation, prefix: str = "") -> dict[str, Any]:
    """Return what was measured by name; measures on held-out levels are ``held_out_*``."""
    found: dict[str, Any] = {}
    for name, rows in vars(metrics).items():
        if isinstance(rows, Evaluation):
            found |= named(rows, f"{name}_")
        elif rows is not None:
            found[prefix + name] = rows
    return found


def to_arrays(metrics: Progress | Evaluation) -> dict[str, np.ndarray]:
    """Return what was measured by name, in the host's memory."""
    return {name: np.asarray(rows) for name, rows in named(metrics).items()}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Metrics:
    """Invert ``to_arrays``.

    Raises:
        ValueError: a name that no measure has.
    """
    fields: dict[str, Any] = {name: arrays.get(name) for name in _fields(Metrics)}
    unseen: dict[str, Any] = {name: arrays.get(f"held_out_{name}") for name in _fields(Evaluation)}
    if strange := set(arrays) - set(fields) - {f"held_out_{name}" for name in unseen}:
        raise ValueError(f"measures {sorted(strange)} are not known")
    if any(rows is not None for rows in unseen.values()):
        fields["held_out"] = Evaluation(**unseen)
    return Metrics(**fields)


def concatenate(rows: list[Metrics]) -> Metrics:
    """Join rows of metrics, leaves ``[S]``, to leaves ``[S, T]``."""
    return jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *rows)


class Rows:
    """Rows of metrics as they come; to add one takes no longer where there are many."""

    def __init__(self, so_far: Metrics | None = None) -> None:
        """Begin with those so far, leaves ``[S, T]``, or with none."""
        self._count = 0 if so_far is None else so_far.env_steps.shape[1]
        self._room = so_far if self._count else None  # jaxdqn.run may have made none

    @property
    def metrics(self) -> Metrics | None:
        """All of them, leaves ``[S, T]``, which later rows leave as they are; None before any."""
        return jax.tree.map(lambda x: x[:, : self._count], self._room)

    def add(self, row: Metrics) -> None:
        """Add one, leaves ``[S]``."""
        if self._room is None:
            self._room = concatenate([row])
        elif self._count == self._room.env_steps.shape[1]:
            # Twice the room, so that each row is copied once or twice in all.
            self._room = jax.tree.map(lambda x: np.concatenate([x, x], axis=1), self._room)

        def put(room: np.ndarray, new: np.ndarray) -> None:
            room[:, self._count] = new

        jax.tree.map(put, self._room, row)
        self._count += 1


def _fields(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]
