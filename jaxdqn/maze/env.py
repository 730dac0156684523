"""The maze as a gymnax environment."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from jaxdqn.maze import generate, grid, solve
from jaxdqn.types import Array, ConfigError, PRNGKey

GENERATORS = ("empty", "scatter", "corridors", "layout")
OBSERVATIONS = ("position", "coordinates", "planes")


class MazeState(struct.PyTreeNode):
    """Where an episode stands; all int32 ``[]``."""

    level: Array
    agent: Array
    goal: Array
    time: Array


class MazeParams(struct.PyTreeNode):
    """The numbers of a maze; every one can be changed without compiling.

    Attributes:
        levels: the bank that episodes draw from.
        goal_reward: reward for entering the goal, which ends the episode.
        step_cost: subtracted at every step.
        cell_rewards: reward for being in a cell after a step, ``[H, W]``, or one number for all.
        slip: probability of moving sideways instead (see ``grid.slip``).
        reward_noise: added to or subtracted from every reward, either with probability 1/2.
        max_steps_in_episode: time limit; reaching it truncates, it doesn't terminate.
    """

    levels: generate.Levels
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

    Observations:
        ``position``: the agent's cell, int32 ``[]``, to be one-hot encoded.
        ``coordinates``: row and column of agent and goal, scaled to [0, 1], float32 ``[4]``.
        ``planes``: walls, agent, goal, booleans ``[H, W, 3]``.
    """

    def __init__(
        self,
        height: int = 10,
        width: int = 10,
        generator: str = "scatter",
        density: float = 0.3,
        layout: str | None = None,
        num_levels: int = 1,
        level_seed: int = 0,
        start: str = "corner",
        goal: str = "corner",
        observation: str = "position",
    ) -> None:
        """Choose the structure; numbers are in ``MazeParams``.

        Args:
            height: rows (H), 1 to 128.
            width: columns (W), 1 to 128; at least two cells in all.
            generator: ``"empty"``, ``"scatter"``, ``"corridors"`` or ``"layout"``.
            density: probability of a wall, for ``"scatter"``.
            layout: the maze as text, with generator ``"layout"``; gives height and width.
            num_levels: levels in the bank (L).
            level_seed: seed of the bank.
            start: ``"corner"`` (0, 0), or ``"random"`` in each episode.
            goal: ``"corner"`` (H-1, W-1), or ``"random"`` in each episode.
            observation: ``"position"``, ``"coordinates"`` or ``"planes"``.

        Raises:
            ConfigError: an argument that can't be honoured.
        """
        super().__init__()
        if layout is not None and generator == "layout":
            height, width = grid.parse(layout)[0].shape
        _check_choice("generator", generator, GENERATORS)
        _check_choice("observation", observation, OBSERVATIONS)
        _check_choice("start", start, ("corner", "random"))
        _check_choice("goal", goal, ("corner", "random"))
        _check_whole("height", height, 1, 128)
        _check_whole("width", width, 1, 128)
        _check_whole("num_levels", num_levels, 1, 10_000_000)
        _check_whole("level_seed", level_seed, 0, 2**63)
        _check_generator(generator, height, width, density, layout)
        self.height, self.width = int(height), int(width)
        self.random_start, self.random_goal = start == "random", goal == "random"
        self.observation = observation
        self._levels = generate.bank(
            generator,
            self.height,
            self.width,
            count=num_levels,
            seed=level_seed,
            density=density,
            layout=layout,
        )

    @property
    def default_params(self) -> MazeParams:
        """The bank of levels and the default numbers."""
        return MazeParams(levels=self._levels)

    def check_params(self, params: MazeParams) -> None:
        """Refuse numbers that make no maze; traced ones are let through.

        Raises:
            ConfigError: naming the parameter.
        """
        _check_number("slip", params.slip, 0.0, 1.0)
        _check_number("max_steps_in_episode", params.max_steps_in_episode, 1, 2**31 - 1)
        for name in ("goal_reward", "step_cost", "cell_rewards", "reward_noise"):
            _check_number(name, getattr(params, name), -np.inf, np.inf)
        shape = np.shape(params.cell_rewards)
        if shape not in ((), (self.height, self.width)):
            raise ConfigError(
                f"env_params.cell_rewards has shape {shape}: "
                f"give one number or {self.height} rows of {self.width}."
            )

    def reset_env(self, key: PRNGKey, params: MazeParams) -> tuple[Array, MazeState]:
        """Draw a level and, if random, start and goal among its connected cells."""
        key_level, key_start, key_goal = jax.random.split(key, 3)
        num_levels = params.levels.num_cells.shape[0]
        level = jax.random.randint(key_level, (), 0, num_levels)
        count = params.levels.num_cells[level]
        # Indices into cells, where the start is first and the goal last; never the same one.
        goal = count - 1
        if self.random_goal:
            goal = jax.random.randint(key_goal, (), 0 if self.random_start else 1, count)
        agent = jnp.int32(0)
        if self.random_start:
            agent = (goal + 1 + jax.random.randint(key_start, (), 0, count - 1)) % count
        cells = params.levels.cells[level]
        state = MazeState(level=level, agent=cells[agent], goal=cells[goal], time=jnp.int32(0))
        return self.get_obs(state, params), state

    def step_env(
        self, key: PRNGKey, state: MazeState, action: Any, params: MazeParams
    ) -> tuple[Array, MazeState, Array, Array, dict[Any, Any]]:
        """Move, or bump and stay."""
        chance = jax.random.uniform(key, (2,))
        direction = grid.slip(action, chance[0], params.slip)
        agent = grid.move(params.levels.walls[state.level], state.agent, direction)
        noise = jnp.where(chance[1] < 0.5, params.reward_noise, -params.reward_noise)
        reward = jnp.asarray(self.rewards(params, state.goal)[agent] + noise, jnp.float32)
        state = state.replace(agent=agent, time=state.time + 1)
        terminated = self.is_terminated(state, params)
        info = {"discount": self.discount(state, params)}
        return self.get_obs(state, params), state, reward, terminated, info

    def get_obs(self, state: MazeState, params: MazeParams, key: PRNGKey | None = None) -> Array:
        """Return what the agent sees."""
        del key
        if self.observation == "position":
            return state.agent
        if self.observation == "coordinates":
            cells = jnp.stack([state.agent, state.goal])
            rows, columns = cells // self.width, cells % self.width
            places = jnp.stack(
                [rows / max(self.height - 1, 1), columns / max(self.width - 1, 1)], axis=1
            )
            return places.reshape(-1).astype(jnp.float32)
        cells = jnp.arange(self.height * self.width).reshape(self.height, self.width)
        planes = [params.levels.walls[state.level], cells == state.agent, cells == state.goal]
        return jnp.stack(planes, axis=-1)

    def rewards(self, params: MazeParams, goal: Array) -> Array:
        """Return the mean reward of being in each cell after a step, ``[H * W]``."""
        cells = jnp.broadcast_to(params.cell_rewards, (self.height, self.width)).reshape(-1)
        at_goal = jnp.arange(cells.size) == goal
        return cells - params.step_cost + jnp.where(at_goal, params.goal_reward, 0.0)

    def model(
        self, params: MazeParams, level: Array, goal: Array, discount: float | Array
    ) -> solve.Model:
        """Return a level as a Markov decision process, to be solved exactly."""
        return solve.Model(
            successors=solve.successors(params.levels.walls[level]),
            rewards=self.rewards(params, goal),
            goal=goal,
            slip=params.slip,
            discount=discount,
        )

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
        if self.observation == "position":
            return spaces.Discrete(self.height * self.width)
        if self.observation == "coordinates":
            return spaces.Box(0.0, 1.0, (4,), jnp.float32)
        return spaces.Box(False, True, (self.height, self.width, 3), jnp.bool_)

    def state_space(self, params: MazeParams) -> spaces.Dict:
        """Ranges of the state's integers."""
        cells = spaces.Discrete(self.height * self.width)
        return spaces.Dict(
            {
                "level": spaces.Discrete(params.levels.num_cells.shape[0]),
                "agent": cells,
                "goal": cells,
                "time": spaces.Discrete(params.max_steps_in_episode + 1),
            }
        )


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"env_kwargs.{name} ({value!r}) is not one of {', '.join(choices)}.")


