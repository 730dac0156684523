"""Training is in 32 bits, whatever the rest of a program does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_same_bits, compiles_nothing, small

import jaxdqn
from jaxdqn import cli, maze, statistics
from jaxdqn.config import check, to_toml

KEY = jax.random.key(3)
CARTPOLE = {"env": "CartPole-v1", "env_kwargs": {}, "env_params": {}}


@pytest.mark.parametrize(
    "config",
    [
        small(replay="prioritised", n_step=3, head="implicit_quantile", noisy=True),
        small(method="pqn", memory="gru", minibatches=2, env_params={"slip": 0.1}),
        small(method="ppo", **CARTPOLE),
        small(method="r2d2", head="categorical"),
    ],
    ids=["dqn", "pqn", "ppo", "r2d2"],
)
def test_where_jax_computes_in_64_bits_the_same_agent_is_trained(config):
    expected = jaxdqn.train(config, KEY)
    with jax.enable_x64(True):
        assert_same_bits(jaxdqn.train(config, KEY), expected)


def test_where_whole_numbers_may_not_meet_fractions_the_same_agent_is_trained():
    expected = jaxdqn.train(small(), KEY)
    with jax.numpy_dtype_promotion("strict"):
        check(small(head="categorical"))
        assert_same_bits(jaxdqn.train(small(), KEY), expected)


@pytest.mark.parametrize("other", [jax.enable_x64(True), jax.numpy_dtype_promotion("strict")])
def test_exact_values_have_the_types_and_bits_they_are_said_to_have(other):
    level, actions = maze.draw("S..#\n.#..\n...G"), np.full(12, 3)

    def values():
        return (
            maze.model(level, 0.9), maze.distances(level), maze.optimal_q(level, 0.9),
            maze.policy_value(level, actions, 0.9), maze.regret(level, actions, 1.0),
        )  # fmt: skip

    expected = values()
    with other:
        assert_same_bits(values(), expected)


def test_statistics_compute_where_whole_numbers_may_not_meet_fractions():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0])

    def found():
        return (
            statistics.improvement(KEY, x, y), statistics.difference(KEY, x, y, paired=True),
            statistics.bootstrap_interval(KEY, x, statistics.iqm),
        )  # fmt: skip

    expected = found()
    with jax.numpy_dtype_promotion("strict"):
        assert_same_bits(found(), expected)


def test_a_command_does_not_look_for_nans(capsys):
    with jax.debug_nans(True):
        assert cli.main(["--cache", "off", "plot", "run"]) == 1
    said = "jaxdqn: JAX_DEBUG_NANS (True) takes the NaN of what wasn't measured for an error: unset"
    assert capsys.readouterr().err.startswith(said)


def test_numbers_of_64_bits_are_brought_to_32_alone_in_sweeps_and_traced():
    rates = [1e-3, 1e-2]
    expected = jax.vmap(lambda rate: jaxdqn.train(small(learning_rate=rate), KEY)[1])(
        jnp.asarray(rates)
    )
    with jax.enable_x64(True):
        assert jnp.asarray(rates).dtype == jnp.float64
        config = small(target_period=jnp.asarray(7), learning_rate=jnp.asarray(rates))
        axes = jax.tree.map(lambda _: None, config).replace(learning_rate=0)
        found = jax.vmap(jaxdqn.train, (axes, None))(config, KEY)[1]
        swept = jaxdqn.sweep(small(), seeds=[3], say=None, learning_rate=jnp.asarray(rates))
        with pytest.raises(jaxdqn.ConfigError, match=r"target_period .* below 2147483648"):
            jaxdqn.train(small(target_period=jnp.asarray(2**40)), KEY)
    assert_same_bits(found, expected)
    np.testing.assert_allclose(swept.metrics.loss[:, 0], expected.loss, rtol=1e-5)


def test_a_command_trains_in_32_bits(tmp_path):
    (tmp_path / "small.toml").write_text(to_toml(small(env_params={})))
    with jax.enable_x64(True):
        status = cli.main(
            ["--cache", "off", "train", str(tmp_path / "small.toml"), "--seeds", "2",
             "--out", str(tmp_path / "run")]
        )  # fmt: skip
    assert status == 0
    state = jaxdqn.restore(tmp_path / "run").state
    assert {leaf.dtype for leaf in jax.tree.leaves(state.agent.params)} == {np.dtype("float32")}


def test_numbers_of_python_numpy_and_jax_are_one_program():
    others = (jnp.float32(2e-3), jnp.int32(8)), (np.float64(3e-3), np.int64(7))
    jaxdqn.train(small(learning_rate=1e-3, target_period=9), KEY)
    with compiles_nothing():
        for rate, period in others:
            jaxdqn.train(small(learning_rate=rate, target_period=period), KEY)


def test_nans_are_looked_for_where_an_episode_ends_in_every_period():
    """Else ``episode_return`` is NaN, which JAX refuses in whatever a program returns."""
    brief = small(env_params={"max_steps_in_episode": 3})
    with jax.debug_nans(True):
        metrics = jaxdqn.train(brief, KEY)[1]
        assert metrics.episodes.min() > 0
        assert np.isfinite(metrics.episode_return).all()
        never = brief.replace(env_params={"max_steps_in_episode": 10_000, "slip": 1.0})
        with pytest.raises(FloatingPointError, match="nan"):
            jaxdqn.train(never.replace(env_kwargs={**brief.env_kwargs, "width": 8}), KEY)
