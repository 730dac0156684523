"""An exported policy is the trained network, and needs nothing of this package."""

import re
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import RESIDUAL, ROOT, small

import jaxdqn
from jaxdqn import ConfigError
from jaxdqn.assembly import assemble
from jaxdqn.runs.export import export_policy


def trained(config):
    params = jaxdqn.init(config, jax.random.key(0)).agent.params
    method = assemble(config).method
    if method.q_values is None:
        return params, lambda params, obs: method.outputs(params, obs)[0]
    return params, method.q_values


@pytest.mark.parametrize(
    "config",
    [
        small(),
        pytest.param(
            small(layer_norm=True, **RESIDUAL),
            marks=pytest.mark.slow,
        ),
        small(env="CartPole-v1", env_kwargs={}, env_params={}),
        small(method="ppo"),
    ],
    ids=["position", "planes", "cartpole", "ppo"],
)
def test_the_exported_policy_gives_values_or_log_probabilities_of_the_network(tmp_path, config):
    pytest.importorskip("flatbuffers")
    params, q_values = trained(config)
    size = export_policy(tmp_path / "policy.jax", config, params)
    content = (tmp_path / "policy.jax").read_bytes()
    assert len(content) == size < 100_000
    policy = jax.export.deserialize(bytearray(content))
    assert set(policy.platforms) >= {"cpu", "cuda", "tpu"}
    (seen,) = policy.in_avals
    for count in (1, 7):
        shape = (count, *seen.shape[1:])
        obs = jax.random.randint(jax.random.key(1), shape, 0, 2).astype(seen.dtype)
        expected = jax.jit(jax.vmap(q_values, (None, 0)))(params, obs)
        np.testing.assert_allclose(policy.call(obs), expected, rtol=1e-5, atol=1e-6)
    if config.method == "ppo":
        np.testing.assert_allclose(jnp.exp(policy.call(obs)).sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("other", [jax.enable_x64(True), jax.numpy_dtype_promotion("strict")])
def test_a_policy_is_of_32_bits_whatever_jax_computes_in_elsewhere(tmp_path, other):
    pytest.importorskip("flatbuffers")
    config = small(head="implicit_quantile")
    params, _ = trained(config)
    with other:
        export_policy(tmp_path / "policy.jax", config, params)
    policy = jax.export.deserialize(bytearray((tmp_path / "policy.jax").read_bytes()))
    assert "f64" not in policy.mlir_module()


def test_the_example_of_the_readme_needs_nothing_of_this_package(tmp_path):
    pytest.importorskip("flatbuffers")
    (example,) = re.findall(
        r"```python\n((?:(?!```).)*policy\.jax.*?)```",
        (ROOT / "configs" / "README.md").read_text(),
        re.DOTALL,
    )
    assert example.count("\n") <= 12
    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    params, q_values = trained(small())
    export_policy(folder / "policy.jax", small(), params)
    check = "import sys; print(sorted({'jaxdqn', 'flax', 'optax', 'gymnax'} & set(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-c", f"{example}\nprint(actions)\n{check}"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    greedy = jnp.argmax(q_values(params, jnp.int32(0)))
    assert told.splitlines() == [str(np.full(5, greedy)), "[]"]


def test_wrong_exports_are_refused(tmp_path, monkeypatch):
    params, _ = trained(small())
    with pytest.raises(ConfigError, match=r"params.params.* is not what these settings make"):
        export_policy(tmp_path / "p", small(widths=(8,)), params)
    many = jax.tree.map(lambda x: jnp.stack([x, x]), params)
    with pytest.raises(ConfigError, match=r"many networks \(leading axes \(2,\)\).*choose one"):
        export_policy(tmp_path / "p", small(), many)
    remembering = small(method="ppo", memory="gru", minibatches=2)
    with pytest.raises(ConfigError, match=r"memory \('gru'\) makes values depend on what was seen"):
        export_policy(tmp_path / "p", remembering, params)
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    monkeypatch.delitem(sys.modules, "jax._src.export.serialization", raising=False)
    with pytest.raises(ConfigError, match="pip install flatbuffers"):
        export_policy(tmp_path / "p", small(), params)
    assert not list(tmp_path.iterdir())