def _check_whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(
            f"env_kwargs.{name} ({value!r}) must be a whole number from {low} to {high}: change it."
        )


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, jax.core.Tracer):
        return
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iuf" or not np.all((numbers >= low) & (numbers <= high)):
        raise ConfigError(
            f"env_params.{name} ({value!r}) must be a number from {low:g} to {high:g}: change it."
        )


def _check_generator(
    generator: str, height: int, width: int, density: Any, layout: str | None
) -> None:
    if (layout is None) == (generator == "layout"):
        raise ConfigError(
            f"env_kwargs.generator ({generator!r}) and env_kwargs.layout "
            f"({'not given' if layout is None else 'given'}) contradict each other: "
            "give a layout with generator = 'layout' only."
        )
    if height * width < 2:
        raise ConfigError(
            f"env_kwargs.height ({height}) and env_kwargs.width ({width}) leave one cell, "
            "and start and goal need two: raise one."
        )
    if generator == "corridors" and not (height % 2 and width % 2):
        raise ConfigError(
            f"env_kwargs.height ({height}) and env_kwargs.width ({width}) must be odd for "
            f"corridors: use {height | 1} and {width | 1}."
        )
    if isinstance(density, bool) or not isinstance(density, int | float) or not 0 <= density < 1:
        raise ConfigError(
            f"env_kwargs.density ({density!r}) must be a number from 0 to below 1: change it."
        )
