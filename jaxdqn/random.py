"""JAX's own random numbers, drawn by one kernel."""

from typing import Any

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np

from jaxdqn.errors import ConfigError, brief
from jaxdqn.types import Array, PRNGKey

MOST_SEEDS = 1_000_000
"""Of one training or sweep: their results are held by the host, tens of kB each."""
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def check_key(key: Any) -> None:
    """Refuse what isn't one typed random key.

    Old-style keys are refused too: two numbers look like any others, and checkpoints hold types.

    Raises:
        ConfigError: saying how to make one.
    """
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        array = isinstance(key, jax.Array | np.ndarray)
        what = f"an array {key.dtype}{list(key.shape)}" if array else brief(key)
        old = ", or jax.random.wrap_key_data(key) where jax.random.PRNGKey made it" if array else ""
        seed = key if isinstance(key, int) and not isinstance(key, bool) else 0
        raise ConfigError(f"key ({what}) must be typed: write jax.random.key({seed}){old}.")
    if key.shape:
        raise ConfigError(
            f"key (an array of shape {key.shape}) is many keys, and this takes one: map over them "
            "with jax.vmap."
        )


def check_seed(seed: int, name: str = "seed") -> None:
    """Refuse, with a ``ConfigError``, a number that ``jax.random.key`` can't take whole."""
    if not 0 <= seed < 2**32:
        raise ConfigError(f"{name} ({seed}) must be from 0 to 4294967295: change it.")


def too_many(seeds: int) -> ConfigError:
    """Return the refusal of more seeds than the host can list."""
    return ConfigError(
        f"seeds ({brief(seeds)}) must be at most {MOST_SEEDS:,}: train some, then others by their "
        "numbers."
    )


def seeds_from(first: int, count: int) -> range:
    """Return ``count`` numbers of seeds in a row, as the command line asks for them.

    Raises:
        ConfigError: there are none, or not all are numbers of seeds.
    """
    if count > MOST_SEEDS:
        raise too_many(count)
    if count < 1 or first < 0 or first + count > 2**32:
        raise ConfigError(
            f"seeds ({count}) must be 1 or more and first_seed ({first}) 0 or more, with all "
            "numbers up to 4294967295: change them."
        )
    return range(first, first + count)


def wrapped(data: Any, name: str) -> PRNGKey:
    """Return a key of its data and its generator's name, ``str(jax.random.key_impl(key))``."""
    known = name == str(_UNROLLED)
    return jax.random.wrap_key_data(data, impl=_UNROLLED if known else name)


def unrolled(key: PRNGKey) -> PRNGKey:
    """Return the same key, or keys, drawing the same numbers with fewer kernels.

    On a CPU JAX compiles Threefry's 20 rounds as a loop of small kernels; written out they fuse
    into one. A draw takes a quarter of the time or less, and a step of 16 environments makes ten.

    Args:
        key: typed, of any shape; of another generator than JAX's default it is returned as it is.
    """
    if jax.random.key_impl(key) != "threefry2x32":
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=_UNROLLED)


def unit(bits: Array) -> Array:
    """Return a number of [0, 1) for each uniformly random word, uint32: of 24 of its bits.

    More make no difference to a float32 near 1. The lowest eight have no part in it.
    """
    return (bits >> 8).astype(jnp.float32) / 2**24


@jax.jit  # A program that draws at many places lowers the rounds once for each shape.
def _threefry_2x32(key: Array, counter: Array) -> tuple[Array, Array]:
    """Encrypt counters, uint32, in 20 rounds (Salmon et al., 2011, doi:10.1145/2063384.2063405)."""
    words = (key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA))
    # The upper half of the counter would be added to the left word: it is 0.
    left, right = words[0], counter + words[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            left = left + right
            right = (right << distance) | (right >> (32 - distance))
            right = right ^ left
        left = left + words[(group + 1) % 3]
        right = right + words[(group + 2) % 3] + np.uint32(group + 1)
    return left, right


def _count(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    counters = jnp.arange(np.prod(shape, dtype=int), dtype=jnp.uint32)
    return _threefry_2x32(key, counters.reshape(shape))


def _random_bits(key: Array, bit_width: int, shape: tuple[int, ...]) -> Array:
    left, right = _count(key, shape)
    if bit_width == 64:
        return (left.astype(jnp.uint64) << 32) | right.astype(jnp.uint64)
    return (left ^ right).astype(f"uint{bit_width}")


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return _once(jnp.stack(_count(key, shape), axis=-1))


def _fold_in(key: Array, data: Any) -> Array:
    return _once(jnp.stack(_threefry_2x32(key, jnp.asarray(data, jnp.uint32))))


def _once(keys: Array) -> Array:
    # Without this XLA computes a key anew for each number drawn from it.
    return jax.lax.optimization_barrier(keys)


def _seed(seed: Array) -> Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


_UNROLLED = jax.extend.random.define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_unrolled",
    tag="fry1",
)
