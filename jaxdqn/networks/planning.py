"""A Q-network that plans on a grid: value iteration whose sources and passages are learned."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxdqn.errors import ConfigError, counted
from jaxdqn.networks.grids import check_is_grid
from jaxdqn.networks.network import Network, Seen, feedforward
from jaxdqn.settings import NetworkSettings, static
from jaxdqn.types import Array, PRNGKey

GAIN = 10.0
"""Of all weights: Adam moves each by its step size, whatever its gradient, and these have far to
go."""
AT_ONCE = 10
"""Rounds that a GPU makes as one piece of program, since each piece is waited for: twice as quick
(H200). On a CPU it is slower."""
SPREAD, OPEN = 0.3, 0.2
"""Of the first passages, before ``GAIN``: by how much they differ, in what they take for a wall
above all, and how open they are."""
READ = 0.1
"""Of each plan at first, before ``GAIN``: with weights of both signs half of the seeds learn to do
without a plan (benchmarks/NOTES.md)."""
SLIGHT = 0.1
"""Plans are read by more than this share of the greatest weight, or not at all, and so by no weight
below 0."""
CLOSED = 0.2
"""What is passed by less than this share isn't passed: mazes of 7×7 teach no more than that a way
through a wall is worse than twenty moves around it, and in larger ones it would be better."""
MOVES = "udlr"
"""Of a maze's actions: up, down, left, right."""
STAY = "s"


def neighbours(x: Array, row: int) -> Sequence[Array]:
    """Return what is above, below, left and right of each cell ``[..., N]``, zero off the grid.

    Args:
        x: rows one after another, a zero at the end of each. Slices of a vector are contiguous,
            which makes this three times as quick on a CPU as slices of a grid.
        row: cells of a row, with the zero.
    """
    size = x.shape[-1]
    wide = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(row, row)])
    return [wide[..., at : at + size] for at in (0, 2 * row, row - 1, row + 1)]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def values(passage: Array, source: Array, row: int, rounds: int) -> Array:
    """Return the values ``[..., N]`` of cells: their own, or what the best way to another leaves.

    That is the greater of ``source`` and the most of the neighbours' ``passage`` times value, by so
    many rounds of value iteration. Rounds beyond the longest way change nothing. The gradient is
    that of where they lead (implicit differentiation, as in Bai et al., 2019, arXiv:1909.01377), as
    near as as many rounds the other way come: nothing is kept of each, and on a CPU both take 3
    times as long as the values alone, where through every round they took 90 times.

    Args:
        passage: share of a cell's value that remains for whom enters it, 0 to 1, ``[..., N]``.
        source: a cell's own value, 0 or more, likewise.
        row: as in ``neighbours``.
        rounds: as many cells of the way to a source are seen.
    """

    def better(_: int, found: Array) -> Array:
        return jnp.maximum(source, _most(neighbours(passage * found, row)))

    return jax.lax.fori_loop(0, rounds, better, source, unroll=_at_once())


def _most(beside: Sequence[Array]) -> Array:
    return functools.reduce(jnp.maximum, beside)


def _at_once() -> int:
    return AT_ONCE if jax.default_backend() == "gpu" else 1


def _forward(
    passage: Array, source: Array, row: int, rounds: int
) -> tuple[Array, tuple[Array, Array, Array]]:
    found = values(passage, source, row, rounds)
    return found, (passage, source, found)


def _backward(
    row: int, rounds: int, kept: tuple[Array, Array, Array], slope: Array
) -> tuple[Array, Array]:
    passage, source, found = kept
    beside = neighbours(passage * found, row)
    most = _most(beside)
    goes_on = (most > source).astype(slope.dtype)
    best = [(each == most).astype(slope.dtype) for each in beside]
    ties = sum(best)
    share = [goes_on * each / ties for each in best]

    def credited(slope: Array) -> Array:
        """Give each cell's slope to the neighbour that it goes on to."""
        above, below, left, right = (neighbours(each * slope, row) for each in share)
        return above[1] + below[0] + left[3] + right[2]

    def further(_: int, total: Array) -> Array:
        return slope + passage * credited(total)

    total = jax.lax.fori_loop(0, rounds, further, slope, unroll=_at_once())
    return found * credited(total), (1.0 - goes_on) * total


values.defvjp(_forward, _backward)


