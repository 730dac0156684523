"""The laws hold for every shipped method: determinism, time, batching, sweeping, absence."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import METHODS, ROOT, assert_same_bits, compiles_nothing, small, tiny
from test_laws import assert_equal_up_to_rounding, primitives

import jaxdqn
from jaxdqn import assembly, pytrees, training
from jaxdqn.parallel import estimate
from jaxdqn.runs import export

KEY = jax.random.key(3)
CHEAP = [
    pytest.param(name, marks=[] if name == "rainbow" else pytest.mark.slow)
    for name in METHODS
    if name not in ("ppo", "t_maze", "r2d2_t_maze")
]
"""Rainbow has all parts but three; compiling each method takes seconds. PPO has no values, and
those of a network with a memory are of no cell."""
OF_NETWORK = ("dueling", "noisy", "layer_norm")


def preset(name: str, **changes) -> jaxdqn.Config:
    """Return a shipped method with the smallest schedule, network and maze."""
    shipped = jaxdqn.load_config(ROOT / "configs" / f"{name}.toml")
    parts = {"head", "bootstrap", "replay", "memory"} & set(shipped.chosen)
    names = [name for part in parts for name in (part, *vars(shipped.part(part)))]
    names += ["method", *OF_NETWORK, *{"double", "n_step", "td_lambda"} & set(shipped.words)]
    words = {name: getattr(shipped, name) for name in names}
    return small(evaluations=2, total_steps=64 + 4 * 16, **{**words, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_running_on_saving_and_many_seeds_change_nothing(name, tmp_path):
    """With the shipped environment, network and numbers; only the schedule is shorter."""
    config = tiny(jaxdqn.load_config(ROOT / "configs" / f"{name}.toml"))
    first = jaxdqn.init(config, KEY)
    whole, rows = jaxdqn.run(config, first)
    assert np.isfinite(rows.loss).all()
    assert np.isfinite(rows.eval_return).all()
    half, _ = jaxdqn.run(config, first, 1)
    jaxdqn.save(tmp_path / "half", half, config)
    kept = jaxdqn.restore(tmp_path / "half")
    assert kept.config == config
    assert_same_bits(jaxdqn.run(config, kept.state, 1)[0], whole)
    keys = jnp.stack([KEY, jax.random.key(9)])
    states, many = jax.vmap(jaxdqn.train, (None, 0))(config, keys)
    # The slope of a quantile's loss jumps where an error changes sign: rounding is seen sooner.
    tolerance = 1e-3 if "quantile" in config.chosen.get("head", "") else 1e-5
    alone = jax.tree.map(lambda x: x[0], (states.agent, many))
    assert_equal_up_to_rounding(alone, (whole.agent, rows), tolerance)
    assert not np.array_equal(many.loss[0], many.loss[1])


@pytest.mark.parametrize("name", METHODS)
def test_the_program_has_no_branch_and_memory_is_estimated(name):
    config = preset(name)
    found = primitives(jax.make_jaxpr(jaxdqn.train)(config, KEY).jaxpr)
    assert not {primitive for primitive in found if primitive == "cond" or "callback" in primitive}
    state = training.outline(config)
    assert estimate.per_agent(config).total > pytrees.size(state)


@pytest.mark.parametrize("name", CHEAP)
def test_an_exported_policy_gives_the_values_of_a_network_without_chance(name, tmp_path):
    config = preset(name)
    params = jaxdqn.init(config, KEY).agent.params
    export.export_policy(tmp_path / "policy.jax", config, params)
    policy = jax.export.deserialize((tmp_path / "policy.jax").read_bytes())
    q_values = partial(assembly.assemble(config).method.q_values, params)
    expected = jax.jit(jax.vmap(q_values))(jnp.arange(3))
    np.testing.assert_allclose(policy.call(jnp.arange(3)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_cell_of_a_sweep_over_numbers_of_two_parts_is_that_setting_alone():
    config = preset("rainbow")
    swept = jaxdqn.sweep(config, seeds=2, say=None, v_max=[5.0, 10.0], importance_start=[0.1, 0.9])
    lone = config.replace(v_max=5.0, importance_start=0.9)
    _, metrics = jaxdqn.train(lone, jax.random.key(1))
    assert_equal_up_to_rounding(swept.at(v_max=5.0, importance_start=0.9, seed=1), metrics)


@pytest.mark.parametrize("name", METHODS)
def test_every_number_of_a_method_is_a_leaf(name):
    config = preset(name)
    leaves = {path[-1].name for path, _ in jax.tree.leaves_with_path(config.replace(env_params={}))}
    for part in ("method", "head", "bootstrap", "replay"):
        if part not in config.chosen:
            continue
        numbers = {k for k, v in vars(config.part(part)).items() if isinstance(v, float)}
        assert numbers <= leaves


OTHER = {
    "discount": 0.5, "learning_rate": 1e-2, "learning_rate_end_factor": 0.5, "adam_epsilon": 1e-3,
    "max_grad_norm": 1e-3, "td_lambda": 0.0, "epsilon_start": 0.5, "epsilon_end": 0.5,
    "epsilon_steps": 10, "gae_lambda": 0.0, "clip_range": 0.0, "entropy_coefficient": 1.0,
    "value_coefficient": 0.1,
}  # fmt: skip
"""Another value of each number of the methods that learn from rollouts."""


@pytest.mark.parametrize("method", ["pqn", "ppo"])
def test_rollouts_give_the_same_bits_and_other_numbers_compile_nothing(method):
    config = small(method=method)
    numbers = [name for name, word in config.words.items() if word.is_number]
    assert set(numbers) - {"env_params"} <= set(OTHER)
    state, metrics = jaxdqn.train(config, KEY)
    assert int(state.agent.updates) == int(metrics.updates[-1]) == config.schedule.updates == 64
    assert int(metrics.env_steps[-1]) == config.schedule.env_steps == 256
    assert not jax.tree.leaves(state.replay)
    weights = jax.device_get(state.agent.params)
    with compiles_nothing():
        assert_same_bits(jaxdqn.train(config, KEY), (state, metrics))
        for name in set(numbers) - {"env_params"}:
            other, _ = jaxdqn.train(config.replace(**{name: OTHER[name]}), KEY)
            found = jax.device_get(other.agent.params)
            same = jax.tree.map(np.array_equal, found, weights)
            assert not all(jax.tree.leaves(same)), f"{name} has no effect"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pqn", "ppo"])
def test_watching_rollouts_and_sweeping_their_numbers_change_nothing(method):
    config = small(method=method)
    often, rows = jaxdqn.train(config.replace(evaluations=8, eval_episodes=5), KEY)
    seldom, few = jaxdqn.train(config, KEY)
    assert_same_bits(often.replace(evaluations=seldom.evaluations), seldom)
    assert int(rows.episodes.sum()) == int(few.episodes.sum())
    swept = jaxdqn.sweep(config, seeds=2, say=None, discount=[0.9, 0.5])
    _, alone = jaxdqn.train(config.replace(discount=0.9), jax.random.key(1))
    cell = swept.at(discount=0.9, seed=1)
    assert_equal_up_to_rounding(cell, alone, 1e-4)
