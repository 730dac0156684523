"""A network that remembers, read again in line, gives what it gave; resets are forgotten."""

import itertools
from functools import partial

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import small
from flax import linen as nn
from test_config import refuse
from test_rollout import (
    DECAY,
    DISCOUNT,
    TINY,
    Line,
    forward_view,
    generalised_advantages,
    iteration,
    row,
)

import jaxdqn
from jaxdqn import assembly, training
from jaxdqn.algorithm import exploration, rollout
from jaxdqn.maze import t_maze
from jaxdqn.method import Tally
from jaxdqn.networks.dense import DenseSettings
from jaxdqn.networks.memory import GRUSettings, unroll
from jaxdqn.runs import export
from jaxdqn.training import init

KEY = jax.random.key(0)
SMALL_GRU = GRUSettings(memory_width=5, memory_span=20.0)
NETWORK = SMALL_GRU.make(DenseSettings(widths=(7, 6)), 3, 1, None)
PARAMS = jax.jit(NETWORK.init)(KEY, jnp.zeros(2))
STEP = jax.jit(NETWORK.apply)
ALONG = jax.jit(partial(unroll, NETWORK))


def seen(time: int, seed: int = 0):
    """Random observations ``[time, 2]``, and starts of episodes among them."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(time, 2)).astype(np.float32), rng.random(time) < 0.2


def test_it_is_the_gated_recurrent_unit_of_flax():
    obs, _ = seen(1)
    dense = PARAMS["params"]["dense"]
    x = nn.relu(obs[0] @ dense["Dense_0"]["kernel"] + dense["Dense_0"]["bias"])
    ours = {"seen": dense["seen"], "kept": dense["kept"]}
    parts = {name: np.split(ours[name]["kernel"], 3, axis=1) for name in ours}
    biases = np.split(ours["seen"]["bias"], 3)
    theirs = {
        **{f"i{gate}": {"kernel": parts["seen"][i], "bias": biases[i]} for i, gate in GATES},
        **{f"h{gate}": {"kernel": parts["kept"][i]} for i, gate in GATES},
    }
    theirs["hn"]["bias"] = np.zeros(5, np.float32)
    state = np.linspace(-0.9, 0.9, 5).astype(np.float32)
    expected, _ = nn.GRUCell(5).apply({"params": theirs}, state, x)
    _, memory = STEP(PARAMS, {"dense": {"state": state}}, obs[0], False, None)
    np.testing.assert_allclose(memory["dense"]["state"], expected, rtol=1e-5, atol=1e-6)
    keep = jax.nn.sigmoid(biases[1])
    assert ((keep >= 0.5) & (keep <= 1 - 1 / 20)).all(), "at first it fades in 2 to 20 steps"


GATES = list(enumerate("rzn"))


def test_an_unroll_is_step_after_step_and_a_reset_in_it_makes_it_two():
    obs, first = seen(30)
    assert first[1:].sum() > 3
    memory, expected, kept = NETWORK.memory(), [], []
    for time in range(30):
        # Forgotten by hand where an episode starts.
        memory = NETWORK.memory() if first[time] else memory
        outputs, memory = STEP(PARAMS, memory, obs[time], False, None)
        expected.append(outputs)
        kept.append(memory["dense"]["state"])
    found, memories = ALONG(PARAMS, NETWORK.memory(), obs, first)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(memories["dense"]["state"], kept, rtol=1e-5, atol=1e-6)
    cut = int(np.flatnonzero(first)[-1])
    alone, _ = ALONG(PARAMS, {"dense": {"state": jnp.full(5, 0.5)}}, obs[cut:], first[cut:])
    np.testing.assert_array_equal(alone, found[cut:], "what came before has no part in it")


def remembering(**changes):
    """PQN with a memory, in a maze that random walks leave by the goal and by the clock."""
    usual = {"method": "pqn", "td_lambda": 0.65} if "method" not in changes else {}
    return small(
        memory="gru", memory_width=5, discount=DISCOUNT, epochs=1, minibatches=1,
        rollout_steps=32, **{**TINY, **usual, **changes},
    )  # fmt: skip


@jax.jit
def twice(config, state):
    """Two rollouts of random actions: what was given when acting, and when read again."""
    parts = rollout.assemble(*assembly.assemble(config)[:3], outputs=4)
    network, params = parts.network, state.agent.params

    def policy(_):
        def act(bits, obs, _, memory):
            outputs, memory = network.apply(params, memory, obs, False, None)
            return exploration.random_action(bits, 4), memory, outputs

        return act

    def once(state, _):
        begun = state.memory
        state, _, seen = rollout.gather(parts, state, Tally.zero(), policy)
        rows = rollout.rows(network, begun, seen.steps, seen.steps)
        again = jax.vmap(partial(rollout.outputs_of, network, params))(rows)
        value = rollout.values_of(
            config, lambda memory, obs: network.apply(params, memory, obs, False, None)[0].max(),
            seen,
        )  # fmt: skip
        return state, (seen, begun, again, value)

    return jax.lax.scan(once, state, length=2)[1]


def test_values_read_again_are_those_of_acting_across_rollouts_and_both_kinds_of_ends():
    config = remembering()
    seen, begun, again, _ = jax.device_get(twice(config, init(config, KEY)))
    last, ended = seen.steps.last, seen.steps.discount_t == 0
    assert ended.any()
    assert (last & ~ended).any()
    assert not last[0, -1].all(), "an episode goes on into the second rollout"
    assert np.abs(begun["dense"]["state"][1]).max() > 0
    np.testing.assert_allclose(again, np.swapaxes(seen.kept, 1, 2), rtol=1e-5, atol=1e-6)


def test_an_iteration_descends_the_error_to_returns_of_what_was_remembered():
    """At a time limit the value is of what was seen last, with the memory before the reset."""
    config = remembering(learning_rate=0.0, epsilon_end=1.0)
    start = init(config, KEY)
    seen, _, again, value = jax.tree.map(lambda x: x[0], jax.device_get(twice(config, start)))
    assert (seen.steps.last & (seen.steps.discount_t == 1)).any()
    network = config.part("memory").make(config.part("network"), 4, 1, 6)
    step = jax.jit(network.apply)
    losses = []
    for env in range(4):
        steps = row(seen.steps, (slice(None), env))
        memory, values = network.memory(), []
        for time in range(32):
            _, memory = step(start.agent.params, memory, steps.obs_tm1[time], False, None)
            outputs, _ = step(start.agent.params, memory, steps.obs_t[time], False, None)
            values.append(float(outputs.max()))
            memory = network.memory() if steps.last[time] else memory
        np.testing.assert_allclose(value[:, env], values, rtol=1e-4, atol=1e-6)
        chosen = again[env, np.arange(32), steps.a_tm1, 0]
        losses += list(0.5 * (forward_view(Line(steps, np.float32(values)), 0.65) - chosen) ** 2)
    _, tally = iteration(config, start)
    assert float(tally.loss) == pytest.approx(np.mean(losses), rel=1e-4)


@jax.jit
def by_chance(config, state):
    """The rollout that an iteration of PPO makes."""
    parts = rollout.assemble(*assembly.assemble(config)[:3], outputs=5)

    def policy(_):
        def act(bits, obs, _, memory):
            outputs, memory = parts.network.apply(state.agent.params, memory, obs, False, None)
            return exploration.drawn(bits, jax.nn.softmax(outputs[:-1, 0])), memory, ()

        return act

    return rollout.gather(parts, state, Tally.zero(), policy)[2].steps


def test_an_iteration_of_ppo_descends_the_advantages_of_what_was_remembered():
    """Its first gradient's ratio is 1: what is gained is the mean advantage, in plain Python."""
    config = remembering(
        method="ppo", gae_lambda=DECAY, learning_rate=0.0,
        entropy_coefficient=0.0, normalise_advantages=False,
    )  # fmt: skip
    start = init(config, KEY)
    seen = jax.device_get(by_chance(config, start))
    assert (seen.last & (seen.discount_t == 1)).any()
    network = config.part("memory").make(config.part("network"), 5, 1, 6)
    step = jax.jit(network.apply)
    advantages = []
    for env in range(4):
        steps = row(seen, (slice(None), env))
        memory, before, after = network.memory(), [], []
        for time in range(32):
            outputs, memory = step(start.agent.params, memory, steps.obs_tm1[time], False, None)
            before.append(float(outputs[-1, 0]))
            outputs, _ = step(start.agent.params, memory, steps.obs_t[time], False, None)
            after.append(float(outputs[-1, 0]))
            memory = network.memory() if steps.last[time] else memory
        advantages += generalised_advantages(Line(steps, np.float32(after)), np.float32(before))
    _, tally = iteration(config, start)
    expected = 0.25 * np.mean(np.square(advantages)) - np.mean(advantages)
    assert float(tally.loss) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_where_a_network_remembers_nothing_is_compared_with_values_of_cells():
    measured = jax.eval_shape(jaxdqn.train, remembering(), KEY)[1]
    assert measured.success is not None
    assert measured.regret is measured.q_error is measured.policy_regret is None


