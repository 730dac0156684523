"""Returns of rollouts against plain Python; each published error of them makes a test fail."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import small
from flax import struct

from jaxdqn import assembly
from jaxdqn.algorithm import exploration, rollout
from jaxdqn.algorithm.descent import Descent
from jaxdqn.algorithm.rollout import lambda_returns
from jaxdqn.method import LearnInfo, Tally
from jaxdqn.training import init
from jaxdqn.types import Transition

KEY = jax.random.key(0)
DISCOUNT, DECAY = 0.9, 0.7


class Line(struct.PyTreeNode):
    """Steps of one environment, in line, and the value of what was seen last in each."""

    steps: Transition
    values_t: np.ndarray


def lines(count: int, time: int, seed: int = 0) -> Line:
    """Random steps with both kinds of ends, ``[count, time]``."""
    rng = np.random.default_rng(seed)
    often = rng.choice([0.0, 0.05, 0.3], (2, count, 1))
    ended, cut = rng.random((2, count, time)) < often
    steps = Transition(
        obs_tm1=None,
        a_tm1=np.zeros((count, time), np.int32),
        r_t=rng.normal(size=(count, time)).astype(np.float32),
        discount_t=(~ended).astype(np.float32),
        obs_t=None,
        last=ended | cut,
    )
    return Line(steps, rng.normal(size=(count, time)).astype(np.float32))


def forward_view(line: Line, decay: float = DECAY) -> list[float]:
    """The definition: n-step returns, weighted by powers of lambda (Watkins, 1989), step by step.

    The last of them, at the end of an episode or of the rollout, has all the weight that is left.
    """
    steps, found = line.steps, []
    for start in range(len(steps.r_t)):
        total, reward, weight, factor = 0.0, 0.0, 1.0, 1.0
        for time in range(start, len(steps.r_t)):
            reward += factor * float(steps.r_t[time])
            alive = float(steps.discount_t[time])
            n_step = reward + factor * DISCOUNT * alive * float(line.values_t[time])
            over = bool(steps.last[time]) or time == len(steps.r_t) - 1
            total += (weight if over else weight * (1 - decay)) * n_step
            if over:
                break
            weight, factor = weight * decay, factor * DISCOUNT
        found.append(total)
    return found


def generalised_advantages(line: Line, values_tm1) -> list[float]:
    """Schulman et al. (2016, arXiv:1506.02438), equation 16: sums of errors within an episode."""
    steps, found = line.steps, []
    for start in range(len(steps.r_t)):
        total, factor = 0.0, 1.0
        for time in range(start, len(steps.r_t)):
            bootstrap = DISCOUNT * steps.discount_t[time] * line.values_t[time]
            total += factor * float(steps.r_t[time] + bootstrap - values_tm1[time])
            if steps.last[time]:
                break
            factor *= DISCOUNT * DECAY
        found.append(total)
    return found


def of(count: int, returns=lambda_returns, decay=DECAY, time: int = 17):
    many = lines(count, time)
    found = jax.vmap(returns, (0, 0, None, None))(many.steps, many.values_t, DISCOUNT, decay)
    return many, np.asarray(found)


def row(tree, index: int):
    return jax.tree.map(lambda x: x[index], tree)


def test_lambda_returns_equal_their_definition_on_a_thousand_rollouts_with_both_kinds_of_ends():
    many, found = of(1_000)
    assert many.steps.last.any(axis=1).mean() > 0.4
    expected = [forward_view(row(many, index)) for index in range(1_000)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_lambda_returns_less_values_are_generalised_advantages():
    """Where values are those of a policy, an observation's is the same before and after a step."""
    many, found = of(300)
    rng = np.random.default_rng(1)
    values_tm1 = rng.normal(size=many.values_t.shape).astype(np.float32)
    goes_on = ~many.steps.last[:, :-1]
    values_tm1[:, 1:] = np.where(goes_on, many.values_t[:, :-1], values_tm1[:, 1:])
    expected = [generalised_advantages(row(many, i), values_tm1[i]) for i in range(300)]
    np.testing.assert_allclose(found - values_tm1, expected, rtol=1e-5, atol=1e-5)


def test_at_lambda_0_and_1_they_are_one_step_and_all_there_is():
    many, one = of(50, decay=0.0)
    steps = many.steps
    np.testing.assert_allclose(one, steps.r_t + DISCOUNT * steps.discount_t * many.values_t)
    _, every = of(50, decay=1.0)
    for index in range(50):
        total = float(many.values_t[index, -1])
        for time in reversed(range(17)):
            after = many.values_t[index, time] if steps.last[index, time] else total
            total = steps.r_t[index, time] + DISCOUNT * steps.discount_t[index, time] * after
            assert every[index, time] == pytest.approx(total, rel=1e-5, abs=1e-5)


def scan_with(seed_at: int, mask: bool = True, cut: bool = True):
    """The recursion as published elsewhere, with its errors.

    Args:
        seed_at: how many steps too late the values that are bootstrapped from stand.
        mask: whether returns are masked at the world's end.
        cut: whether they stop at the clock's.
    """

    def returns(steps, values_t, discount, decay):
        late = jnp.concatenate([values_t[seed_at:], jnp.repeat(values_t[-1], seed_at)])
        alive = steps.discount_t if mask else jnp.ones_like(steps.discount_t)

        def back(after, step):
            reward, goes_on, last, value, right = step
            mixed = (1.0 - decay) * value + decay * after
            worth = reward + discount * goes_on * jnp.where(last & cut, right, mixed)
            return worth, worth

        line = (steps.r_t, alive, steps.last, late, values_t)
        return jax.lax.scan(back, values_t[-1], line, reverse=True)[1]

    return returns


