"""Tiny gymnax environments whose values are known by hand."""

from typing import Any

import gymnax
import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces


class ProbeState(struct.PyTreeNode):
    place: Any  # float32 [], what the agent sees
    time: Any  # int32 []


class ProbeParams(struct.PyTreeNode):
    max_steps_in_episode: int = 1_000_000


class Probe(environment.Environment):
    """Kinds of probe.

    ``one``: one state, reward 1, over. ``delayed``: two states, reward 1 after the second.
    ``seen``: the reward is what is seen. ``acted``: the reward is 1 for action 1, else -1.
    ``clock``: reward 1 for ever; only the time limit ends it.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    @property
    def default_params(self) -> ProbeParams:
        return ProbeParams()

    def reset_env(self, key, params):
        place = jnp.float32(-1.0 if self.kind == "delayed" else 1.0)
        if self.kind == "seen":
            place = jax.random.choice(key, jnp.array([-1.0, 1.0]))
        return place[None], ProbeState(place=place, time=jnp.int32(0))

    def step_env(self, key, state, action, params):
        time = state.time + 1
        place, reward, over = {
            "one": (state.place, 1.0, True),
            "delayed": (jnp.float32(1.0), 1.0 * (time == 2), time == 2),
            "seen": (state.place, state.place, True),
            "acted": (state.place, 2.0 * action - 1.0, True),
            "clock": (state.place, 1.0, False),
        }[self.kind]
        state = ProbeState(place=place, time=time)
        return place[None], state, jnp.float32(reward), jnp.asarray(over), {}

    @property
    def num_actions(self) -> int:
        return 2

    def action_space(self, params=None):
        return spaces.Discrete(2)

    def observation_space(self, params):
        return spaces.Box(-1.0, 1.0, (1,), jnp.float32)


if "Probe-test" not in gymnax.registered_envs:
    gymnax.register("Probe-test", Probe)
