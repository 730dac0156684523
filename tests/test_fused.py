"""The update as one GPU kernel: what it makes of a batch is what the plain update makes of it.

Interpreted here, on a CPU; ``benchmarks/gpu.sh`` runs it where it belongs.
"""

import functools

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

import jaxdqn
from jaxdqn import environment as environments
from jaxdqn.algorithm import dqn, fused
from jaxdqn.types import Transition

CARTPOLE = jaxdqn.Config(
    env="CartPole-v1", widths=(32, 16), batch_size=32, max_grad_norm=0.5, target_period=2,
    target_rate=0.3, adam_epsilon=1e-3, learning_rate=1e-2, learning_rate_end_factor=0.5,
    total_steps=4_000, warmup_steps=64, num_envs=16, epsilon_steps=2_000, evaluations=1,
)  # fmt: skip
MAZE = CARTPOLE.replace(
    env="Maze-jaxdqn", env_kwargs={"height": 4, "width": 4}, widths=(16,), activation="tanh",
    batch_size=16, double=False, loss="squared", max_grad_norm=float("inf"),
)  # fmt: skip


@functools.cache
def case(maze: bool):
    """Return settings, environment, plain learner, an agent and its batches."""
    config = MAZE if maze else CARTPOLE
    environment, _ = environments.make(config)
    plain, _, _ = dqn.learner_of(config, environment)
    key, key_target, *keys = jax.random.split(jax.random.key(0), 8)
    init = jax.jit(plain.init)
    agent = init(key).replace(target_params=init(key_target).params)
    count = config.batch_size

    def observe(key):
        shape = (count, *environment.obs.shape)
        if environment.categories is None:
            return jax.random.normal(key, shape)
        return jax.random.randint(key, shape, 0, environment.categories)

    batch = Transition(
        obs_tm1=observe(keys[0]),
        a_tm1=jax.random.randint(keys[1], (count,), 0, environment.num_actions),
        r_t=2 * jax.random.normal(keys[2], (count,)),
        discount_t=jax.random.bernoulli(keys[3], 0.8, (count,)).astype(jnp.float32),
        obs_t=observe(keys[4]),
    )
    return config, environment, plain, agent, batch, jax.random.uniform(keys[5], (count,))


@functools.cache
def updates(maze: bool):
    config, environment, plain, *_ = case(maze)
    assert fused.fits(config, environment)
    return jax.jit(fused.make(config, environment, interpret=True)), jax.jit(plain.learn)


@pytest.mark.parametrize("maze", [False, True], ids=["cartpole", "maze"])
def test_is_the_plain_update(maze):
    """Over the target network's moves, too, at every second update."""
    *_, agent, batch, weights = case(maze)
    found = wanted = agent
    for _ in range(4):
        kernel, plain = updates(maze)
        found, info, surprise = kernel(found, batch, weights, jax.random.key(0))
        wanted, wanted_info, wanted_surprise = plain(wanted, batch, weights, jax.random.key(0))
        chex.assert_trees_all_close(info, wanted_info, rtol=1e-4, atol=1e-4)
        chex.assert_trees_all_close(surprise, wanted_surprise, atol=1e-3)
        # By less than a hundredth of one step.
        chex.assert_trees_all_close(found, wanted, atol=1e-4)
        chex.assert_trees_all_equal_dtypes(found, wanted)
    nu, wanted_nu = found.opt_state[1].nu, wanted.opt_state[1].nu
    assert jnp.linalg.norm(nu - wanted_nu) < 3e-4 * jnp.linalg.norm(wanted_nu)
    assert not np.allclose(*map(_first, (found.target_params, agent.target_params)), atol=1e-3)


def test_gradient_is_exact_to_its_products():
    """Three products of halves: some 1e-5 of the norm, where one of bfloat16 has 4e-2."""
    *_, agent, batch, weights = case(False)
    mu, wanted = (
        update(agent, batch, weights, jax.random.key(0))[0].opt_state[1].mu
        for update in updates(False)
    )
    assert jnp.linalg.norm(mu - wanted) < 1e-4 * jnp.linalg.norm(wanted)
    assert jnp.linalg.norm(wanted) > 0


def test_many_agents_are_each_as_alone():
    """Whatever differs between them: weights, step sizes, periods."""
    config, environment, plain, _agent, batch, weights = case(False)
    rates, periods = jnp.array([1e-2, 1e-3]), jnp.array([1, 3])
    agents = jax.vmap(plain.init)(jax.random.split(jax.random.key(1), 2))

    def update(rate, period, agent):
        changed = config.replace(learning_rate=rate, target_period=period)
        learn = fused.make(changed, environment, interpret=True)
        return learn(agent, batch, weights, jax.random.key(0))

    together = jax.jit(jax.vmap(update))(rates, periods, agents)
    for i in range(2):
        alone = jax.jit(update)(rates[i], periods[i], jax.tree.map(lambda x, i=i: x[i], agents))
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], together), alone, rtol=1e-6)
    targets = _first(together[0].target_params) != _first(agents.target_params)
    assert targets[0].all()
    assert not targets[1].any()


