"""Sequences of a replay: what is learned from them is what plain Python finds, step by step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import RESIDUAL, small
from test_config import refuse
from test_laws import assert_equal_up_to_rounding
from test_memory import NETWORK, STEP
from test_rollout import TINY

import jaxdqn
from jaxdqn import pytrees, training
from jaxdqn.algorithm import r2d2
from jaxdqn.losses import bootstrap, heads
from jaxdqn.networks.memory import unroll
from jaxdqn.types import Transition

KEY = jax.random.key(5)
INIT = jax.jit(NETWORK.init)
ONLINE, TARGET = (INIT(jax.random.key(seed), jnp.zeros(2)) for seed in (1, 2))
HEAD, DOUBLE = heads.expected("squared"), bootstrap.greedy(double=True)


def sequence(time: int, seed: int) -> r2d2.Step:
    """Random steps with both kinds of ends, ``[time]``; what ends is seen nowhere else."""
    rng = np.random.default_rng(seed)
    ended, cut = rng.random((2, time)) < 0.2
    last = ended | cut
    obs = rng.normal(size=(time + 1, 2)).astype(np.float32)
    other = rng.normal(size=(time, 2)).astype(np.float32)
    return r2d2.Step(
        obs_tm1=obs[:-1],
        a_tm1=rng.integers(0, 3, time).astype(np.int32),
        r_t=rng.normal(size=time).astype(np.float32),
        discount_t=(~ended).astype(np.float32),
        obs_t=np.where(last[:, None], other, obs[1:]),
        last=last,
        memory_tm1={"dense": {"state": rng.uniform(-1, 1, (time, 5)).astype(np.float32)}},
    )


def settings(**changes):
    return small(method="r2d2", discount=0.9, **changes)


@partial(jax.jit, static_argnames="which")
def learned(config, steps, which="loss"):
    """The loss, the surprise and the value of many sequences; or a gradient of their losses."""

    def losses(params, steps):
        of_one = partial(r2d2.sequence_loss, config, NETWORK, HEAD, DOUBLE, params, TARGET, params)
        return jax.vmap(of_one, (0, None))(steps, KEY)

    def total(obs_tm1, memory_tm1):
        return losses(ONLINE, steps.replace(obs_tm1=obs_tm1, memory_tm1=memory_tm1))[0].sum()

    if which == "loss":
        return losses(ONLINE, steps)
    return jax.grad(total, (0, 1))(steps.obs_tm1, steps.memory_tm1)


def read(params, steps, time):
    """Memories before each step, and values of what is seen before and last in it, one by one."""
    memory, before, after = {"dense": {"state": steps.memory_tm1["dense"]["state"][0]}}, [], []
    for now in range(time):
        outputs, memory = STEP(params, memory, steps.obs_tm1[now], False, None)
        before.append(np.asarray(outputs[:, 0]))
        after.append(np.asarray(STEP(params, memory, steps.obs_t[now], False, None)[0][:, 0]))
        memory = NETWORK.memory() if steps.last[now] else memory
    return before, after


def plainly(steps, burn_in, length, n_step):
    """The loss, the surprise and the value of one sequence by their definitions."""
    time = burn_in + length + n_step - 1
    online, online_t = read(ONLINE, steps, time)
    _, target_t = read(TARGET, steps, time)
    losses, surprises, values = [], [], []
    for start in range(burn_in, burn_in + length):
        worth, factor = 0.0, 1.0
        for now in range(start, start + n_step):
            worth += factor * float(steps.r_t[now])
            factor *= 0.9 * float(steps.discount_t[now])
            if steps.last[now]:
                break
        worth += factor * float(target_t[now][online_t[now].argmax()])
        value = float(online[start][steps.a_tm1[start]])
        losses.append(0.5 * (worth - value) ** 2)
        surprises.append(abs(worth - value))
        values.append(value)
    return np.mean(losses), 0.9 * max(surprises) + 0.1 * np.mean(surprises), np.mean(values)


@pytest.mark.parametrize(("burn_in", "n_step"), [(0, 1), (3, 2)])
def test_a_sequence_is_worth_what_plain_python_finds_with_both_kinds_of_ends(burn_in, n_step):
    """Stored memory at its start, each network with its own, what was seen last at a time limit."""
    time = burn_in + 4 + n_step - 1
    many = [sequence(time, seed) for seed in range(12)]
    assert sum(steps.last[:-1].sum() for steps in many) > 5
    steps = jax.tree.map(lambda *x: np.stack(x), *many)
    config = settings(burn_in=burn_in, n_step=n_step)
    found = learned(config, steps)
    expected = [plainly(steps, burn_in, 4, n_step) for steps in many]
    np.testing.assert_allclose(np.transpose(found), expected, rtol=1e-4, atol=1e-5)


def test_no_gradient_flows_through_burn_in_though_it_changes_what_is_learned():
    steps = sequence(7, seed=3).replace(last=np.zeros(7, bool), discount_t=np.ones(7, np.float32))
    one = jax.tree.map(lambda x: x[None], steps)
    config = settings(burn_in=3)
    by_obs, by_memory = learned(config, one, "gradient")
    np.testing.assert_array_equal(by_obs[0, :3], 0.0)
    np.testing.assert_array_equal(by_memory["dense"]["state"], 0.0)
    assert (np.abs(by_obs[0, 3:]).max(axis=1) > 0).all()
    other = one.replace(obs_tm1=one.obs_tm1 + np.eye(7, 1, dtype=np.float32)[None])
    assert abs(float(learned(config, other)[0][0] - learned(config, one)[0][0])) > 1e-6
    _, by_memory = learned(settings(burn_in=0), jax.tree.map(lambda x: x[:, :4], one), "gradient")
    assert np.abs(by_memory["dense"]["state"][0, 0]).max() > 0, "without it, it does"


def test_what_was_remembered_is_found_again_in_every_window_by_the_same_weights():
    """Windows of a ring that went round several times, cross ends and never its write position."""
    config = settings(learning_rate=0.0, capacity=96, memory_width=5, **TINY)
    state, _ = jaxdqn.train(config, KEY)
    network = config.part("memory").make(config.part("network"), 4, 1, 6)
    example = jax.tree.map(lambda x: x[0], state.replay.storage)
    replay = config.part("replay").make(96, 256, example, 6, 4, 1)
    rows = replay.sample(state.replay, KEY).items
    assert int(state.replay.added) > 2 * 96
    first = np.concatenate([np.zeros((256, 1), bool), rows.last[:, :-1]], axis=1)
    assert first.any(axis=1).mean() > 0.3
    begun = jax.tree.map(lambda x: x[:, 0], rows.memory_tm1)
    again = jax.jit(jax.vmap(partial(unroll, network), (None, 0, 0, 0)))
    _, after = again(state.agent.params, begun, rows.obs_tm1, first)
    after, before = after["dense"]["state"], rows.memory_tm1["dense"]["state"]
    expected = np.where(rows.last[:, :-1, None], 0.0, after[:, :-1])
    np.testing.assert_allclose(before[:, 1:], expected, rtol=1e-5, atol=1e-6)
    assert np.abs(before).max() > 0.1


@pytest.mark.slow
def test_without_memory_from_sequences_of_one_it_is_double_dqn():
    plain, rows = jaxdqn.train(small(n_step=3), KEY)
    config = small(method="r2d2", memory="none", burn_in=0, unroll=1, n_step=3)
    found, measured = jaxdqn.train(config, KEY)
    assert_equal_up_to_rounding((found.agent, measured), (plain.agent, rows))
    assert isinstance(plain.replay.storage, Transition)


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ({"burn_in": -1}, ["burn_in (-1)", "0 or more"]),
        ({"unroll": 0}, ["unroll (0)", "1 or more"]),
        ({"burn_in": 10, "unroll": 7},
         ["burn_in (10) + unroll (7) = 17 steps exceed", "(16): raise warmup_steps to 68"]),
        ({"burn_in": 10, "unroll": 5, "n_step": 3}, ["+ n_step (3) - 1 = 17 steps exceed"]),
        ({"capacity": 129}, ["capacity (129) must be a multiple of num_envs (4)", "to 132."]),
        ({"noisy": True}, ["noisy (True) acts by other weights"]),
        ({"rollout_steps": 3}, ["rollout_steps (3) belongs to method 'pqn' or 'ppo'"]),
    ],
)  # fmt: skip
def test_sequences_that_can_not_be_are_refused(words, fragments):
    refuse(lambda: jaxdqn.train(small(method="r2d2", **words), KEY), *fragments)


def test_it_brings_a_memory_unless_told_otherwise():
    assert small().replace(method="r2d2").memory == "gru"
    assert small(method="r2d2", memory="none").memory == "none"
    refuse(lambda: small(burn_in=3), "burn_in (3) belongs to method 'r2d2', and method is 'dqn'")


def test_a_residual_network_in_two_streams_remembers_too():
    config = small(method="r2d2", dueling=True, memory_width=5, **RESIDUAL)
    state = training.outline(config)
    assert state.memory["dense"]["state"].shape == (4, 5)
    assert state.replay.storage.memory_tm1["dense"]["state"].shape == (128, 5)
    names = pytrees.named_leaves(state.agent.params)
    assert {"params.dense.kept.kernel", "params.Conv3x3_0.Einsum_0.kernel"} <= set(names)
    assert "params.dense.behind.linear_4.kernel" in names, "two layers in each of two streams"
