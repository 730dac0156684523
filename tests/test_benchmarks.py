"""What benchmarks count by hand is what programs do, and the READMEs say what they measured."""

import math
import re
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

import harness
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


READMES = "\n".join(path.read_text(encoding="utf-8") for path in harness.READMES)


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_tables_of_the_readmes_are_the_results(name):
    shown = re.findall(f"<!-- {name} -->(.*?)<!-- end of {name} -->", READMES, re.DOTALL)
    assert [text.strip() for text in shown] == [tables.TABLES[name]()]
    assert re.search(r"(?s)Measured on .*\d{4}-\d\d-\d\d.*JAX \d.*Python \d", shown[0])


def test_no_table_of_figures_is_written_by_hand():
    made = set(re.findall(r"<!-- (.*?) -->", READMES)) - {"test command"}
    assert made == {mark for name in tables.TABLES for mark in (name, f"end of {name}")}
    by_hand = re.sub(r"(?s)<!-- (\w+) -->.*?<!-- end of \1 -->", "", READMES)
    rows = [line for line in by_hand.splitlines() if line.startswith("|")]
    assert not [line for line in rows if re.search(r"\d ?(s|%|×|µs)( |$)|\d,\d{3} \|", line)]


def test_a_text_is_replaced_wherever_its_markers_are(tmp_path, monkeypatch):
    paths = [tmp_path / name for name in ("one", "two", "three")]
    for path in paths[:2]:
        path.write_text("a\n<!-- x -->\nold\n<!-- end of x -->\nz")
    paths[2].write_text("nothing")
    monkeypatch.setattr(harness, "READMES", paths)
    assert harness.replace_in_readme("x", "new") == paths[:2]
    assert paths[1].read_text() == "a\n<!-- x -->\nnew\n<!-- end of x -->\nz"
    assert paths[2].read_text() == "nothing"


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
