"""Prioritised replay: draws follow p^alpha, weights their formula, sums their rows."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import small
from scipy import stats

import jaxdqn
from jaxdqn import ConfigError, pytrees
from jaxdqn.replay import prioritised, sums
from jaxdqn.types import Transition

KEY = jax.random.key(0)
ENVS = 8


def buffer_of(capacity=520, batch_size=100_000, length=1, alpha=0.7, importance=(0.4, 1.0)):
    number = jnp.float32(0.0)
    return prioritised.prioritised(
        capacity, batch_size, Transition(None, jnp.int32(0), number, number, None), length, ENVS,
        updates=10, exponent=alpha, floor=0.01, importance=importance,
    )  # fmt: skip


def filled(buffer, blocks: int):
    """A buffer to which so many blocks were added; rewards number the transitions."""
    add, state = jax.jit(buffer.add), buffer.init()
    for block in range(blocks):
        numbers, ones = np.int32(np.arange(ENVS) + block * ENVS), np.ones(ENVS, np.float32)
        state = add(state, Transition(None, numbers, np.float32(numbers), ones, None))
    return state


def surprised(buffer, state, surprises):
    """Learn these surprises of the first slots, a batch at a time."""
    update = jax.jit(buffer.update)
    return update(state, np.arange(len(surprises)), np.asarray(surprises, np.float32))


@pytest.mark.parametrize(
    ("blocks", "alpha"),
    [
        pytest.param(80, 0.7, id="wrapped"),
        pytest.param(65, 0.7, id="full", marks=pytest.mark.slow),
        pytest.param(30, 0.7, id="half full", marks=pytest.mark.slow),
        pytest.param(80, 0.0, id="all alike", marks=pytest.mark.slow),
    ],
)
def test_a_million_draws_follow_the_priorities(blocks, alpha):
    buffer = buffer_of(alpha=alpha)
    state = filled(buffer, blocks)
    count = min(blocks * ENVS, 520)
    surprises = np.random.default_rng(0).exponential(size=count) * (np.arange(count) % 7 > 1)
    state = surprised(buffer_of(batch_size=count, alpha=alpha), state, surprises)
    sample = jax.jit(lambda key: buffer.sample(state, key).index)
    counts = sum(np.bincount(sample(jax.random.key(turn)), minlength=520) for turn in range(10))
    expected = (surprises.astype(np.float32) + 0.01) ** alpha
    assert counts.sum() == 1_000_000
    assert counts[count:].sum() == 0, "what was never filled is never drawn"
    expected = expected / expected.sum() * 1_000_000
    assert stats.chisquare(counts[:count], expected, sum_check=False).pvalue > 1e-4
    wrong = np.roll(expected, 1)
    assert alpha == 0 or stats.chisquare(counts[:count], wrong, sum_check=False).pvalue < 1e-9


def test_weights_undo_the_unequal_draws_as_far_as_importance_says():
    buffer = buffer_of(batch_size=64)
    state = filled(buffer, 65)
    surprises = np.random.default_rng(1).exponential(size=520).astype(np.float32)
    state = surprised(buffer_of(batch_size=520), state, surprises)
    chance = (surprises + 0.01) ** 0.7
    chance /= chance.sum()
    sample = jax.jit(buffer.sample)
    for drawn, beta in ((0, 0.4), (5, 0.7), (10, 1.0), (99, 1.0)):
        found = sample(state.replace(drawn=jnp.int32(drawn)), KEY)
        weights = (520 * chance[found.index]) ** -beta
        np.testing.assert_allclose(found.weight, weights / weights.max(), rtol=1e-4)
    np.testing.assert_array_equal(found.items.a_tm1[:, 0], found.index)


def test_new_transitions_have_the_greatest_priority_so_far_and_old_ones_are_forgotten():
    buffer = buffer_of(capacity=16, batch_size=8)
    state = filled(buffer, 2)
    np.testing.assert_array_equal(state.priorities[0][:16], 1.0)
    update = jax.jit(buffer.update)
    state = update(state, jnp.arange(8), jnp.full(8, 4.99))
    state = update(state, jnp.arange(8), jnp.zeros(8))
    assert float(state.largest) == pytest.approx(5.0)
    more = Transition(None, jnp.arange(8), jnp.zeros(8), jnp.ones(8), None)
    state = jax.jit(buffer.add)(state, more)
    np.testing.assert_allclose(state.priorities[0][:8], 5.0**0.7, rtol=1e-5)
    np.testing.assert_allclose(state.priorities[0][8:16], 1.0)
    assert int(state.drawn) == 2


def test_of_a_slot_drawn_twice_the_last_surprise_counts(monkeypatch):
    """What is written twice is the same, so that no device's order of writing matters."""
    written, put = {}, sums.put

    def watch(tree, slots, values):
        for slot, value in zip(slots.tolist(), values.tolist(), strict=True):
            assert written.setdefault(slot, value) == value
        return put(tree, slots, values)

    monkeypatch.setattr(sums, "put", watch)
    buffer = buffer_of(capacity=16, batch_size=4)
    state = buffer.update(
        filled(buffer, 2), jnp.array([3, 5, 3, 3]), jnp.array([9.0, 1.0, 8.0, 2.0])
    )
    np.testing.assert_allclose(state.priorities[0][3], 2.01**0.7, rtol=1e-5)
    np.testing.assert_allclose(state.priorities[0][5], 1.01**0.7, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 5, prioritised.SQUARE, prioritised.SQUARE + 1, 5_000])
