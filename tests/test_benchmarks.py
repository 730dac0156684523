"""What benchmarks count by hand is what programs do, and the README says what they measured."""

import math
import sys

import jax
import jax.numpy as jnp
import pytest
from conftest import ROOT, small
from jax.extend.core import jaxprs_in_params

from jaxdqn import environment as environments
from jaxdqn.algorithm import dqn
from jaxdqn.types import Transition

# Benchmarks are no package.
sys.path.append(str(ROOT / "benchmarks"))

import limits
import tables


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"env": "MetaMaze-misc", "env_kwargs": {}, "env_params": {}, "widths": (64, 32)},
        {
            "env_kwargs": {"height": 4, "width": 5, "generator": "empty", "observation": "planes"},
            "network": "residual",
            "channels": 8,
            "blocks": 2,
        },
    ],
)
def test_counted_operations_are_those_of_the_program(double, changes):
    config = small(double=double, **changes)
    assert _matmul_flops(_learn(config)) == limits.learning_flops(config)


def test_a_one_hot_first_layer_is_not_counted():
    config = small(widths=(16, 8))
    assert limits.layers(config) == [(1, 16, 8), (1, 8, 4)]


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_tables_of_the_readme_are_the_results(name):
    readme = (ROOT / "README.md").read_text()
    shown = readme.partition(f"<!-- {name} -->")[2].partition(f"<!-- end of {name} -->")[0].strip()
    assert not shown or shown == tables.TABLES[name]()


def _learn(config):
    environment, _ = environments.make(config)
    agent, _ = dqn.learner_of(config, environment)
    size = (config.batch_size,)
    obs = jnp.zeros(size + environment.obs.shape, environment.obs.dtype)
    number = jnp.zeros(size)
    batch = Transition(obs, jnp.zeros(size, jnp.int32), number, number, obs)
    state = jax.eval_shape(agent.init, jax.random.key(0))
    return jax.make_jaxpr(agent.learn)(state, batch, number).jaxpr


def _matmul_flops(jaxpr):
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            depth = math.prod(shape[axis] for axis in contracted)
            total += 2 * depth * math.prod(equation.outvars[0].aval.shape)
        total += sum(_matmul_flops(inner) for inner in jaxprs_in_params(equation.params))
    return total
