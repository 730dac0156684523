"""The laws hold for every shipped method: determinism, time, batching, sweeping, absence."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT, assert_same_bits, small
from test_laws import assert_equal_up_to_rounding, primitives

import jaxdqn
from jaxdqn import assembly, pytrees, training
from jaxdqn.parallel import memory
from jaxdqn.runs import export

KEY = jax.random.key(3)
NAMES = ["c51", "qr_dqn", "iqn", "munchausen", "rainbow"]
CHEAP = [pytest.param(name, marks=[] if name == "rainbow" else pytest.mark.slow) for name in NAMES]
"""Rainbow has all parts but three; compiling each method takes seconds."""


def preset(name: str, **changes) -> jaxdqn.Config:
    """Return a shipped method with the smallest schedule, network and maze."""
    shipped = jaxdqn.load_config(ROOT / "configs" / f"{name}.toml")
    of_parts = {
        name: getattr(shipped, name)
        for part in ("head", "bootstrap", "replay")
        for name in (part, *vars(shipped.part(part)))
    }
    words = {name: getattr(shipped, name) for name in ("double", "n_step", "dueling", "noisy")}
    return small(evaluations=2, total_steps=64 + 4 * 16, **{**words, **of_parts, **changes})


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_running_on_saving_and_many_seeds_change_nothing(name, tmp_path):
    config = preset(name)
    first = jaxdqn.init(config, KEY)
    whole, rows = jaxdqn.run(config, first)
    half, _ = jaxdqn.run(config, first, 1)
    jaxdqn.save(tmp_path / "half", half, config)
    kept = jaxdqn.restore(tmp_path / "half")
    assert kept.config == config
    assert_same_bits(jaxdqn.run(config, kept.state, 1)[0], whole)
    keys = jnp.stack([KEY, jax.random.key(9)])
    states, many = jax.vmap(jaxdqn.train, (None, 0))(config, keys)
    # The slope of a quantile's loss jumps where an error changes sign: rounding is seen sooner.
    tolerance = 1e-3 if "quantile" in config.head else 1e-5
    alone = jax.tree.map(lambda x: x[0], (states.agent, many))
    assert_equal_up_to_rounding(alone, (whole.agent, rows), tolerance)
    assert not np.array_equal(many.loss[0], many.loss[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_program_has_no_branch_and_memory_is_estimated(name):
    config = preset(name)
    found = primitives(jax.make_jaxpr(jaxdqn.train)(config, KEY).jaxpr)
    assert not {primitive for primitive in found if primitive == "cond" or "callback" in primitive}
    state = training.outline(config)
    assert memory.per_agent(config) > pytrees.size(state)


@pytest.mark.parametrize("name", CHEAP)
def test_an_exported_policy_gives_the_values_of_a_network_without_chance(name, tmp_path):
    config = preset(name)
    params = jaxdqn.init(config, KEY).agent.params
    export.export_policy(tmp_path / "policy.jax", config, params)
    policy = jax.export.deserialize((tmp_path / "policy.jax").read_bytes())
    q_values = partial(assembly.assemble(config).method.q_values, params)
    np.testing.assert_allclose(
        policy.call(jnp.arange(3)), jax.vmap(q_values)(jnp.arange(3)), rtol=1e-5, atol=1e-6
    )


@pytest.mark.slow
def test_a_cell_of_a_sweep_over_numbers_of_two_parts_is_that_setting_alone():
    config = preset("rainbow")
    swept = jaxdqn.sweep(config, seeds=2, say=None, v_max=[5.0, 10.0], importance_start=[0.1, 0.9])
    lone = config.replace(v_max=5.0, importance_start=0.9)
    _, metrics = jaxdqn.train(lone, jax.random.key(1))
    assert_equal_up_to_rounding(swept.at(v_max=5.0, importance_start=0.9, seed=1), metrics)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_method_is_a_leaf(name):
    config = preset(name)
    leaves = {path[-1].name for path, _ in jax.tree.leaves_with_path(config.replace(env_params={}))}
    for part in ("head", "bootstrap", "replay"):
        numbers = {k for k, v in vars(config.part(part)).items() if isinstance(v, float)}
        assert numbers <= leaves
