"""A method and a head of one's own plug in by an entry in a table, without a line changed."""

import pickle
import re
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT, small
from flax import struct

import jaxdqn
from jaxdqn import cli, settings
from jaxdqn.algorithm.exploration import epsilon_greedy
from jaxdqn.commands import sweep, train
from jaxdqn.config import parts, to_toml
from jaxdqn.losses import heads
from jaxdqn.method import Method
from jaxdqn.networks.network import SideBySide
from jaxdqn.runs import checkpoint

RUN = {
    "env": "Maze-jaxdqn", "env_kwargs": {"height": 3, "width": 3, "generator": "empty"},
    "total_steps": 400, "num_envs": 4, "evaluations": 4, "eval_episodes": 2, "eval_steps": 9,
    "oracle_levels": 1,
}  # fmt: skip


class BanditSettings(settings.MethodSettings):
    """The mean reward of each action, whatever is seen: no replay, no network, no warm-up."""

    rate: settings.Float = settings.leaf(0.1, low=0.0, high=1.0)
    """How fast the means move."""

    without = ("head", "bootstrap", "replay", "memory")

    def make(self, config, environment, env_params) -> Method:
        """Return the method."""
        return bandit(config, environment, env_params)


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


MINE = '''
import flax.linen as nn
import jax.numpy as jnp

from jaxdqn.networks.network import feedforward
from jaxdqn.settings import MethodSettings, NetworkSettings, static


class Net(nn.Module):
    shape: tuple

    @nn.compact
    def __call__(self, obs, key=None):
        x = nn.Dense(self.shape[0] * self.shape[1])(jnp.ones(1) * obs.reshape(-1))
        return x.reshape(self.shape)


class Mine(NetworkSettings):
    def make(self, num_actions, width, categories, at_fractions=False):
        return feedforward(Net((num_actions, width)))


class Wide(Mine):
    """It gives too much."""

    more: int = static(1, low=0)
    """By how much."""

    def make(self, num_actions, width, categories, at_fractions=False):
        return feedforward(Net((num_actions, width + self.more)))


class Odd(NetworkSettings):
    def make(self, num_actions, width, categories, at_fractions=False):
        return feedforward(nn.Dense(num_actions))


class Bare:
    """Not derived from anything."""


class Idle(NetworkSettings):
    """Without make."""


class Loose(Mine):
    units: int = 3


class Taken(Mine):
    batch_size: int = static(3)
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of one's own, and a run's settings in a file."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(parts, "PARTS", {word: {**names} for word, names in parts.PARTS.items()})
    yield tmp_path
    sys.modules.pop("mine", None)


def like(method, **changes):
    """Settings of a moment's training with a network that has no words."""
    config = small(method=method, **({"memory": "none"} if method == "r2d2" else {}))
    return config.replace(**changes)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("method", ["dqn", "pqn", "ppo", "r2d2"])
def test_the_smallest_network_learns_by_every_method(method):
    state, metrics = jaxdqn.train(like(method, network="mine:Mine"), jax.random.key(0))
    assert np.isfinite(metrics.loss).all()
    width = 5 if method == "ppo" else 4
    shapes = {leaf.shape for leaf in jax.tree.leaves(state.agent.params)}
    assert shapes == {(1, width), (width,)}


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": "mine:Bare"}, "network ('mine:Bare') is not derived from NetworkSettings:"),
        ({"network": "mine:Idle"}, "network ('mine:Idle') has no make, which returns the network"),
        ({"network": "mine:Loose"}, "network ('mine:Loose') has units = ..., of which nobody"),
        ({"network": "mine:Taken"}, "has batch_size, which is a setting already: rename it."),
        ({"network": "mine:Nine"}, "network ('mine:Nine') names a class that mine doesn't have:"),
        ({"network": "your:Mine"}, "network ('your:Mine') names a module that can't be imported"),
        ({"network": "mine:Wide"}, "network (Wide) gives outputs of shape (4, 2): make it (num_a"),
        ({"network": "mine:Odd"}, "network (Odd) can't read what Maze-jaxdqn gives, int32 of shap"),
        ({"head": "implicit_quantile"}, "network (Mine) gives no numbers at fractions, which"),
        ({"memory": "gru"}, "network (Mine) is one of your own, and memory ('gru') stands within"),
        ({"method": "mine:Idle"}, "method ('mine:Idle') is not derived from MethodSettings: der"),
        ({"head": "mine:Bare"}, "head ('mine:Bare') is not derived from PyTreeNode: derive it"),
    ],
)  # fmt: skip
def test_parts_of_ones_own_that_do_not_fit_are_refused_in_one_sentence(changes, said):
    config = like("r2d2" if "memory" in changes else "dqn", network="mine:Mine")
    with pytest.raises(jaxdqn.ConfigError) as refused:
        jaxdqn.train(config.replace(**changes), jax.random.key(0))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_commands_find_a_network_and_a_method_of_ones_own_and_their_words(mine, capsys):
    (mine / "own.py").write_text(Path(__file__).read_text())
    file = mine / "small.toml"
    file.write_text(to_toml(like("dqn", network="mine:Wide", more=0)))
    again = train.parse([str(file), "--seeds", "1"]).settings
    assert again == jaxdqn.load_config(file)
    assert again.more == 0
    _, swept = sweep.parse([str(file), "--more", "0", "--discount", "0.5", "0.9", "--seeds", "1"])
    assert (swept.config.more, swept.axes) == (0, {"discount": [0.5, 0.9]})
    with pytest.raises(SystemExit):
        train.parse([str(file), "--help"])
    said = capsys.readouterr().out
    assert "--more INT" in said
    assert "By how much." in said
    run = mine / "run"
    bandit = ["--method", "own:BanditSettings", "--network", "mlp", "--rate", "0.2"]
    (mine / "run.toml").write_text(to_toml(jaxdqn.Config(**{**RUN, "total_steps": 4_000})))
    command = ["--cache", "off", "train", str(mine / "run.toml"), *bandit, "--scale", "0.1"]
    assert cli.main([*command, "--seeds", "2", "--out", str(run)]) == 0
    found = jaxdqn.restore(run)
    assert (found.config.method, found.config.rate) == ("own:BanditSettings", 0.2)
    assert found.config.total_steps == 400


@pytest.mark.usefixtures("mine")
def test_a_network_that_is_defined_again_takes_what_was_set_and_has_defaults_for_the_rest():
    """As in a notebook: what was set before is of the new class, with a setting more or less."""
    config = like("dqn", network="mine:Wide", more=0)
    notebook = sys.modules["mine"]
    exec(MINE.replace("more: int", "depth: int = static(2, low=1)\n    more: int"), vars(notebook))
    assert (config.more, config.depth) == (0, 2)
    assert "depth=2" in repr(config)
    assert isinstance(config.part("network"), notebook.Wide)
    assert pickle.loads(pickle.dumps(config)) == config == config.replace()
    state, _ = jaxdqn.train(config, jax.random.key(0))
    jaxdqn.evaluate(config, state.agent.params, jax.random.key(1))
    exec(MINE.replace("more: int = static(1", "less: int = static(1").replace("self.more", "0"),
         vars(notebook))  # fmt: skip
    assert config.less == 1
    assert not hasattr(config, "more")
    jaxdqn.train(config, jax.random.key(0))


def test_the_network_of_the_readme_is_complete(mine):
    (code,) = re.findall(
        r"```python\n((?:(?!```).)*NetworkSettings.*?)```",
        (ROOT / "configs" / "README.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    (mine / "mynet.py").write_text(code)
    config = like(
        "dqn", network="mynet:WavesSettings", discount=0.0, learning_rate=1e-2,
        total_steps=64 + 4 * 300, env_kwargs={**RUN["env_kwargs"], "observation": "planes"},
    )  # fmt: skip
    _, metrics = jaxdqn.train(config, jax.random.key(0))
    assert metrics.q_error[-1] < 0.5 * metrics.q_error[0]
    (mine / "small.toml").write_text(to_toml(small()))
    command = [str(mine / "small.toml"), "--network", "mynet:WavesSettings", "--units", "32"]
    assert train.parse(command).settings.units == 32
