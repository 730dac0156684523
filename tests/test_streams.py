"""Dueling streams, noise in weights, and fractions: what each must do to a network's outputs."""

import itertools
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import LONG, RESIDUAL, ROOT, small

import jaxdqn
from jaxdqn import ConfigError
from jaxdqn import environment as environments
from jaxdqn.algorithm import dqn
from jaxdqn.commands import train
from jaxdqn.networks import linear, streams
from jaxdqn.random import unrolled
from jaxdqn.training import outline

KEY = jax.random.key(0)
OBS = jnp.int32(5)


def network(**changes):
    """A network of four actions on sixteen cells, its weights, and how it is asked."""
    config = small(widths=(12, 8), **changes)
    agent, net, _ = dqn.learner_of(config, environments.make(config)[0])
    return net, jax.jit(agent.init)(KEY).params, jax.jit(agent.outputs)


def noise_key(key):
    """What of a key pays for noise."""
    return jax.random.split(unrolled(key))[1]


@pytest.mark.parametrize("head", ["expected", "categorical", "implicit_quantile"])
def test_advantages_have_mean_0_and_a_constant_added_to_all_changes_nothing(head):
    _, params, outputs = network(dueling=True, head=head)
    layers = params["params"]["dense"]
    before = outputs(params, OBS)
    last_of_advantages, last_of_value = layers["linear_3"], layers["linear_5"]
    width = last_of_advantages["bias"].size // 4
    assert last_of_value["bias"].shape == (width,)
    last_of_advantages["bias"] = last_of_advantages["bias"] + 7.0
    np.testing.assert_allclose(outputs(params, OBS), before, atol=1e-5)
    last_of_value["kernel"] = jnp.zeros_like(last_of_value["kernel"])
    last_of_value["bias"] = jnp.full(width, 3.0)
    values = outputs(params, OBS)[:, : {"implicit_quantile": 32}.get(head)]
    np.testing.assert_allclose(values.mean(axis=0), 3.0, atol=1e-5)
    assert jnp.abs(values - 3.0).max() > 1e-3, "and they are advantages, not nothing"