def test_the_last_of_each_slot_is_found_however_many_there_are(count):
    """By comparing each with each, or where that would take much memory by sorting."""
    slots = np.random.default_rng(0).integers(0, max(count // 3, 1), count)
    last = {slot: place for place, slot in enumerate(slots.tolist())}
    found = jax.jit(prioritised.last_of_each)(jnp.asarray(slots))
    assert found.tolist() == [last[slot] for slot in slots.tolist()]
    sizes = [v.aval.size for e in jax.make_jaxpr(prioritised.last_of_each)(slots).eqns
             for v in e.outvars]  # fmt: skip
    assert max(sizes) <= max(prioritised.SQUARE**2, count)


@pytest.mark.parametrize("count", [5, 64, 65, 5_000])
def test_every_sum_is_that_of_its_row_whatever_was_written(count):
    """To the rounding of one sum, ever: sums that were added to would drift."""
    rng = np.random.default_rng(count)
    tree, plain = sums.empty(count), np.zeros(count, np.float32)
    put, fill = jax.jit(sums.put), jax.jit(sums.fill, static_argnums=2)
    for turn in range(100):
        if turn % 2:
            slots = rng.permutation(count)[:4]
            values = rng.exponential(size=len(slots)).astype(np.float32) * 10.0 ** rng.integers(
                -6, 6
            )
            tree, plain[slots] = put(tree, slots, values), values
        else:
            length = min(5, count)
            start = rng.integers(count - length + 1)
            tree = fill(tree, start, length, jnp.float32(turn))
            plain[start : start + length] = turn
    np.testing.assert_array_equal(tree[0][:count], plain)
    assert not tree[0][count:].any()
    for below, above in itertools.pairwise(tree):
        rows = below.reshape(-1, 64)
        np.testing.assert_allclose(above[: len(rows)], rows.sum(1), rtol=1e-6)
    assert len(tree[-1]) == 64


def test_nothing_without_priority_is_drawn_even_at_the_ends_of_the_line():
    tree = sums.put(sums.empty(5_000), jnp.array([70, 71, 4_000]), jnp.array([1e-6, 1e6, 1e-6]))
    points = jnp.array([0.0, 0.5, 1.0 - 2**-24])
    for other in (0.0, 1.0 - 2**-24):
        assert set(np.asarray(sums.draw(tree, points, jnp.full(3, other)))) <= {70, 71, 4_000}


def test_draws_are_stratified():
    """Of as many draws as there are equal rows, each row gets one; in it they are independent."""
    tree = sums.fill(sums.empty(64 * 64), jnp.int32(0), 64 * 64, jnp.float32(1.0))
    points = (jnp.arange(64) + jax.random.uniform(KEY, (64,))) / 64
    others = jax.random.uniform(jax.random.key(1), (64,))
    slots = sums.draw(tree, points, others)
    np.testing.assert_array_equal(slots // 64, np.arange(64))
    np.testing.assert_array_equal(slots % 64, (64 * others).astype(int))


@pytest.mark.parametrize("length", [2, 3])
def test_only_whole_windows_are_drawn_before_and_after_the_ring_is_full(length):
    buffer = buffer_of(capacity=5 * ENVS, batch_size=2_000, length=length)
    add, sample, state = jax.jit(buffer.add), jax.jit(buffer.sample), buffer.init()
    for time in range(14):
        numbers = jnp.full(ENVS, time)
        state = add(state, Transition(None, numbers, 1.0 * numbers, jnp.ones(ENVS), None))
        if time < length - 1:
            continue
        windows = np.asarray(sample(state, jax.random.key(time)).items.a_tm1)
        assert set(windows[:, 0]) == set(range(max(0, time - 4), time - length + 2))
        np.testing.assert_array_equal(np.diff(windows, axis=1), 1)


def test_many_seeds_add_by_slices_alone():
    buffer = buffer_of(capacity=128, batch_size=8)
    state = filled(buffer, 1)
    block = Transition(None, jnp.arange(ENVS), jnp.zeros(ENVS), jnp.ones(ENVS), None)
    axes = pytrees.agent_axes(state)
    assert (axes.added, axes.drawn, axes.largest) == (None, None, 0)
    many = jax.tree.map(
        lambda axis, x: x if axis is None else jax.tree.map(lambda y: jnp.stack([y] * 3), x),
        axes, state, is_leaf=lambda x: x is None,
    )  # fmt: skip
    add = jax.vmap(buffer.add, (axes, None), axes)
    program = jax.jit(add).lower(many, block).compile().as_text()
    assert "dynamic-update-slice(" in program
    assert " scatter(" not in program


def test_surprise_changes_what_is_drawn_and_uniform_replay_is_what_exponent_0_comes_to():
    state, _ = jaxdqn.train(small(replay="prioritised"), KEY)
    leaves = state.replay.priorities[0][:128]
    assert len(np.unique(leaves)) > 10
    even, _ = jaxdqn.train(small(replay="prioritised", priority_exponent=0.0), KEY)
    np.testing.assert_array_equal(even.replay.priorities[0][:128], 1.0)


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        ({"replay": "prioritised", "capacity": 130},
         ["capacity (130)", "num_envs (4)", "replay = 'prioritised'", "set it to 132"]),
        ({"replay": "prioritised", "priority_exponent": 3.0}, ["priority_exponent (3.0)", "to 2"]),
        ({"replay": "prioritised", "importance_end": 1.5}, ["importance_end (1.5)", "from 0 to 1"]),
        ({"replay": "prioritised", "priority_floor": 0.0}, ["priority_floor (0.0)", "1e-06"]),
        ({"importance_start": 0.5},
         ["importance_start (0.5) belongs to replay 'prioritised'", "replay is 'uniform'"]),
        ({"replay": "states"}, ["replay = 'states'", "set stored = 'states'", "prioritised"]),
        ({"replay": "prioritized"}, ["replay = 'prioritized'", "did you mean 'prioritised'?"]),
    ],
)  # fmt: skip
def test_what_is_no_replay_is_refused(words, fragments):
    with pytest.raises(ConfigError) as caught:
        jaxdqn.train(small(**words), KEY)
    for fragment in fragments:
        assert fragment in str(caught.value)