class Planning(nn.Module):
    """Value iteration on learned maps, read where the agent stands.

    What a cell is worth and how well it is passed depend on what is seen in it; values spread from
    neighbour to neighbour, ``plans`` times side by side, each by its own maps; and one linear
    layer, the same for every move, reads what each leads to. After value iteration networks (Tamar
    et al., 2016, arXiv:1602.02867), with gates in place of convolutions (value propagation,
    Nardelli et al., 2019, arXiv:1805.11199). No weight knows a place, a size or a number of rounds,
    so that what is learned in small grids holds in larger ones.
    """

    num_actions: int
    width: int  # K
    moves: str
    plans: int
    rounds: int
    agent_plane: int

    @nn.compact
    def __call__(self, obs: Array, key: PRNGKey | None = None) -> Array:
        """Map one observation ``[H, W, C]`` of any dtype to outputs ``[A, K]``."""
        del key
        # Behind each row a zero, which is no cell.
        planes = jnp.pad(jnp.moveaxis(obs.astype(jnp.float32), -1, 0), ((0, 0), (0, 0), (0, 1)))
        _, height, row = planes.shape
        is_cell = jnp.arange(height * row) % row < row - 1
        planes = planes.reshape(len(planes), -1)
        here, seen = planes[self.agent_plane], jnp.delete(planes, self.agent_plane, axis=0)
        normal, constant = nn.initializers.normal, nn.initializers.constant
        shape = (self.plans, len(seen))
        maps = nn.Einsum(shape, "cn,mc->mn", kernel_init=normal(SPREAD),
                         bias_init=constant(OPEN), name="passage")  # fmt: skip
        # Both are exactly 0 from somewhere on: what is closed is so for the longest way round, and
        # what is no goal doesn't outshine one that is far.
        passage = jnp.where(is_cell, 1.0 - jnp.exp(-nn.relu(GAIN * maps(seen))), 0.0)
        passage = jnp.where(passage > CLOSED, passage, 0.0)
        source = jax.nn.sparse_sigmoid(GAIN * self.param("source", normal(0.1), shape)) @ seen
        found = values(passage, source, row, self.rounds)
        below, above, right, left = neighbours(here, row)
        beside = jnp.stack([above, below, left, right], axis=1)
        own, worth = passage @ here[:, None], found @ here[:, None]
        # Who can't pass stays.
        stopped = nn.relu(own - passage @ beside) * worth
        leads = jnp.concatenate([(passage * found) @ beside + stopped, own * worth], axis=1)
        others = self.num_actions - len(self.moves)
        kinds = (1 + others, self.width)
        kernel = self.param("kernel", constant(READ), (*kinds, self.plans))
        bias = self.param("bias", nn.initializers.zeros, kinds)
        most = jnp.max(kernel, axis=-1, keepdims=True)
        read = jnp.where(kernel > SLIGHT * most, kernel, 0.0)
        outputs = GAIN * (jnp.einsum("okm,mj->jok", read, leads) + bias[None])
        places = jnp.array([(MOVES + STAY).index(move) for move in self.moves])
        return jnp.concatenate([outputs[places, 0], outputs[-1, 1:]])


class PlanningSettings(NetworkSettings):
    """Value iteration on learned maps, for grids (H, W, C) of which one plane is the agent."""

    plans: int = static(8, low=1)
    """Maps side by side: of one alone, what is a wall is found by luck."""
    rounds: int = static(50, low=1)
    """Rounds of value iteration: as many cells of the way to a goal are seen. Weights are the same
    for any number."""
    agent_plane: int = static(1, low=0)
    """Plane of the observation that says where the agent is; the others say what the cells are."""
    moves: str = static(MOVES)
    """What the first actions do, a letter each: u, d, l, r (to the next cell up, down, left, right)
    or s (stay). Others have weights of their own, for what staying is worth."""

    def reaching(self, moves: int) -> "PlanningSettings":
        """Return the settings by which the same weights plan ways of so many moves."""
        return self.replace(rounds=max(self.rounds, moves))

    def check_reads(self, seen: Seen) -> None:
        """Refuse, with a ``ConfigError``, what is no grid with an agent's plane and others, and
        actions that there aren't.
        """
        check_is_grid("planning", seen)
        planes = seen.shape[2]
        if not self.agent_plane < planes:
            raise ConfigError(
                f"agent_plane ({self.agent_plane}) is beyond the {counted(planes, 'plane')} of "
                f"{seen.env}'s observations: set it to that of the agent, 0 to {planes - 1}."
            )
        shows = (seen.env_kwargs.get("observation"), self.agent_plane)
        if seen.is_maze and shows != ("planes", 1):
            raise ConfigError(
                f"agent_plane ({self.agent_plane}) must be that of the agent, which only planes "
                "show: set env_kwargs.observation = 'planes' and agent_plane = 1."
            )
        if planes == 1:
            raise ConfigError(
                f"network ('planning') has nothing to plan on in {seen.env}'s observations, whose "
                "one plane is the agent's: set network = 'residual'."
            )
        if seen.is_maze and self.moves != MOVES:
            raise ConfigError(
                f"moves ({self.moves!r}) must be {MOVES!r}, which {seen.env}'s actions are: leave "
                "it out."
            )
        if not set(self.moves) <= set(MOVES + STAY) or not 0 < len(self.moves) <= seen.num_actions:
            raise ConfigError(
                f"moves ({self.moves!r}) must be a letter of {MOVES + STAY!r} for each of the "
                f"first actions of {seen.env}, which has {seen.num_actions}: change it."
            )

    def make(
        self, num_actions: int, width: int, categories: int | None, at_fractions: bool = False
    ) -> Network:
        """Return the network of ``width`` numbers for each action; see ``DenseSettings``."""
        del categories, at_fractions  # planes are quantities
        shape = (num_actions, width, self.moves, self.plans, self.rounds, self.agent_plane)
        return feedforward(Planning(*shape))
