"""What is stored of a transition gives it back exactly."""

import jax
import numpy as np
import pytest
from conftest import assert_same_bits, small

import jaxdqn
from jaxdqn import environment as environments
from jaxdqn.algorithm import codec
from jaxdqn.errors import ConfigError
from jaxdqn.training import bytes_per_transition
from jaxdqn.types import Transition

KEY = jax.random.key(0)
CORRIDORS = {"height": 5, "width": 7, "generator": "corridors", "num_levels": 5,
             "start": "random", "goal": "random"}  # fmt: skip


@pytest.mark.slow
def test_training_from_states_is_training_from_observations():
    kwargs = {**CORRIDORS, "observation": "planes"}
    seen = jaxdqn.train(small(env_kwargs=kwargs), KEY)
    recalled = jaxdqn.train(small(env_kwargs=kwargs, stored="states"), KEY)
    for one, other in zip(seen, recalled, strict=True):
        parts = (x.replace(replay=None) if hasattr(x, "replay") else x for x in (one, other))
        assert_same_bits(*parts)


@pytest.mark.parametrize(
    ("stored", "observation"),
    [("observations", "planes"),
     *(("states", kind) for kind in ("position", "coordinates", "planes", "view", "tokens"))],
)  # fmt: skip
def test_a_stored_transition_comes_back_as_it_was(stored, observation):
    config = small(env_kwargs={**CORRIDORS, "observation": observation}, stored=stored)
    environment, params = environments.make(config)
    how = codec.make(config, environment, params)
    obs, state = jax.jit(environment.reset)(KEY, params)
    move, narrow, widen = jax.jit(environment.step), jax.jit(how.narrow), jax.jit(how.widen)
    for step in range(30):
        key, action = jax.random.fold_in(KEY, step), np.int32(step % 4)
        next_obs, next_state, r_t, ended, _, info = move(key, state, action, params)
        over = 1.0 - np.asarray(ended, np.float32)
        transition = Transition(obs, action, r_t, over, info["final_observation"])
        stored = narrow(transition, state, info["final_state"])
        assert jax.tree.map(lambda x: (x.shape, x.dtype), stored) == jax.tree.map(
            lambda x: (x.shape, x.dtype), how.example
        )
        assert_same_bits(widen(stored, params), transition)
        obs, state = next_obs, next_state


@pytest.mark.parametrize(
    ("size", "levels", "observation"), [(10, 1, "position"), (13, 40, "planes"), (16, 300, "view")]
)
def test_states_take_at_most_16_bytes(size, levels, observation):
    kwargs = {"height": size, "width": size, "num_levels": levels, "observation": observation}
    config = small(env_kwargs=kwargs, stored="states")
    held = jaxdqn.init(config, KEY).replay.storage
    each = sum(leaf.nbytes for leaf in jax.tree.leaves(held)) / config.capacity
    assert each == bytes_per_transition(config) <= 16


def test_levels_beyond_a_byte_are_told_apart():
    config = small(
        env_kwargs={"height": 17, "width": 17, "num_levels": 300, "start": "random"},
        stored="states",
    )
    environment, params = environments.make(config)
    for key in jax.random.split(KEY, 20):
        obs, state = environment.reset(key, params)
        scene = environment.gymnax.compress(state)
        assert (int(scene.level), int(scene.agent)) == (int(state.level), int(state.agent))
        np.testing.assert_array_equal(environment.gymnax.recall(scene, params), obs)


def test_states_of_other_environments_are_refused():
    with pytest.raises(ConfigError, match=r"stored \('states'\).*CartPole-v1.*'observations'"):
        jaxdqn.init(small(env="CartPole-v1", env_kwargs={}, env_params={}, stored="states"), KEY)
