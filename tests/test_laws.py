"""The laws of training (determinism, independence, batching, time, sweeping, watching, absence)."""

import re
from functools import partial

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_same_bits, compiles_nothing, small

import jaxdqn
from jaxdqn import training

KEY = jax.random.key(3)


def is_exact(leaf) -> bool:
    return not jnp.issubdtype(leaf.dtype, jnp.floating)


def assert_equal_up_to_rounding(one, other, tolerance=1e-5) -> None:
    """Integers, booleans and keys equal exactly, floats within 1e-5 or as said."""
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if is_exact(left):
            assert_same_bits(left, right)
        else:
            np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


def test_same_config_and_key_give_the_same_bits():
    assert_same_bits(jaxdqn.train(small(), KEY), jaxdqn.train(small(), KEY))


def test_different_keys_give_different_weights_actions_and_returns():
    config = small(env="CartPole-v1", env_kwargs={}, env_params={}, evaluations=1)
    keys = jax.random.split(KEY, 4)
    state, metrics = jax.vmap(jaxdqn.train, (None, 0))(config, keys)
    weights = np.asarray(jax.tree.leaves(state.agent.params)[1])
    for values in (weights, state.replay.storage.a_tm1, metrics.episode_return, metrics.loss):
        rows = {np.asarray(row).tobytes() for row in values}
        assert len(rows) == len(keys)


