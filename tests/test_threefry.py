"""The unrolled generator is JAX's own, number for number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdqn.random import unrolled

KEYS = jax.random.split(jax.random.key(2**31 - 5), 3)

DRAWS = {
    "bits": lambda key: jax.random.bits(key, (4, 3)),
    "one word": jax.random.bits,
    "bytes": lambda key: jax.random.bits(key, (5,), "uint8"),
    "shorts": lambda key: jax.random.bits(key, (5,), "uint16"),
    "uniform": lambda key: jax.random.uniform(key, (7,)),
    "normal": lambda key: jax.random.normal(key, (2, 2)),
    "integers": lambda key: jax.random.randint(key, (6,), 0, 11),
    "permutation": lambda key: jax.random.permutation(key, 9),
    "nothing": lambda key: jax.random.bits(key, (0,)),
    "split": lambda key: jax.random.key_data(jax.random.split(key, (2, 2))),
    "fold_in": lambda key: jax.random.key_data(jax.random.fold_in(key, 2**31 + 9)),
    "clone": lambda key: jax.random.key_data(jax.random.clone(key)),
}


@pytest.mark.parametrize("draw", DRAWS)
def test_every_draw_is_the_one_of_jax(draw):
    expected = jax.jit(jax.vmap(DRAWS[draw]))(KEYS)
    drawn = jax.jit(jax.vmap(DRAWS[draw]))(unrolled(KEYS))
    assert drawn.dtype == expected.dtype
    np.testing.assert_array_equal(drawn, expected)


def test_wide_words_are_those_of_jax():
    with jax.enable_x64(True):
        expected = jax.random.bits(KEYS[0], (3,), "uint64")
        np.testing.assert_array_equal(jax.random.bits(unrolled(KEYS[0]), (3,), "uint64"), expected)


def test_seeds_are_those_of_jax():
    kind = jax.random.key_impl(unrolled(KEYS[0]))
    for seed in (0, 1, 2**31 - 1):
        data = jax.random.key_data(jax.random.key(seed, impl=kind))
        np.testing.assert_array_equal(data, jax.random.key_data(jax.random.key(seed)))


def test_it_draws_without_a_loop():
    drawing = jax.jit(lambda key: jax.random.uniform(unrolled(key), (64,)))
    text = drawing.lower(KEYS[0]).compile().as_text()
    assert "while" not in text


def test_the_rounds_are_written_once_for_all_draws_of_a_shape():
    def rounds(draws):
        keys = jax.random.split(KEYS[0], draws)
        drawing = jax.jit(lambda keys: [jax.random.bits(unrolled(key), (64,)) for key in keys])
        return drawing.lower(keys).as_text().count("stablehlo.xor %")

    # Each draw makes one word of the two that the rounds leave.
    assert rounds(5) == rounds(2) + 3


def test_keys_of_other_generators_are_left_alone():
    key = jax.random.key(0, impl="rbg")
    assert unrolled(key) is key
    again = unrolled(unrolled(KEYS))
    assert jnp.array_equal(jax.random.key_data(again), jax.random.key_data(KEYS))