@pytest.mark.parametrize(
    "wrong",
    [scan_with(seed_at=1), scan_with(seed_at=2), scan_with(0, mask=False), scan_with(0, cut=False)],
    ids=["seeded with the last value", "two steps ahead", "not masked", "runs over a time limit"],
)
def test_the_definition_tells_the_published_errors_apart(wrong):
    """What purejaxql#12, rejax#34 and CleanRL's PR 494 mend would be seen by the test above."""
    many, right = of(20, scan_with(0))
    expected = np.array([forward_view(row(many, index)) for index in range(20)])
    np.testing.assert_allclose(right, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(of(20, wrong)[1] - expected).max() > 0.1


TINY = {
    "env_kwargs": {"height": 2, "width": 3, "generator": "empty"},
    "env_params": {"max_steps_in_episode": 4},
}
"""A maze that random walks leave by the goal and by the clock."""


@jax.jit
def gathered(config, state):
    """One rollout of uniformly random actions, ``[T, E, ...]``, and what was seen at each."""
    parts = rollout.assemble(*assembly.assemble(config)[:3], outputs=4)

    def policy(_):
        return lambda bits, obs, _, memory: (exploration.random_action(bits, 4), memory, obs)

    return rollout.gather(parts, state, Tally.zero(), policy)


def test_a_rollout_shows_what_was_seen_last_never_a_reset():
    """Numbered cells tell where each observation comes from, ends by goal and clock among them."""
    config = small(method="pqn", rollout_steps=32, epochs=1, minibatches=1, **TINY)
    state, tally, (steps, _, kept) = jax.device_get(gathered(config, init(config, KEY)))
    last, ended = steps.last, steps.discount_t == 0
    assert ended.any()
    assert (last & ~ended).any()
    np.testing.assert_array_equal(kept, steps.obs_tm1)
    assert (steps.obs_t[ended] == 5).all(), "the goal"
    assert (steps.obs_tm1[1:][last[:-1]] == 0).all(), "the start"
    assert (steps.obs_t[last] != 0).any(), "not the start"
    following = ~last[:-1]
    np.testing.assert_array_equal(steps.obs_t[:-1][following], steps.obs_tm1[1:][following])
    assert int(tally.episodes) == last.sum()
    assert float(tally.returns) == 10.0 * ended.sum()
    np.testing.assert_array_equal(state.obs, np.where(last[-1], 0, steps.obs_t[-1]))


class Witness(struct.PyTreeNode):
    """An agent that only remembers what it was shown, ``[updates, B]``."""

    params: jax.Array
    shown: jax.Array
    updates: jax.Array


def shown(agent, loss, value, grads):
    agent = agent.replace(shown=agent.shown.at[agent.updates].set(grads), updates=agent.updates + 1)
    return agent, LearnInfo(loss, value, jnp.float32(0.0))


def test_every_sample_is_learned_from_once_in_each_epoch_and_in_another_order():
    config = small(method="pqn", epochs=3)
    state = init(config, KEY).replace(agent=Witness(jnp.zeros(8), jnp.zeros((12, 8)), jnp.int32(0)))
    rows = rollout.Row(jnp.arange(32.0))
    parts = rollout.Parts(config, None, None, None, Descent(None, shown))
    state, _ = rollout.learn(
        parts, state, Tally.zero(), rows,
        lambda params, batch, _: (jnp.sum(params * batch.sample), batch.sample[0]),
    )  # fmt: skip
    epochs = np.asarray(state.agent.shown).reshape(3, 32)
    assert int(state.agent.updates) == 12
    for order in epochs:
        np.testing.assert_array_equal(np.sort(order), np.arange(32.0))
        assert not (order == np.arange(32)).all()
    assert len({order.tobytes() for order in epochs}) == 3


@jax.jit
def iteration(config, state):
    return assembly.assemble(config).method.iterate(state, Tally.zero())


@pytest.mark.parametrize("td_lambda", [0.0, 0.65, 1.0])
def test_an_iteration_of_pqn_descends_the_error_to_the_returns_of_plain_python(td_lambda):
    """Each cell has a value of its own, so that no step can take another's unseen."""
    config = small(
        method="pqn", td_lambda=td_lambda, discount=DISCOUNT, epochs=1, minibatches=1,
        rollout_steps=32, **TINY,
    )  # fmt: skip
    start = init(config, KEY)
    q_values = partial(assembly.assemble(config).method.q_values, start.agent.params)
    q = np.asarray(jax.vmap(q_values)(jnp.arange(6)))
    assert np.diff(np.sort(q.max(1))).min() > 1e-3
    after, tally = iteration(config, start)
    steps = jax.device_get(gathered(config, start)[2][0])
    assert (steps.last & (steps.discount_t == 1)).any()
    assert (steps.discount_t == 0).any()
    losses, values = [], []
    for env in range(4):
        line = row(Line(steps, q.max(1)[steps.obs_t]), (slice(None), env))
        chosen = q[line.steps.obs_tm1, line.steps.a_tm1]
        losses += list(0.5 * (forward_view(line, td_lambda) - chosen) ** 2)
        values += list(chosen)
    assert float(tally.loss) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(tally.q_mean) == pytest.approx(np.mean(values), rel=1e-5)
    assert int(after.agent.updates) == 1
