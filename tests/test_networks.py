"""Networks map one observation of any kind to K numbers per action."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxdqn.algorithm import exploration
from jaxdqn.networks import dense as layers
from jaxdqn.networks import residual, streams

KEY = jax.random.key(0)


def dense(**changes):
    settings = {"num_actions": 4, "width": 3, "widths": (8, 8), "activation": jax.nn.relu,
                "layer_norm": False}  # fmt: skip
    return layers.Dense(**{**settings, **changes})


def outlined(network, obs):
    return jax.eval_shape(network.apply, jax.eval_shape(network.init, KEY, obs), obs)


@pytest.mark.parametrize("dtype", [bool, jnp.uint8, jnp.int32, jnp.float32])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_an_mlp_reads_any_shape_and_dtype(dtype, layer_norm):
    network = layers.MLP(dense(layer_norm=layer_norm))
    for shape in [(), (5,), (2, 3, 4)]:
        out = outlined(network, jnp.ones(shape, dtype))
        assert (out.shape, out.dtype) == ((4, 3), jnp.float32)


def test_discrete_observations_are_one_hot_encoded():
    network = layers.MLP(dense(widths=()), categories=5)
    params = jax.jit(network.init)(KEY, jnp.int32(0))
    kernel = params["params"]["dense"]["output"]["kernel"]
    assert kernel.shape == (12, 5)
    for value in range(5):
        np.testing.assert_allclose(
            network.apply(params, jnp.int32(value)).reshape(-1), kernel[:, value], rtol=1e-6
        )


OF_NAMES = {
    "dense": dense(),
    "no hidden layer": dense(widths=()),
    "noisy": streams.Streams(4, 3, (8, 8), jax.nn.relu, False, True, True, False),
    "one noisy layer": streams.Streams(4, 3, (8,), jax.nn.relu, False, True, True, False),
    "fractions": streams.Streams(4, 3, (8,), jax.nn.relu, False, False, False, True),
}


@pytest.mark.parametrize("shape", [(), (3,)], ids=["one", "three"])
@pytest.mark.parametrize("body", OF_NAMES.values(), ids=OF_NAMES)
def test_names_are_read_and_learned_as_their_one_hot_encodings_would_be(body, shape):
    """A batch of them, and the gradient of all its outputs."""
    obs = jax.random.randint(KEY, (6, *shape), 0, 5)
    network = layers.MLP(body, categories=5)
    params = jax.jit(network.init)(KEY, obs[0])
    weights = jax.random.normal(KEY, jax.eval_shape(network.apply, params, obs[0], KEY).shape)

    def by_names(params, obs):
        return network.apply(params, obs, KEY)

    def by_ones(params, obs):
        inner = {"params": params["params"]["dense"]}
        return body.apply(inner, jax.nn.one_hot(obs, 5), KEY)

    def values_and_slopes(read):
        def total(params):
            outputs = jax.vmap(read, (None, 0))(params, obs)
            return jnp.sum(weights[None] * outputs**2), outputs

        return jax.jit(jax.grad(total, has_aux=True))(params)

    chex.assert_trees_all_close(*map(values_and_slopes, (by_names, by_ones)), rtol=2e-5, atol=1e-6)


def test_names_are_looked_up_and_learned_by_a_product_since_scatters_are_slow():
    network = layers.MLP(dense(), categories=50)
    obs = jnp.arange(6)
    params = jax.eval_shape(network.init, KEY, obs[0])

    def total(params):
        return jnp.sum(jax.vmap(network.apply, (None, 0))(params, obs))

    said = str(jax.make_jaxpr(total)(params)), str(jax.make_jaxpr(jax.grad(total))(params))
    assert ["gather" in text for text in said] == [True, True]
    assert ["scatter" in text for text in said] == [False, False]
    assert said[0].count("dot_general") == 2, "those of the second layer and of the last"


@pytest.mark.parametrize("convolve", [residual.of_shifts, residual.of_windows])
def test_a_convolution_equals_the_one_of_flax(monkeypatch, convolve):
    monkeypatch.setattr(residual, "of_shifts", convolve)
    grid = jax.random.normal(KEY, (5, 7, 2))
    ours, theirs = residual.Conv3x3(4), nn.Conv(4, (3, 3))
    params = jax.jit(ours.init)(KEY, grid)["params"]["Einsum_0"]
    same = {"params": {"kernel": params["kernel"].T.reshape(3, 3, 2, 4), "bias": params["bias"]}}
    expected = jax.jit(theirs.apply)(same, grid)
    found = jax.jit(ours.apply)({"params": {"Einsum_0": params}}, grid)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_on_a_gpu_wide_grids_are_convolved_by_its_library(monkeypatch):
    def convolves(channels, platform):
        monkeypatch.setattr(residual.jax, "default_backend", lambda: platform)
        network = residual.Conv3x3(channels)
        grid = jnp.zeros((4, 5, channels))
        params = jax.eval_shape(network.init, KEY, grid)
        return "conv_general_dilated" in str(jax.make_jaxpr(network.apply)(params, grid))

    wide = residual.FILLS_A_GPU
    assert convolves(wide, "gpu")
    assert not convolves(wide, "cpu")
    assert not convolves(wide // 2, "gpu")


def test_products_of_16_bits_give_nearly_the_same_numbers():
    grid = jax.random.normal(KEY, (5, 7, 3))
    exact = residual.Residual(dense(layer_norm=True), channels=8, blocks=2)
    rounded = exact.copy(dtype=jnp.dtype("bfloat16"))
    params = jax.jit(exact.init)(KEY, grid)
    found = jax.jit(rounded.apply)(params, grid)
    assert found.dtype == jnp.float32
    assert 0.0 < jnp.abs(found - jax.jit(exact.apply)(params, grid)).max() < 2.0**-6


@pytest.mark.parametrize(
    ("network", "obs"),
    [
        (dense(widths=(), num_actions=400), jnp.ones(90)),
        (residual.Conv3x3(400), jnp.ones((3, 3, 10))),
    ],
)
def test_kernels_by_output_start_as_wide_as_their_inputs_ask(network, obs):
    """Variance one over the number of inputs (LeCun et al., 1998): 90 of them here."""
    (layer,) = jax.jit(network.init)(KEY, obs)["params"].values()
    assert layer["kernel"].shape[1] == 90
    assert float(jnp.std(layer["kernel"])) == pytest.approx(90**-0.5, rel=0.02)


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 7, 3), (5, 11, 1), (10, 10, 4)])
@pytest.mark.parametrize("layer_norm", [True, False])
def test_the_residual_network_reads_any_grid(shape, layer_norm):
    network = residual.Residual(dense(layer_norm=layer_norm), channels=4, blocks=2)
    assert outlined(network, jnp.ones(shape, bool)).shape == (4, 3)


def test_residual_blocks_add_to_what_they_are_given():
    """With the second convolution of each block at zero, blocks pass their input through."""
    network = residual.Residual(dense(), channels=4, blocks=2)
    shallow = residual.Residual(dense(), channels=4, blocks=0)
    obs = jax.random.normal(KEY, (5, 5, 2))
    params = jax.jit(network.init)(KEY, obs)["params"]
    for name in ("Conv3x3_2", "Conv3x3_4"):
        params[name] = jax.tree.map(jnp.zeros_like, params[name])
    kept = {"dense": params["dense"], "Conv3x3_0": params["Conv3x3_0"]}
    expected = jax.jit(shallow.apply)({"params": kept}, obs)
    found = jax.jit(network.apply)({"params": params}, obs)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_residual_network_sees_where_things_are():
    network = residual.Residual(dense(), channels=4, blocks=1)
    grid = jnp.zeros((6, 6, 1)).at[1, 1, 0].set(1.0)
    params, apply = jax.jit(network.init)(KEY, grid), jax.jit(network.apply)
    moved = jnp.roll(grid, 2, axis=1)
    assert jnp.abs(apply(params, grid) - apply(params, moved)).max() > 1e-3


@pytest.mark.parametrize("name", sorted(layers.ACTIVATIONS))
def test_every_activation_bends(name):
    act = layers.ACTIVATIONS[name]
    left, middle, right = (float(act(jnp.float32(x))) for x in (-1.0, 0.0, 2.0))
    assert abs((right - middle) / 2 - (middle - left)) > 0.1
    assert right > middle == 0.0


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1.0), (50, 0.75), (100, 0.5), (1_000_000_000, 0.5)]
)
def test_epsilon_falls_linearly_then_stays(step, expected):
    assert float(exploration.linear_epsilon(step, 1.0, 0.5, 100)) == pytest.approx(expected)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_epsilon_greedy_has_its_probabilities(epsilon):
    q = jnp.array([0.0, 3.0, 1.0, 2.0])
    bits = jax.random.bits(KEY, (40_000, 2))
    actions = jax.vmap(exploration.epsilon_greedy, (0, None, None))(bits, q, epsilon)
    assert actions.dtype == jnp.int32
    shares = np.bincount(actions, minlength=4) / len(bits)
    expected = np.full(4, epsilon / 4)
    expected[1] += 1 - epsilon
    np.testing.assert_allclose(shares, expected, atol=0.012)