def test_the_variance_of_a_noisy_output_is_that_of_factorised_noise():
    """Var y = σ² (2/π) Σ x² + σ_b² √(2/π): f(e)² has mean E|e|, and two factors are independent."""
    layer, x = linear.Linear(3, noisy=True), jnp.array([0.5, -1.0, 2.0, 0.0])
    params = jax.jit(layer.init)(KEY, x, None)
    scales = {"kernel_scale": jnp.full((4, 3), 0.3), "bias_scale": jnp.full(3, 0.2)}
    params = {"params": {**params["params"], **scales}}
    keys = jax.random.split(jax.random.key(1), 200_000)
    drawn = jax.jit(jax.vmap(lambda key: layer.apply(params, x, *streams.noise(key, [(4, 3)]))))(
        keys
    )
    variance = 0.3**2 * (2 / np.pi) * float(x @ x) + 0.2**2 * np.sqrt(2 / np.pi)
    np.testing.assert_allclose(drawn.var(axis=0), variance, rtol=0.03)
    mean = jax.jit(layer.apply)(params, x, None)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.01)
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("changes", [
    {"dueling": True}, pytest.param(RESIDUAL, marks=pytest.mark.slow)
], ids=["dueling", "grid"])  # fmt: skip
def test_perturbed_weights_give_what_the_same_key_gives_while_acting(changes):
    net, params, outputs = network(noisy=True, **{**changes, "layer_norm": True})
    obs = jnp.ones((4, 4, 3)) if changes is RESIDUAL else OBS
    key = jax.random.key(3)
    fixed = net.perturb(params, noise_key(key))
    acting = outputs(params, obs, key)
    np.testing.assert_allclose(outputs(fixed, obs), acting, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(outputs(fixed, obs), outputs(fixed, obs, jax.random.key(9)))
    assert len(jax.tree.leaves(fixed)) < len(jax.tree.leaves(params)), "no scales are left"


def test_the_same_key_is_the_same_noise_another_is_another_and_none_is_the_mean():
    net, params, outputs = network(noisy=True)
    one, same, other = (outputs(params, OBS, jax.random.key(k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert jnp.abs(one - other).min() > 1e-4
    silent = jax.tree_util.tree_map_with_path(
        lambda path, x: jnp.zeros_like(x) if "scale" in path[-1].key else x, params
    )
    np.testing.assert_allclose(outputs(silent, OBS, KEY), outputs(params, OBS), rtol=1e-5)
    chex.assert_trees_all_equal(
        jax.tree.leaves(net.perturb(silent, KEY)),
        [x for p, x in jax.tree.leaves_with_path(params) if "scale" not in p[-1].key],
    )


def test_cosines_of_fractions_are_exact_to_a_last_bit_which_jax_s_are_not():
    fractions = jax.random.uniform(KEY, (1_000, 1)) * jnp.arange(-64, 65)[None]
    exact = np.cos(np.pi * np.float64(fractions))
    assert np.abs(streams.cosines_of_pi(fractions) - exact).max() < 3e-7
    assert np.abs(jnp.cos(jnp.pi * fractions) - exact).max() > 3e-6


def test_a_product_of_many_rows_and_its_gradients_are_those_of_one():
    rows, kernel = jax.random.normal(KEY, (5, 3, 7)), jax.random.normal(KEY, (7, 2))

    def values_and_slopes(product):
        def total(rows, kernel):
            y = jax.vmap(product, (0, None))(rows, kernel)
            return jnp.sum(y**3), y

        return jax.grad(total, (0, 1), has_aux=True)(rows, kernel)

    by_rows = values_and_slopes(jax.vmap(linear.product, (0, None)))
    chex.assert_trees_all_close(values_and_slopes(linear.product), by_rows, rtol=1e-5)


def test_a_network_without_noise_is_left_as_it_is_by_every_key():
    net, params, outputs = network()
    assert net.perturb(params, KEY) == params
    np.testing.assert_array_equal(outputs(params, OBS, KEY), outputs(params, OBS))


@pytest.mark.parametrize("shared", [False, True])
def test_environments_that_act_side_by_side_have_noise_of_their_own_unless_they_share_it(shared):
    """In the same state, with epsilon 0, they don't all do the same."""
    config = small(
        noisy=True, shared_noise=shared, widths=(), num_envs=64, total_steps=64 * 9, evaluations=1
    )
    assert (config.epsilon_start, config.epsilon_end) == (0.0, 0.0)
    state = jaxdqn.init(config.replace(env_params={"max_steps_in_episode": 1}), KEY)
    assert len(np.unique(state.obs)) == 1
    after, _ = jaxdqn.run(config, state)
    did = after.replay.storage.a_tm1.reshape(-1, 64)
    assert all((len(np.unique(step)) == 1) == shared for step in did)
    assert len(np.unique(did)) > 1, "another step has other noise"


def test_noise_reaches_the_gradient_of_its_scales_and_every_update_has_its_own():
    config = small(noisy=True)
    state, metrics = jaxdqn.train(config, KEY)
    fresh = jaxdqn.init(config, KEY)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), state.agent.params, fresh.agent.params)
    assert all(jax.tree.leaves(moved))
    assert len(np.unique(metrics.loss)) == 4


def test_epsilon_is_0_with_noise_unless_it_is_set():
    assert small(noisy=True, epsilon_end=0.0, epsilon_start=0.5).epsilon_start == 0.5
    assert small().replace(noisy=True).epsilon_end == 0.0
    back = small(noisy=True).replace(noisy=False)
    assert (back.epsilon_start, back.epsilon_end) == (1.0, 0.05)
    kept = small(epsilon_end=0.2).replace(noisy=False, learning_rate=1.0)
    assert kept.epsilon_end == 0.2
    said = [str(ROOT / "configs" / "maze.toml"), "--noisy"]
    assert train.parse(said).settings.epsilon_start == 0.0
    assert train.parse([*said, "--epsilon_start", "0.5"]).settings.epsilon_start == 0.5
    assert train.parse([*said[:1], "--no-noisy"]).settings.epsilon_start == 1.0


def traced(config):
    jax.eval_shape(partial(jaxdqn.run, config), outline(config))


@pytest.mark.parametrize("changes", [
    {"head": "categorical", "dueling": True, "noisy": True},
    {"head": "implicit_quantile", "dueling": True, "noisy": True, **RESIDUAL},
    {"head": "quantile", "bootstrap": "munchausen", "noisy": True, "double": False},
    {"head": "implicit_quantile", "bootstrap": "munchausen", "widths": ()},
    {"head": "implicit_quantile", "env": "CartPole-v1", "env_kwargs": {}, "env_params": {}},
    {"head": "categorical", "double": False, "dueling": True, **RESIDUAL},
])  # fmt: skip
def test_combinations_can_be_traced(changes):
    traced(small(n_step=3, **changes))


PARTS = {
    "head": ["expected", "categorical", "quantile", "implicit_quantile"],
    "bootstrap": ["greedy", "munchausen"],
    "replay": ["uniform", "prioritised"],
    "double": [True, False],
    "dueling": [True, False],
    "noisy": [True, False],
    "n_step": [1, 3],
    "network": ["mlp", "residual"],
}


@pytest.mark.slow
@pytest.mark.skipif(not LONG, reason="512 programs take a quarter of an hour: set JAXDQN_LONG")
def test_every_combination_can_be_traced_but_those_that_add_to_fixed_returns():
    for values in itertools.product(*PARTS.values()):
        changes = dict(zip(PARTS, values, strict=True))
        config = small(**{**changes, **(RESIDUAL if changes["network"] == "residual" else {})})
        if (changes["head"], changes["bootstrap"]) == ("categorical", "munchausen"):
            with pytest.raises(ConfigError, match=r"^bootstrap \('munchausen'\) adds .*: set"):
                traced(config)
        else:
            traced(config)
