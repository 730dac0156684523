"""The T-maze, a probe of memory: a sign at the start says which way to turn at the far end.

Bakker (2001), "Reinforcement learning with long short-term memory". Nothing that is seen at the
junction tells the two arms apart, so that without a memory half of all turns are wrong.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdqn.deferred import environment, spaces
from jaxdqn.maze import check
from jaxdqn.maze.grid import DOWN, LEFT, NUM_ACTIONS, RIGHT, UP
from jaxdqn.types import Array, PRNGKey

SIGN_UP, SIGN_DOWN, CORRIDOR, JUNCTION, ARM = range(5)
SEEN = ((0, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 0), (0, 0, 0))
"""What is seen in each of these places."""


class TMazeState(struct.PyTreeNode):
    """Where an episode stands; all int32 ``[]``."""

    sign: Array  # the arm to turn into: UP or DOWN
    place: Array  # moves from the start; beyond the junction once an arm was entered
    time: Array


class TMazeParams(struct.PyTreeNode):
    """The numbers of a T-maze; every one can be changed without compiling.

    As they are, the return of an episode without bumps is 1 for the right turn and 0 for the
    wrong one, so that ``eval_return`` is the share of correct turns. Bakker's rewards are 4 and
    -0.1.

    Attributes:
        length: moves from the start to the junction, 1 or more.
        right_reward: reward for turning as the sign said, which ends the episode.
        wrong_reward: reward for turning the other way, which ends it, too.
        bump_cost: subtracted at a step that moves nowhere.
        max_steps_in_episode: time limit; reaching it truncates, it doesn't terminate.
    """

    length: int | Array = 10
    right_reward: float | Array = 1.0
    wrong_reward: float | Array = 0.0
    bump_cost: float | Array = 0.1
    max_steps_in_episode: int | Array = 400


class TMaze(environment.Environment):
    """A corridor with a sign at its start, 3 bits to be seen in each place.

    Actions are 0 up, 1 down, 2 left, 3 right, as in mazes. Up and down are walls but at the
    junction, where they lead into the arms.
    """

    @property
    def default_params(self) -> TMazeParams:
        """A corridor of ten moves."""
        return TMazeParams()

    def check_params(self, params: TMazeParams) -> None:
        """Refuse numbers that make no corridor; traced ones are let through.

        Raises:
            ConfigError: naming the parameter.
        """
        # No cell is 2.5 moves away: such a junction is never reached.
        check.count("env_params.length", params.length)
        for name in ("right_reward", "wrong_reward", "bump_cost"):
            check.number(f"env_params.{name}", getattr(params, name), -np.inf, np.inf)

    def reset_env(self, key: PRNGKey, params: TMazeParams) -> tuple[Array, TMazeState]:
        """Draw a sign."""
        sign = (jax.random.bits(key) % 2).astype(jnp.int32)
        state = TMazeState(sign=sign, place=jnp.int32(0), time=jnp.int32(0))
        return self.get_obs(state, params), state

    def step_env(
        self, key: PRNGKey, state: TMazeState, action: Any, params: TMazeParams
    ) -> tuple[Array, TMazeState, Array, Array, dict[Any, Any]]:
        """Move, turn, or bump and stay."""
        del key
        before = state.place
        turned = (before == params.length) & ((action == UP) | (action == DOWN))
        along = jnp.where(action == RIGHT, 1, jnp.where(action == LEFT, -1, 0))
        after = jnp.where(turned, before + 1, jnp.clip(before + along, 0, params.length))
        turn = jnp.where(action == state.sign, params.right_reward, params.wrong_reward)
        bump = jnp.where(after == before, -params.bump_cost, 0.0)
        reward = jnp.where(turned, turn, bump).astype(jnp.float32)
        state = state.replace(place=after.astype(jnp.int32), time=state.time + 1)
        info = {"discount": self.discount(state, params)}
        return self.get_obs(state, params), state, reward, self.is_terminated(state, params), info

    def get_obs(self, state: TMazeState, params: TMazeParams, key: PRNGKey | None = None) -> Array:
        """Return what is seen, bool ``[3]``."""
        del key
        place = state.place
        kind = jnp.where(place < params.length, CORRIDOR, JUNCTION)
        kind = jnp.where(place == 0, SIGN_UP + state.sign, kind)
        kind = jnp.where(place > params.length, ARM, kind)
        return jnp.array(SEEN, bool)[kind]

    def is_terminated(self, state: TMazeState, params: TMazeParams) -> Array:
        """Only an arm ends it."""
        return state.place > params.length

    @property
    def name(self) -> str:
        """Registered name."""
        return "TMaze-jaxdqn"

    @property
    def num_actions(self) -> int:
        """Four moves."""
        return NUM_ACTIONS

    def action_space(self, params: TMazeParams | None = None) -> spaces.Discrete:
        """Up, down, left, right."""
        del params
        return spaces.Discrete(self.num_actions)

    def observation_space(self, params: TMazeParams) -> spaces.Box:
        """Three bits."""
        del params
        return spaces.Box(False, True, (3,), jnp.bool_)

    def state_space(self, params: TMazeParams) -> spaces.Dict:
        """Ranges of the state's integers."""
        return spaces.Dict(
            {
                "sign": spaces.Discrete(2),
                "place": spaces.Discrete(params.length + 2),
                "time": spaces.Discrete(params.max_steps_in_episode + 1),
            }
        )
