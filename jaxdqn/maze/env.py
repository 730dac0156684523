"""The maze as a gymnax environment."""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdqn.deferred import environment, spaces
from jaxdqn.errors import ConfigError
from jaxdqn.maze import check, grid, observe, solve
from jaxdqn.maze.levels import Levels, bank_of, split
from jaxdqn.random import unit, unrolled
from jaxdqn.types import Array, PRNGKey


class MazeState(struct.PyTreeNode):
    """Where an episode stands; all int32 ``[]``."""

    level: Array
    agent: Array
    goal: Array
    time: Array


class Scene(struct.PyTreeNode):
    """All that an observation depends on, in integers as small as hold it; ``[]`` each."""

    level: Array
    agent: Array
    goal: Array


class MazeParams(struct.PyTreeNode):
    """The numbers of a maze; every one can be changed without compiling.

    Attributes:
        levels: the bank that episodes draw from.
        held_out: levels that no training episode sees, for evaluation; None if there are none.
        goal_reward: reward for entering the goal, which ends the episode.
        step_cost: subtracted at every step.
        cell_rewards: reward for being in a cell after a step, ``[H, W]``, or one number for all.
        slip: probability of moving sideways instead (see ``grid.slip``).
        reward_noise: added to or subtracted from every reward, either with probability 1/2.
        max_steps_in_episode: time limit; reaching it truncates, it doesn't terminate.
    """

    levels: Levels
    held_out: Levels | None = None
    goal_reward: float | Array = 10.0
    step_cost: float | Array = 0.0
    cell_rewards: float | Array = 0.0
    slip: float | Array = 0.0
    reward_noise: float | Array = 0.0
    max_steps_in_episode: int | Array = 400