CORRIDOR, _ = gymnax.make("TMaze-jaxdqn")
NUMBERS = t_maze.TMazeParams(length=3, max_steps_in_episode=12)


@jax.jit
def walked(table, sign):
    """Return rewards, ends and what was seen, of twelve steps by a table of what is seen."""
    state = t_maze.TMazeState(sign, jnp.int32(0), jnp.int32(0))

    def step(carry, _):
        obs, state = carry
        action = table[jnp.argmax(jnp.all(jnp.array(t_maze.SEEN, bool) == obs[None, :], axis=1))]
        after, state, reward, over, _ = CORRIDOR.step_env(KEY, state, action, NUMBERS)
        return (after, state), (obs, reward, over)

    return jax.lax.scan(step, (CORRIDOR.get_obs(state, NUMBERS), state), length=12)[1]


def test_no_table_of_what_is_seen_turns_right_in_a_t_maze_more_often_than_half_the_time():
    tables = jnp.array(list(itertools.product(range(4), repeat=4)), jnp.int32)
    tables = jnp.concatenate([tables, jnp.zeros_like(tables[:, :1])], axis=1)
    signs = jnp.array([t_maze.UP, t_maze.DOWN], jnp.int32)
    obs, reward, over = jax.device_get(
        jax.vmap(jax.vmap(walked, (None, 0)), (0, None))(tables, signs)
    )
    before = np.cumsum(over, axis=2) - over == 0
    right = (over & before & (reward == 1.0)).any(axis=2)
    assert right.mean(axis=1).max() == 0.5
    ahead = next(i for i, table in enumerate(np.asarray(tables)) if tuple(table) == (3, 3, 3, 0, 0))
    np.testing.assert_array_equal(over[ahead].argmax(axis=1), 3, "three moves and a turn")
    np.testing.assert_array_equal(right[ahead], [True, False])
    np.testing.assert_array_equal(
        obs[ahead, :, :4].astype(int),
        [
            [(0, 1, 1), (1, 0, 1), (1, 0, 1), (0, 1, 0)],
            [(1, 1, 0), (1, 0, 1), (1, 0, 1), (0, 1, 0)],
        ],
    )
    stuck = next(i for i, table in enumerate(np.asarray(tables)) if tuple(table) == (0, 2, 3, 0, 0))
    np.testing.assert_allclose(reward[stuck], -0.1, rtol=1e-6, err_msg="bumps cost")
    assert not over[stuck].any()


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ({"method": "dqn", "memory": "gru"},
         ["memory ('gru') has no part in method 'dqn'", "or set method = 'pqn' or 'ppo'"]),
        ({"method": "pqn", "memory_width": 3},
         ["memory_width (3) belongs to memory 'gru', and memory is 'none'"]),
        ({"memory": "lstm"}, ["memory = 'lstm' is not known", "gru"]),
        ({"memory": "gru", "memory_width": 0}, ["memory_width (0)", "1 or more"]),
        ({"memory": "gru", "memory_span": 1.0}, ["memory_span (1.0)", "2 or more"]),
        ({"memory": "gru", "noisy": True}, ["noisy (True) acts by other weights", "= 'none'"]),
        ({"memory": "gru", "widths": ()}, ["widths ([]) has no hidden layer", "one or more"]),
        ({"memory": "gru", "network": "transformer"}, ["network ('transformer')", "partial views"]),
        ({"memory": "gru", "minibatches": 8},
         ["minibatches (8) must divide num_envs (4) where a memory", "set it to 4."]),
        ({"env": "TMaze-jaxdqn", "env_kwargs": {}, "env_params": {"length": 0}},
         ["env_params.length (0)", "1 or more"]),
        ({"env": "TMaze-jaxdqn", "env_kwargs": {}, "env_params": {"length": 2.5}},
         ["env_params.length (2.5)", "whole number"]),
        ({"env": "TMaze-jaxdqn", "env_kwargs": {}, "env_params": {"lenght": 3}},
         ["env_params 'lenght'", "did you mean 'length'?"]),
    ],
)  # fmt: skip
def test_what_no_memory_makes_sense_of_is_refused(words, fragments):
    refuse(lambda: jaxdqn.train(small(**{"method": "pqn", **words}), KEY), *fragments)


