"""A method and a head of one's own plug in by an entry in a table, without a line changed."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import small
from flax import struct

import jaxdqn
from jaxdqn import assembly, settings
from jaxdqn.algorithm.exploration import epsilon_greedy
from jaxdqn.config import parts
from jaxdqn.losses import heads
from jaxdqn.method import Method
from jaxdqn.networks.network import SideBySide
from jaxdqn.runs import checkpoint

RUN = {
    "env": "Maze-jaxdqn", "env_kwargs": {"height": 3, "width": 3, "generator": "empty"},
    "total_steps": 400, "num_envs": 4, "evaluations": 4, "eval_episodes": 2, "eval_steps": 9,
    "oracle_levels": 1,
}  # fmt: skip


class BanditSettings(struct.PyTreeNode):
    """The mean reward of each action, whatever is seen: no replay, no network, no warm-up."""

    rate: settings.Float = settings.leaf(0.1, low=0.0, high=1.0)
    """How fast the means move."""
    discount: settings.Float = settings.leaf(0.9, low=0.0, high=1.0)
    """Of the exact values that it is compared with."""

    def schedule(self, run: settings.RunSettings) -> settings.Schedule:
        """Return exact counts."""
        return settings.schedule(run, run.num_envs, 1, run.num_envs)

    def check(self, run: settings.RunSettings) -> None:
        """Nothing contradicts."""


class Means(struct.PyTreeNode):
    """All that a bandit learns."""

    params: jax.Array
    updates: jax.Array
    halted: jax.Array


def bandit(config, environment, env_params) -> Method:
    """Build it."""

    def init(_):
        return Means(jnp.zeros(environment.num_actions), jnp.int32(0), jnp.bool_(False)), ()

    def iterate(state, tally):
        means = state.agent.params
        key_explore, key_env = (
            jax.random.fold_in(key, state.vector_steps)
            for key in (state.keys.explore, state.keys.env)
        )
        bits = jax.random.bits(key_explore, (config.num_envs, 2))
        actions = jax.vmap(epsilon_greedy, (0, None, None))(bits, means, 0.5)
        obs, env_state, rewards, terminated, truncated, _ = jax.vmap(
            environment.step, (0, 0, 0, None)
        )(jax.random.split(key_env, config.num_envs), state.env_state, actions, env_params)
        error = jax.nn.one_hot(actions, len(means)) * (rewards - means[actions])[:, None]
        agent = state.agent.replace(
            params=means + config.rate * jnp.mean(error, 0), updates=state.agent.updates + 1
        )
        state = state.replace(
            agent=agent, env_state=env_state, obs=obs, vector_steps=state.vector_steps + 1
        )
        episodes = tally.episodes + jnp.sum(terminated | truncated)
        return state, tally.replace(episodes=episodes)

    return Method(
        init=init,
        warmup=lambda state: state,
        iterate=iterate,
        epsilon=lambda _: jnp.float32(0.5),
        memory=lambda: (),
        act=lambda params, memory, *_: (jnp.argmax(params), memory),
        outputs=lambda params, _: params[:, None],
        q_values=lambda params, _: params,
        side_by_side=SideBySide(32),
        bytes_per_transition=0,
    )


@pytest.fixture
def plugged(monkeypatch):
    monkeypatch.setitem(parts.PARTS["method"], "bandit", BanditSettings)
    monkeypatch.setitem(assembly.METHODS, "bandit", bandit)
    return jaxdqn.Config(method="bandit", **RUN)


def test_a_method_without_replay_or_network_trains_sweeps_and_is_saved(plugged, tmp_path):
    state, metrics = jaxdqn.train(plugged, jax.random.key(0))
    assert int(state.agent.updates) == plugged.schedule.updates == 100
    assert np.argmax(state.agent.params) in (1, 3), "down and right lead to the goal"
    assert metrics.q_error.shape == (4,)
    assert not jax.tree.leaves(state.replay)
    swept = jaxdqn.sweep(plugged, seeds=2, say=None, rate=[0.1, 0.5])
    np.testing.assert_array_equal(swept.at(rate=0.1, seed=0).q_error, metrics.q_error)
    assert not np.array_equal(swept.at(rate=0.5, seed=0).q_error, metrics.q_error)
    path = tmp_path / "checkpoint"
    checkpoint.save(path, state, plugged, metrics)
    restored = checkpoint.restore(path)
    chex.assert_trees_all_equal(restored.state.agent, state.agent)
    assert restored.config == plugged
    assert "capacity" not in plugged.words


class DoubledSettings(struct.PyTreeNode):
    """Two numbers per action, whose mean is its value."""

    def make(self) -> heads.Head:
        """Return the head."""
        one = heads.expected("squared")

        def loss(outputs_tm1, target_t, r_t, discount_t):
            losses = [
                one.loss(outputs_tm1[k : k + 1], target_t[k : k + 1], r_t, discount_t)
                for k in range(2)
            ]
            return sum(pair[0] for pair in losses) / 2, sum(pair[1] for pair in losses) / 2

        return heads.Head(width=2, mean=lambda outputs: outputs.mean(-1), loss=loss)


def test_a_head_of_two_numbers_learns_the_reward_of_the_last_step(monkeypatch):
    monkeypatch.setitem(parts.PARTS["head"], "doubled", DoubledSettings)
    config = small(head="doubled", discount=0.0, learning_rate=1e-2, total_steps=64 + 4 * 300)
    state, metrics = jaxdqn.train(config, jax.random.key(0))
    assert metrics.q_error[-1] < 0.5 * metrics.q_error[0]
    shapes = {leaf.shape for leaf in jax.tree.leaves(state.agent.params)}
    assert any(8 in shape for shape in shapes), "two numbers for each of four actions"