@pytest.mark.parametrize("double", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_seeds_trained_together_equal_seeds_trained_alone(double):
    config = small(double=double, total_steps=64 + 4 * 12, epsilon_steps=48)
    keys = jax.random.split(KEY, 16)
    together = jax.vmap(jaxdqn.train, (None, 0))(config, keys)
    for i in range(16):
        alone = jaxdqn.train(config, keys[i])
        assert_equal_up_to_rounding(jax.tree.map(lambda x, i=i: x[i], together), alone)


def test_counters_stay_shared_so_that_vmapped_seeds_write_slices_in_place():
    """XLA makes a slice of a scatter at one place, and a loop over seeds of one at many."""
    keys, slots = jax.random.split(KEY, 3), small().capacity
    program = jax.jit(jax.vmap(jaxdqn.train, (None, 0))).lower(small(), keys).as_text()
    scatters = re.findall(
        r'"stablehlo\.scatter".*?: \(tensor<(\w*)>, tensor<(\w*)>,', program, re.S
    )
    places = [where for into, where in scatters if into.startswith(f"3x{slots}x")]
    assert len(places) >= 5, "observations, actions, rewards and discounts are written"
    assert set(places) == {"1xi32"}, "the place is the same for every seed"


@pytest.mark.parametrize(("first", "second"), [(1, 3), (2, 2)])
def test_running_on_equals_running_through(first, second):
    config = small()
    state = jaxdqn.init(config, KEY)
    whole_state, whole = jaxdqn.run(config, state, first + second)
    state, early = jaxdqn.run(config, state, first)
    state, late = jaxdqn.run(config, state, second)
    assert_same_bits(state, whole_state)
    assert_same_bits(jax.tree.map(lambda a, b: jnp.concatenate([a, b]), early, late), whole)


def test_train_is_init_then_run():
    config = small()
    assert_same_bits(jaxdqn.train(config, KEY), jaxdqn.run(config, jaxdqn.init(config, KEY)))


def test_a_cell_of_a_sweep_equals_that_setting_alone():
    rates = jnp.array([1e-4, 1e-2])
    slips = jnp.array([0.0, 0.5])
    config = small().replace(learning_rate=rates, env_params={"slip": slips})
    axes = jax.tree.map(lambda _: None, small()).replace(learning_rate=0, env_params={"slip": 0})
    swept = jax.vmap(jaxdqn.train, (axes, None))(config, KEY)
    for i in range(2):
        lone = small(env_params={"slip": slips[i]}).replace(learning_rate=rates[i])
        alone = jaxdqn.train(lone, KEY)
        assert_equal_up_to_rounding(jax.tree.map(lambda x, i=i: x[i], swept), alone)


def test_changing_any_number_compiles_nothing():
    config = small()
    numbers = {
        "huber_delta": 1e-3,
        "discount": 0.5,
        "learning_rate": 1e-2,
        "learning_rate_end_factor": 0.5,
        "adam_epsilon": 1e-3,
        "max_grad_norm": 1e-3,
        "target_period": 3,
        "target_rate": 0.1,
        "epsilon_start": 0.9,
        "epsilon_end": 0.9,
        "epsilon_steps": 50,
    }
    leaves = len(jax.tree.leaves(config.replace(env_params={})))
    assert len(numbers) == leaves, "every number of the configuration is tried"
    reference = jax.device_get(jaxdqn.train(config, KEY)[0].agent.params)
    with compiles_nothing():
        for name, value in numbers.items():
            state, _ = jaxdqn.train(config.replace(**{name: value}), KEY)
            changed = jax.tree.map(
                lambda a, b: np.any(np.asarray(a) != b), state.agent.params, reference
            )
            assert any(jax.tree.leaves(changed)), f"{name} has no effect"
        jaxdqn.train(config.replace(epsilon_end=0), KEY)


def test_which_numbers_of_the_environment_are_set_is_no_structure():
    jaxdqn.train(small(), KEY)
    with compiles_nothing():
        jaxdqn.train(small(env_params={}), KEY)
        jaxdqn.train(small(env_params={"slip": 0.25, "step_cost": 0.1}), KEY)
        jaxdqn.train(small(env_params={"slip": 0, "step_cost": np.float32(0.1)}), KEY)


def test_watching_changes_nothing():
    rare, often = small(evaluations=2), small(evaluations=20, eval_episodes=5, eval_steps=7)
    seldom_state, seldom = jaxdqn.train(rare, KEY)
    often_state, frequent = jaxdqn.train(often, KEY)
    same = often_state.replace(evaluations=seldom_state.evaluations)
    assert_same_bits(same, seldom_state)
    assert_same_bits(frequent.env_steps[9::10], seldom.env_steps)
    assert int(frequent.episodes.sum()) == int(seldom.episodes.sum())


def primitives(jaxpr) -> set[str]:
    names = set()
    for equation in jaxpr.eqns:
        names.add(equation.primitive.name)
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            names |= primitives(inner)
    return names


def test_the_program_has_no_branch_and_no_callback():
    found = primitives(jax.make_jaxpr(jaxdqn.train)(small(), KEY).jaxpr)
    assert "scan" in found
    assert not {name for name in found if name == "cond" or "callback" in name}


@pytest.mark.parametrize("capacity", [1_000, pytest.param(1_002, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seeds", [1, 3])
def test_the_compiled_loop_copies_no_replay_buffer(capacity, seeds):
    config = small(capacity=capacity)
    train = jax.vmap(jaxdqn.train, (None, 0)) if seeds > 1 else jaxdqn.train
    keys = jax.random.split(KEY, seeds) if seeds > 1 else KEY
    text = jax.jit(train).lower(config, keys).compile().as_text()
    body_names = set(re.findall(r"body=%?([\w.\-]+)", text))
    assert body_names
    shape = f"[{seeds},{capacity}" if seeds > 1 else f"[{capacity}"
    ring = re.compile(rf"= \w+{re.escape(shape)}\b[^ ]* copy\(")
    for body in re.split(r"\n(?=%|ENTRY)", text):
        name = re.match(r"%?([\w.\-]+)", body)
        if name and name.group(1) in body_names:
            assert not ring.search(body), f"{name.group(1)} copies the replay buffer"
    assert shape in text


def test_no_join_is_shared_out_to_threads():
    """Each of them would copy all of it, see ``descent._flat``; 256-256 is enough to tempt."""
    config = small(widths=(256, 256))
    text = (
        jax.jit(jaxdqn.run, static_argnums=2)
        .lower(config, training.outline(config), 1)
        .compile()
        .as_text()
    )
    assert not re.search(r"concatenate\w*_fusion.*outer_dimension_partitions\W+\d", text)
    assert re.search(r"f32\[1,7\d{4}\]\S* concatenate\(", text)


@pytest.mark.slow
def test_vmap_of_run_over_states_equals_run_of_each():
    config = small()
    keys = jax.random.split(KEY, 2)
    states = jax.vmap(jaxdqn.init, (None, 0))(config, keys)
    together = jax.vmap(partial(jaxdqn.run, evaluations=2), (None, 0))(config, states)
    for i in range(2):
        alone = jaxdqn.run(config, jax.tree.map(lambda x, i=i: x[i], states), 2)
        assert_equal_up_to_rounding(jax.tree.map(lambda x, i=i: x[i], together), alone)