@pytest.mark.parametrize(
    "train",
    [
        lambda config, lengths: jaxdqn.sweep(config, env_params={"length": lengths}, say=None),
        lambda config, lengths: jax.vmap(
            lambda length: jaxdqn.init(config.replace(env_params={"length": length}), KEY)
        )(np.array(lengths)),
    ],
    ids=["sweep", "vmap"],
)
def test_swept_corridors_are_whole_numbers_of_moves(train):
    config = small(env="TMaze-jaxdqn", env_kwargs={}, env_params={})
    refuse(lambda: train(config, [2.5, 3]), "env_params.length (", "must be a whole number")


def test_a_policy_that_remembers_is_not_exported(tmp_path):
    config = remembering()
    params = training.outline(config).agent.params
    refuse(lambda: export.export_policy(tmp_path / "policy", config, params), "memory ('gru')")


@pytest.mark.slow
def test_with_a_memory_the_sign_is_followed():
    config = small(
        method="pqn", memory="gru", memory_width=16, env="TMaze-jaxdqn", env_kwargs={},
        env_params={"length": 3, "max_steps_in_episode": 30}, num_envs=16, total_steps=40_960,
        rollout_steps=32, td_lambda=0.9, discount=0.95, learning_rate=3e-3, epsilon_steps=20_000,
        widths=(32, 32), evaluations=1, eval_episodes=200,
    )  # fmt: skip
    _, rows = jax.jit(jax.vmap(jaxdqn.train, (None, 0)))(config, jax.random.split(KEY, 4))
    assert (np.asarray(rows.eval_return[:, -1]) >= 0.95).sum() >= 3
