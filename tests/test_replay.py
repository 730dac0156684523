"""The ring equals a deque; samples are uniform, filled, and of the stored type."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdqn.replay import ring
from jaxdqn.types import Transition

KEY = jax.random.key(0)


def transitions(rng, count: int) -> Transition:
    """Observations of several dtypes; ``a_tm1`` numbers the transitions."""

    def obs():
        return {
            "planes": jnp.asarray(rng.random((count, 3, 5)) < 0.5),
            "number": jnp.asarray(rng.integers(-5, 5, (count,)), jnp.int32),
            "bytes": jnp.asarray(rng.integers(0, 255, (count, 2)), jnp.uint8),
            "flag": jnp.asarray(rng.random(count) < 0.5),
        }

    return Transition(
        obs_tm1=obs(),
        a_tm1=jnp.asarray(rng.integers(0, 4, count), jnp.int32),
        r_t=jnp.asarray(rng.normal(size=count), jnp.float32),
        discount_t=jnp.asarray(rng.random(count) < 0.5, jnp.float32),
        obs_t=obs(),
    )


def example_of(batch: Transition) -> Transition:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), batch)


def rows(batch: Transition) -> list[tuple]:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(batch)]
    return [tuple(leaf[i].tobytes() for leaf in leaves) for i in range(len(leaves[0]))]


def single(windows: Transition) -> Transition:
    return jax.tree.map(lambda x: x[:, 0], windows)


@pytest.mark.parametrize(("capacity", "count"), [(12, 4), (10, 4), (7, 3), (5, 5), (9, 1)])
def test_the_ring_holds_what_a_deque_holds(capacity, count):
    rng = np.random.default_rng(capacity)
    example = example_of(transitions(rng, count))
    buffer = ring.uniform(capacity, 400, example)
    add, sample = jax.jit(buffer.add), jax.jit(buffer.sample)
    state, reference = buffer.init(), deque(maxlen=capacity)
    for turn in range(5 * capacity // count + 3):
        batch = transitions(rng, count)
        state = add(state, batch)
        reference.extend(rows(batch))
        drawn = rows(single(sample(state, jax.random.fold_in(KEY, turn)).items))
        assert set(drawn) == set(reference), f"after {turn + 1} additions"


def test_samples_keep_shape_and_dtype():
    batch = transitions(np.random.default_rng(0), 4)
    buffer = ring.uniform(8, 3, example_of(batch))
    drawn = jax.jit(lambda: buffer.sample(buffer.add(buffer.init(), batch), KEY))()
    expected = jax.tree.map(lambda x: ((3, 1, *x.shape[1:]), x.dtype), batch)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), drawn.items) == expected


def test_uniform_draws_weigh_the_same_know_their_slots_and_learn_nothing_from_surprise():
    batch = transitions(np.random.default_rng(0), 8).replace(a_tm1=jnp.arange(8))
    buffer = ring.uniform(16, 64, example_of(batch))
    state = jax.jit(buffer.add)(buffer.init(), batch)
    drawn = jax.jit(buffer.sample)(state, KEY)
    np.testing.assert_array_equal(single(drawn.items).a_tm1, drawn.index)
    assert (drawn.weight == 1.0).all()
    assert buffer.update(state, drawn.index, jnp.arange(64.0)) is state


@pytest.mark.parametrize("filled", [8, 40, 64])
def test_sampling_is_uniform_over_filled_slots(filled):
    batch = transitions(np.random.default_rng(0), 8).replace(obs_tm1=None, obs_t=None)
    buffer = ring.uniform(64, 40_000, example_of(batch))
    state = buffer.init()
    for start in range(0, filled, 8):
        state = buffer.add(state, batch.replace(a_tm1=jnp.arange(start, start + 8)))
    counts = np.bincount(buffer.sample(state, KEY).index, minlength=64)
    assert counts[filled:].sum() == 0
    assert stats.chisquare(counts[:filled]).pvalue > 1e-4


def test_draws_come_with_replacement_and_differ_between_keys():
    batch = transitions(np.random.default_rng(0), 8)
    buffer = ring.uniform(8, 64, example_of(batch))
    state = buffer.add(buffer.init(), batch)
    one, other = (rows(buffer.sample(state, jax.random.key(i)).items) for i in range(2))
    assert len(one) > len(set(one))
    assert one != other


def test_boolean_arrays_are_stored_as_bits():
    planes = jax.ShapeDtypeStruct((13, 13, 3), bool)
    scalar = jax.ShapeDtypeStruct((), jnp.int32)
    number = jax.ShapeDtypeStruct((), jnp.float32)
    buffer = ring.uniform(10, 1, Transition(planes, scalar, number, number, planes))
    bits = -(-13 * 13 * 3 // 8)
    assert buffer.bytes_per_transition == 2 * bits + 4 + 4 + 4
    stored = sum(leaf.nbytes for leaf in jax.tree.leaves(buffer.init().storage))
    assert stored == 10 * buffer.bytes_per_transition
