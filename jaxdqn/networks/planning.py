"""A Q-network that plans on a grid: value iteration whose rewards and passages are learned."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxdqn.errors import ConfigError, counted
from jaxdqn.networks.grids import GridSettings, check_is_grid
from jaxdqn.networks.network import Seen, SideBySide
from jaxdqn.settings import static
from jaxdqn.types import Array, PRNGKey

GAIN = 10.0
"""Of what is learned about cells. Adam moves each weight by its step size, whatever the gradient
is, and these few have far to go: without it the layer behind them learns to do without a plan."""
AT_ONCE = 10
"""Rounds that a GPU makes as one piece of program, since each piece is waited for: twice as quick
(H200). On a CPU it is slower."""
SPREAD, OPEN = 0.3, 0.2
"""Of the first passages, before ``GAIN``: by how much they differ, in what they take for a wall
above all, and how open they are."""


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
def values(passage: Array, reward: Array, row: int, rounds: int) -> Array:
    """Return the values ``[..., N]`` of cells from which one goes on to the best neighbour.

    They are ``reward`` plus the most of the neighbours' ``passage`` times value, by so many rounds
    of value iteration. The gradient is that of where rounds without end would lead (implicit
    differentiation, as in Bai et al., 2019, arXiv:1909.01377), as near as as many rounds the other
    way come: nothing is kept of each, and on a CPU both take 3 times as long as the values alone,
    where through every round they took 90 times.

    Args:
        passage: share of a cell's value that remains for whom enters it, ``[..., N]``.
        reward: of being in it, likewise.
        row: as in ``neighbours``.
        rounds: as many cells of the way to a reward are seen.
    """

    def better(_: int, found: Array) -> Array:
        return reward + functools.reduce(jnp.maximum, neighbours(passage * found, row))

    return jax.lax.fori_loop(0, rounds, better, reward, unroll=_at_once())


def _at_once() -> int:
    return AT_ONCE if jax.default_backend() == "gpu" else 1


def _forward(
    passage: Array, reward: Array, row: int, rounds: int
) -> tuple[Array, tuple[Array, Array]]:
    found = values(passage, reward, row, rounds)
    return found, (passage, found)


def _backward(
    row: int, rounds: int, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    passage, found = kept
    beside = neighbours(passage * found, row)
    most = functools.reduce(jnp.maximum, beside)
    best = [(each == most).astype(slope.dtype) for each in beside]
    ties = sum(best)
    share = [each / ties for each in best]

    def credited(slope: Array) -> Array:
        """Give each cell's slope to the neighbour that it goes on to."""
        above, below, left, right = (neighbours(each * slope, row) for each in share)
        return above[1] + below[0] + left[3] + right[2]

    def further(_: int, total: Array) -> Array:
        return slope + passage * credited(total)

    total = jax.lax.fori_loop(0, rounds, further, slope, unroll=_at_once())
    return found * credited(total), total


values.defvjp(_forward, _backward)


class Planning(nn.Module):
    """Value iteration on learned maps, read where the agent stands.

    What a cell is worth and how well it is passed depend on what is seen in it; values spread from
    neighbour to neighbour, ``plans`` times side by side, each by its own maps; and ``dense`` reads
    what the four moves from the agent's cell lead to. After value iteration networks (Tamar et al.,
    2016, arXiv:1602.02867), with gates in place of convolutions (value propagation, Nardelli et
    al., 2019, arXiv:1805.11199).
    """

    dense: nn.Module
    plans: int
    rounds: int
    agent_plane: int

    @nn.compact
    def __call__(self, obs: Array, key: PRNGKey | None = None) -> Array:
        """Map one observation ``[H, W, C]`` of any dtype to outputs ``[A, K]``."""
        # Behind each row a zero, which is no cell.
        planes = jnp.pad(jnp.moveaxis(obs.astype(jnp.float32), -1, 0), ((0, 0), (0, 0), (0, 1)))
        _, height, row = planes.shape
        is_cell = jnp.arange(height * row) % row < row - 1
        planes = planes.reshape(len(planes), -1)
        here, seen = planes[self.agent_plane], jnp.delete(planes, self.agent_plane, axis=0)
        normal, constant = nn.initializers.normal, nn.initializers.constant
        maps = functools.partial(nn.Einsum, (self.plans, len(seen)), "cn,mc->mn")
        passage = maps(kernel_init=normal(SPREAD), bias_init=constant(OPEN), name="passage")
        reward = maps(kernel_init=normal(0.1), name="reward")
        passages = jnp.where(is_cell, nn.sigmoid(GAIN * passage(seen)), 0.0)
        found = values(passages, GAIN * reward(seen), row, self.rounds)
        # Who can't pass stays. A linear layer ranks these alike near a goal and far from it, where
        # values hardly differ.
        beside = jnp.stack(neighbours(here, row), axis=1)
        own = (found @ here)[:, None]
        moved, stayed = (passages * found) @ beside, own * (1.0 - passages @ beside)
        return self.dense(jnp.concatenate([moved, stayed, own], axis=1), key)


class PlanningSettings(GridSettings):
    """Value iteration on learned maps, for grids (H, W, C) of which one plane is the agent."""

    widths: tuple[int, ...] = static((), low=1)
    """Widths of the dense layers behind it; none: linear."""
    plans: int = static(8, low=1)
    """Maps side by side: of one alone, what is a wall is found by luck."""
    rounds: int = static(50, low=1)
    """Rounds of value iteration: as many cells of the way to a reward are seen. Weights are learned
    for a number of rounds, and are worse by another."""
    agent_plane: int = static(1, low=0)
    """Plane of the observation that says where the agent is; the others say what the cells are."""

    def check_reads(self, seen: Seen) -> None:
        """Refuse, with a ``ConfigError``, what is no grid with an agent's plane and others."""
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

    def side_by_side(self, width: int) -> SideBySide:
        """Most agents to train at the same time, with ``width`` numbers for each action."""
        del width  # values of cells are most of it
        return SideBySide(core=1)

    def module(self, layers: nn.Module, categories: int | None) -> nn.Module:
        """Return what plans on a grid, and dense layers behind it."""
        del categories  # planes are quantities
        return Planning(layers, self.plans, self.rounds, self.agent_plane)
