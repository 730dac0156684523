"""n-step returns equal those of a deque that is fed the same steps, at both kinds of ends."""

from collections import deque
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_same_bits, small

import jaxdqn
from jaxdqn.replay import ring, windows
from jaxdqn.training import bytes_per_transition
from jaxdqn.types import Transition

KEY = jax.random.key(0)
DISCOUNT = 0.5
"""With whole rewards all sums are exact, in whatever order they are made."""


def steps_of(rng, shape) -> Transition:
    """Steps in line; observations are numbered, so that each says where it comes from."""
    ended, cut = rng.random((2, *shape)) < rng.choice([0.05, 0.2, 0.5])
    time = np.broadcast_to(np.arange(shape[-1], dtype=np.float32), shape)
    return Transition(
        obs_tm1=time,
        a_tm1=rng.integers(0, 4, shape).astype(np.int32),
        r_t=rng.integers(-8, 9, shape).astype(np.float32),
        discount_t=~ended,
        obs_t=time + np.float32(0.5),
        last=ended | cut,
    )


def by_deque(steps: Transition, length: int) -> dict[int, tuple]:
    """Feed one environment's steps to a deque; return transitions by the step that starts them."""
    made, pending = {}, deque()

    def emit(bootstrap: float, seen: float) -> None:
        first, action = pending[0][:2]
        total, factor = 0.0, 1.0
        for *_, reward in pending:
            total, factor = total + factor * reward, factor * DISCOUNT
        made[first] = (action, total, bootstrap * factor / DISCOUNT, seen)
        pending.popleft()

    for time in range(len(steps.r_t)):
        pending.append((time, steps.a_tm1[time], steps.r_t[time]))
        goes_on, seen = float(steps.discount_t[time]), steps.obs_t[time]
        if steps.last[time]:
            while pending:
                emit(goes_on, seen)
        elif len(pending) == length:
            emit(1.0, seen)
    return made


@pytest.mark.parametrize("length", [1, 3, 7])
def test_folded_windows_equal_a_deque_over_a_thousand_patterns_of_episodes(length):
    rng, time = np.random.default_rng(length), 20
    steps = jax.tree.map(
        lambda *x: np.concatenate(x), *(steps_of(rng, (100, time)) for _ in range(10))
    )
    starts = np.arange(time - length + 1)
    cut = jax.tree.map(lambda x: x[:, starts[:, None] + np.arange(length)], steps)
    fold = jax.jit(jax.vmap(windows.folding(length, DISCOUNT)))
    found = jax.device_get(fold(cut))
    for row in range(1_000):
        made = by_deque(jax.tree.map(partial(np.take, indices=row, axis=0), steps), length)
        for start in starts:
            here = jax.tree.map(lambda x, at=(row, start): x[at], found)
            assert int(here.obs_tm1) == start
            assert (here.a_tm1, here.r_t, here.discount_t, here.obs_t) == made[start]


@pytest.mark.parametrize(("capacity", "envs", "length"), [(24, 3, 3), (8, 1, 7), (12, 4, 2)])
def test_windows_are_of_one_environment_and_never_run_over_the_newest_step(capacity, envs, length):
    """After every addition, before and after the ring is full: all such windows, and no others."""
    steps = steps_of(np.random.default_rng(0), (1,))
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct((), x.dtype), steps)
    buffer = ring.uniform(capacity, 600, like, length, envs)
    add, sample = jax.jit(buffer.add), jax.jit(buffer.sample)
    state = buffer.init()
    for time in range(3 * capacity // envs):
        numbers = jnp.full(envs, 10.0 * time) + jnp.arange(envs)
        block = jax.tree.map(lambda x, n=envs: jnp.zeros(n, x.dtype), like)
        state = add(state, block.replace(r_t=numbers))
        if time < length - 1:
            continue
        drawn = np.asarray(sample(state, jax.random.fold_in(KEY, time)).items.r_t)
        oldest = max(0, time + 1 - capacity // envs)
        assert set(drawn[:, 0]) == {
            10.0 * t + env for t in range(oldest, time - length + 2) for env in range(envs)
        }
        np.testing.assert_array_equal(np.diff(drawn, axis=1), 10.0)


def test_a_whole_number_is_a_discount():
    _, whole = jaxdqn.train(small(n_step=3, discount=1), jax.random.key(0))
    _, usual = jaxdqn.train(small(n_step=3, discount=1.0), jax.random.key(0))
    assert_same_bits(whole, usual)


def test_only_windows_of_several_steps_store_where_episodes_end():
    one, three = small(), small(n_step=3)
    assert bytes_per_transition(three) == bytes_per_transition(one) + 1