class Maze(environment.Environment):
    """Cells and walls; the aim is the shortest path to the goal.

    Actions are 0 up, 1 down, 2 left, 3 right. The reward of a step is ``cell_rewards`` of the
    cell the agent is in after it, minus ``step_cost``, plus ``goal_reward`` at the goal, plus or
    minus ``reward_noise``.
    """

    def __init__(
        self,
        height: int = 10,
        width: int = 10,
        generator: check.Generator = "scatter",
        density: float = 0.3,
        carver: check.Carver = "uniform",
        loops: float = 0.5,
        room_size: int = 3,
        layout: str | None = None,
        difficulty: tuple[int, int] | None = None,
        num_levels: int = 1,
        num_held_out: int = 0,
        level_seed: int = 0,
        start: Literal["corner", "random"] = "corner",
        goal: Literal["corner", "random"] = "corner",
        observation: observe.Kind = "position",
        view_size: int = 5,
    ) -> None:
        """Choose the structure; numbers are in ``MazeParams``.

        Args:
            height: rows (H), 1 to 128.
            width: columns (W), 1 to 128; at least two cells in all.
            generator: kind of maze, see ``jaxdqn.maze.levels.bank``, as are the arguments down to
                ``difficulty``.
            density: probability of a wall, for ``"scatter"``.
            carver: ``"uniform"`` or ``"depth_first"``, for ``"corridors"`` and ``"braid"``.
            loops: probability that a dead end is opened, for ``"braid"``.
            room_size: largest side of a room, for ``"rooms"``.
            layout: the maze as text, with generator ``"layout"``; gives height and width.
            difficulty: fewest and most moves on the shortest path from corner to corner, or from S
                to G of a layout.
            num_levels: levels to train on (L).
            num_held_out: further levels, for evaluation only; none is among the former.
            level_seed: seed of the bank.
            start: ``"corner"``, (0, 0) or the S of a layout, or ``"random"`` in each episode.
            goal: ``"corner"``, (H-1, W-1) or the G of a layout, or ``"random"`` in each episode.
            observation: what the agent sees, see ``jaxdqn.maze.observe.make``.
            view_size: side of what is seen with ``"view"`` (R), odd.

        Raises:
            ConfigError: an argument that can't be honoured.
        """
        super().__init__()
        asked = {"height": height, "width": width}
        if layout is not None and generator == "layout":
            height, width = grid.parse(layout)[0].shape
        options: dict[str, Any] = {
            "generator": generator, "height": height, "width": width, "density": density,
            "carver": carver, "loops": loops, "room_size": room_size, "layout": layout,
            "difficulty": difficulty,
        }  # fmt: skip
        check.levels("env_kwargs.", check.LONGEST, options)
        check.choice("env_kwargs.observation", observation, observe.OBSERVATIONS)
        check.choice("env_kwargs.start", start, ("corner", "random"))
        check.choice("env_kwargs.goal", goal, ("corner", "random"))
        check.whole("env_kwargs.num_levels", num_levels, 1, 10_000_000)
        check.whole("env_kwargs.num_held_out", num_held_out, 0, 10_000_000)
        check.whole("env_kwargs.level_seed", level_seed, 0, 2**63)
        check.whole("env_kwargs.view_size", view_size, 1, 255)
        if view_size % 2 == 0:
            raise ConfigError(
                f"env_kwargs.view_size ({view_size}) must be odd, with the agent in the middle: "
                f"use {view_size + 1}."
            )
        self.height, self.width = int(height), int(width)
        self.idle = check.idle(options, asked, observation)
        self.random_start, self.random_goal = start == "random", goal == "random"
        self.observation = observe.make(observation, self.height, self.width, view_size)
        self._options, self._level_seed = options, level_seed
        drawn = self.bank(
            num_levels + num_held_out, "env_kwargs.num_levels + env_kwargs.num_held_out"
        )
        self._levels, self._held_out = split(drawn, num_levels)

    @property
    def num_levels(self) -> int:
        """Levels in all, held-out ones among them."""
        return len(self._levels) + len(self._held_out)

    def bank(self, count: int, asked: str = "count") -> Levels:
        """Return ``count`` levels, its own the first of them, or raise a ``TooFewLevelsError``."""
        return bank_of(self._options, count, self._level_seed, asked)

    @property
    def default_params(self) -> MazeParams:
        """The bank of levels and the default numbers."""
        return MazeParams(self._levels, self._held_out if len(self._held_out) else None)

    def check_params(self, params: MazeParams) -> None:
        """Refuse numbers that make no maze; traced ones are let through.

        Raises:
            ConfigError: naming the parameter.
        """
        check.number("env_params.slip", params.slip, 0.0, 1.0)
        for name in ("goal_reward", "step_cost", "cell_rewards", "reward_noise"):
            check.number(f"env_params.{name}", getattr(params, name), -np.inf, np.inf)
        shape = np.shape(params.cell_rewards)
        if shape not in ((), (self.height, self.width)):
            raise ConfigError(
                f"env_params.cell_rewards has shape {shape}: "
                f"give one number or {self.height} rows of {self.width}."
            )

    def reset_env(self, key: PRNGKey, params: MazeParams) -> tuple[Array, MazeState]:
        """Draw a level and start on it."""
        bits = self._bits(key, params)
        level = (bits[1] % len(params.levels)).astype(jnp.int32)
        state = self._start(bits, level, params)
        return self.get_obs(state, params), state

    def start_on(self, key: PRNGKey, level: Array, params: MazeParams) -> tuple[Array, MazeState]:
        """Start an episode on a level; start and goal, if random, are any two connected cells."""
        state = self._start(self._bits(key, params), level, params)
        return self.get_obs(state, params), state

    def step_env(
        self, key: PRNGKey, state: MazeState, action: Any, params: MazeParams
    ) -> tuple[Array, MazeState, Array, Array, dict[Any, Any]]:
        """Move, or bump and stay."""
        state, reward = self._move(self._bits(key, params), state, action, params)
        info = {"discount": self.discount(state, params)}
        return self.get_obs(state, params), state, reward, self.is_terminated(state, params), info

    @partial(jax.jit, static_argnames="self")
    def step(
        self, key: PRNGKey, state: MazeState, action: Any, params: MazeParams | None = None
    ) -> tuple[Array, MazeState, Array, Array, Array, dict[Any, Any]]:
        """Step and, where that ended the episode, start the next one.

        It is gymnax's own, but one draw of bits pays for the move and for the reset, which halves
        the time of a step.
        """
        params = self.default_params if params is None else params
        bits = self._bits(key, params)
        final, reward = self._move(bits, state, action, params)
        terminated, truncated = self.is_terminated(final, params), self.is_truncated(final, params)
        level = (bits[1] % len(params.levels)).astype(jnp.int32)
        fresh = self._start(bits, level, params)
        state = jax.tree.map(partial(jnp.where, terminated | truncated), fresh, final)
        info = {
            "discount": self.discount(final, params),
            "terminated": terminated,
            "truncated": truncated,
            "final_observation": self.get_obs(final, params),
            "final_state": final,
        }
        return self.get_obs(state, params), state, reward, terminated, truncated, info

    def _bits(self, key: PRNGKey, params: MazeParams) -> Array:
        """Draw all the chance of one step, uint32.

        A word each for the move, for level and start, for a random goal, and for the start alone
        where there are many levels.
        """
        return jax.random.bits(unrolled(key), (2 + self.random_goal + _is_large(params.levels),))

    def _move(
        self, bits: Array, state: MazeState, action: Any, params: MazeParams
    ) -> tuple[MazeState, Array]:
        """Return the state after a step, and the reward."""
        uniform = unit(bits[0])
        direction = grid.slip(action, uniform, params.slip)
        cell = grid.neighbour(self.height, self.width, state.agent, direction)
        walls = params.levels.walls.reshape(len(params.levels), -1)
        agent = jnp.where(walls[state.level, cell], state.agent, cell)
        # The lowest bit has no part in the uniform number above.
        noise = jnp.where(bits[0] % 2 == 0, params.reward_noise, -params.reward_noise)
        reward = self.rewards(params, agent, state.goal) + noise
        state = state.replace(agent=agent, time=state.time + 1)
        return state, jnp.asarray(reward, jnp.float32)

    def _start(self, bits: Array, level: Array, params: MazeParams) -> MazeState:
        """Return the first state of an episode on a level."""
        count = params.levels.num_cells[level].astype(jnp.uint32)
        # Indices into cells, where the start is first and the goal last; never the same one.
        goal = count - 1
        if self.random_goal:
            lowest = 0 if self.random_start else 1
            goal = lowest + bits[2] % (count - lowest)
        agent = jnp.uint32(0)
        if self.random_start:
            # Or what the choice of the level left of its word: either way no cell is favoured by
            # more than 1 / 256.
            levels = params.levels
            rest = bits[-1] if _is_large(levels) else bits[1] // len(levels)
            agent = (goal + 1 + rest % (count - 1)) % count
        cells = params.levels.cells
        return MazeState(
            level=level, agent=cells[level, agent], goal=cells[level, goal], time=jnp.int32(0)
        )

    def get_obs(self, state: MazeState, params: MazeParams, key: PRNGKey | None = None) -> Array:
        """Return what the agent sees."""
        del key
        return self.observation.observe(params.levels.walls[state.level], state.agent, state.goal)

    def compress(self, state: MazeState) -> Scene:
        """Return what an observation of this state depends on."""
        cell = np.min_scalar_type(self.height * self.width - 1)
        level = np.min_scalar_type(self.num_levels - 1)
        return Scene(state.level.astype(level), state.agent.astype(cell), state.goal.astype(cell))

    def recall(self, scene: Scene, params: MazeParams) -> Array:
        """Return what the agent saw in a state that was compressed."""
        level, agent, goal = (x.astype(jnp.int32) for x in (scene.level, scene.agent, scene.goal))
        return self.get_obs(MazeState(level, agent, goal, time=jnp.int32(0)), params)

    def rewards(self, params: MazeParams, cell: Array, goal: Array) -> Array:
        """Return the mean reward of being in a cell after a step."""
        return grid.reward(
            (self.height, self.width), cell, goal,
            params.goal_reward, params.step_cost, params.cell_rewards,
        )  # fmt: skip

    def model(
        self, params: MazeParams, level: Array, goal: Array, discount: float | Array
    ) -> solve.Model:
        """Return a level as a Markov decision process, to be solved exactly."""
        return solve.model(
            params.levels.walls[level], goal, discount,
            params.goal_reward, params.step_cost, params.cell_rewards, params.slip,
        )  # fmt: skip

    def observe_everywhere(self, params: MazeParams, level: Array, goal: Array) -> Array:
        """Return what the agent would see in each cell of a level, ``[H * W, ...]``."""
        zero = jnp.int32(0)

        def observe(cell: Array) -> Array:
            return self.get_obs(MazeState(jnp.int32(level), cell, goal, zero), params)

        return jax.vmap(observe)(jnp.arange(self.height * self.width))

    def is_terminated(self, state: MazeState, params: MazeParams) -> Array:
        """Only the goal ends a maze."""
        del params
        return state.agent == state.goal

    @property
    def name(self) -> str:
        """Registered name."""
        return "Maze-jaxdqn"

    @property
    def num_actions(self) -> int:
        """Four moves."""
        return grid.NUM_ACTIONS

    def action_space(self, params: MazeParams | None = None) -> spaces.Discrete:
        """Up, down, left, right."""
        del params
        return spaces.Discrete(grid.NUM_ACTIONS)

    def observation_space(self, params: MazeParams) -> spaces.Space:
        """Shape and dtype of what ``get_obs`` returns."""
        del params
        return self.observation.space

    def state_space(self, params: MazeParams) -> spaces.Dict:
        """Ranges of the state's integers."""
        cells = spaces.Discrete(self.height * self.width)
        return spaces.Dict(
            {
                "level": spaces.Discrete(len(params.levels)),
                "agent": cells,
                "goal": cells,
                "time": spaces.Discrete(params.max_steps_in_episode + 1),
            }
        )


def _is_large(levels: Levels) -> bool:
    """Whether a bank has so many levels and cells that one word doesn't draw both evenly."""
    return len(levels) * levels.cells.shape[1] > 2**24