def test_what_is_not_finite_halts_it_for_good():
    *_, agent, batch, weights = case(False)
    kernel, _ = updates(False)
    bad, info, _ = kernel(agent, batch.replace(r_t=batch.r_t.at[3].set(jnp.nan)), weights, None)
    assert bad.halted
    assert bad.updates == 0
    assert jnp.isnan(info.loss)
    chex.assert_trees_all_equal(bad.params, agent.params)
    chex.assert_trees_all_equal(bad.target_params, agent.target_params)
    after, info, _ = kernel(bad, batch, weights, None)
    assert after.halted
    assert after.updates == 0
    assert jnp.isnan(info.grad_norm)
    chex.assert_trees_all_equal(after.params, agent.params)


@pytest.mark.parametrize("maze", [False, True], ids=["cartpole", "maze"])
def test_action_values_of_many_observations(maze):
    config, environment, plain, agent, batch, _ = case(maze)
    many = fused.values(config, environment, interpret=True)(agent.params, batch.obs_t)
    each = jax.vmap(plain.q_values, (None, 0))(agent.params, batch.obs_t)
    chex.assert_trees_all_close(many, each, atol=1e-4)
    assert many.std() > 0.01


@pytest.mark.parametrize(
    ("words", "fit"),
    [
        ({}, True),
        ({"widths": (64, 64), "batch_size": 64}, True),
        ({"replay": "prioritised", "n_step": 3}, True),
        ({"widths": (48, 16)}, False),
        ({"widths": (128,)}, False),
        ({"widths": (16, 16, 16)}, False),
        ({"batch_size": 8}, False),
        ({"layer_norm": True}, False),
        ({"dueling": True}, False),
        ({"noisy": True}, False),
        ({"head": "quantile"}, False),
        ({"bootstrap": "munchausen"}, False),
        ({"env": "Maze-jaxdqn", "env_kwargs": {"height": 10, "width": 10}}, False),
        ({"env": "Maze-jaxdqn", "env_kwargs": {"height": 5, "observation": "tokens"}}, False),
    ],
    ids=str,
)
def test_is_taken_where_it_is_faster(words, fit):
    config = CARTPOLE.replace(**words)
    environment, _ = environments.make(config)
    assert fused.fits(config, environment) == fit
    with jax.default_matmul_precision("highest"):
        assert not fused.fits(config, environment)


def test_other_devices_run_the_plain_update():
    config, environment, plain, agent, batch, weights = case(False)
    either = fused.where_it_fits(config, environment, plain)
    arguments = agent, batch, weights, jax.random.key(0)
    assert "pallas_call" in str(jax.make_jaxpr(either.learn)(*arguments))
    chex.assert_trees_all_equal(jax.jit(either.learn)(*arguments), updates(False)[1](*arguments))


@pytest.mark.parametrize(
    ("count", "agents", "taken"), [(16, 1, True), (5, 1, False), (64, 2, True), (128, 1, False)]
)
def test_acting_asks_for_many_values_at_once_where_it_can(count, agents, taken):
    config, environment, plain, agent, batch, _ = case(False)
    either = fused.where_it_fits(config, environment, plain)
    obs = jnp.resize(batch.obs_t, (agents, count, *environment.obs.shape))
    params = jax.tree.map(lambda x: jnp.stack([x * (i + 1) for i in range(agents)]), agent.params)

    def act(q_values):
        return jax.vmap(jax.vmap(q_values, (None, 0)))

    assert ("pallas_call" in str(jax.make_jaxpr(act(either.q_values))(params, obs))) == taken
    found, wanted = (jax.jit(act(how.q_values))(params, obs) for how in (either, plain))
    chex.assert_trees_all_equal(found, wanted)
    one, same = (jax.jit(how.q_values)(agent.params, obs[0, 0]) for how in (either, plain))
    chex.assert_trees_all_equal(one, same)


# JAX 0.11 says so of Pallas's Triton; without it XLA's way would remain.
@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "silu", "elu"])
def test_a_gpu_has_all_that_the_kernels_ask_for(activation):
    """Lowered for one that isn't there."""
    config, environment, _plain, agent, batch, weights = case(False)
    config = config.replace(activation=activation)
    gpu = AbstractDevice("NVIDIA H100", num_cores=132, platform="gpu")
    with use_abstract_mesh(AbstractMesh((1,), ("x",), abstract_device=gpu)):
        for kernel, arguments in (
            (fused.make(config, environment), (agent, batch, weights, None)),
            (fused.values(config, environment), (agent.params, batch.obs_t)),
        ):
            lowered = jax.jit(kernel).trace(*arguments).lower(lowering_platforms=("cuda",))
            assert "__gpu$xla.gpu.triton" in lowered.as_text()


def test_a_policy_for_any_number_of_observations_can_be_exported():
    """Where updates are kernels the number that acting's kernel is for isn't known here."""
    config, environment, plain, agent, batch, _ = case(False)
    fitted = fused.where_it_fits(config, environment, plain)
    size = jax.export.symbolic_shape("B")[0]
    obs = jax.ShapeDtypeStruct((size, *batch.obs_t.shape[1:]), batch.obs_t.dtype)
    values = jax.jit(lambda obs: jax.vmap(fitted.q_values, (None, 0))(agent.params, obs))
    made = jax.export.export(values, platforms=["cpu", "cuda"])(obs)
    expected = jax.vmap(plain.q_values, (None, 0))(agent.params, batch.obs_t)
    np.testing.assert_allclose(made.call(batch.obs_t), expected, rtol=1e-5, atol=1e-6)


def _first(params):
    return params["params"]["dense"]["Dense_0"]["kernel"]
