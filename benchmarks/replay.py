"""Bytes of a transition, and microseconds to add and to sample, against flashbax.

    python benchmarks/replay.py

Each buffer adds 16 transitions and draws 64 many times inside one compiled loop, as training does,
at capacities from 10⁴ to 10⁶; neither may cost more where the buffer is larger, but for the
logarithm of prioritised ones. Of these a sample includes setting its priorities. Needs flashbax.
"""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import harness
import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn.replay import prioritised, ring
from jaxdqn.types import Transition

flashbax = harness.need("flashbax")

NUM_ENVS, BATCH_SIZE = 16, 64
SURPRISE = jnp.linspace(0.1, 2.0, BATCH_SIZE)
OBSERVATIONS = {
    "15 floats": jnp.zeros(15),
    "10 × 10 × 3 booleans": jnp.zeros((10, 10, 3), jnp.bool_),
}


class Buffer(NamedTuple):
    """One implementation, made equal: what is added, and how.

    Attributes:
        init: ``() -> state``.
        add: ``(state, batch) -> state``.
        sample: ``(state, key) -> sample``.
        example: one transition, as this buffer stores it.
        learn: ``(state, sample) -> state`` with new priorities, where there are any.
    """

    init: Callable[[], Any]
    add: Callable[[Any, Any], Any]
    sample: Callable[[Any, jax.Array], Any]
    example: Any
    learn: Callable[[Any, Any], Any] | None = None


def buffers(obs: jax.Array, capacity: int) -> dict[str, Buffer]:
    """Return ours and flashbax's for transitions of these observations."""
    action, number = jnp.int32(0), jnp.float32(0.0)
    whole = Transition(obs, action, number, number, obs)
    # The flat buffer finds the next observation in the slot after.
    step = {"obs": obs, "action": action, "reward": number, "done": jnp.bool_(False)}
    ours = ring.uniform(capacity, BATCH_SIZE, whole)
    item = flashbax.make_item_buffer(capacity, BATCH_SIZE, BATCH_SIZE, add_batches=True)
    flat = flashbax.make_flat_buffer(capacity, BATCH_SIZE, BATCH_SIZE, add_batch_size=NUM_ENVS)
    weighted = prioritised.prioritised(
        capacity, BATCH_SIZE, whole, 1, NUM_ENVS, 1, exponent=0.6, floor=1e-3, importance=(0.4, 1.0)
    )
    theirs = flashbax.make_prioritised_flat_buffer(
        capacity, BATCH_SIZE, BATCH_SIZE, add_batch_size=NUM_ENVS, priority_exponent=0.6
    )
    return {
        "ours, prioritised": Buffer(
            weighted.init,
            weighted.add,
            weighted.sample,
            whole,
            lambda state, drawn: weighted.update(state, drawn.index, SURPRISE),
        ),
        "flashbax flat, prioritised": Buffer(
            partial(theirs.init, step),
            theirs.add,
            theirs.sample,
            step,
            lambda state, drawn: theirs.set_priorities(state, drawn.indices, SURPRISE),
        ),
        "ours": Buffer(ours.init, ours.add, ours.sample, whole),
        "flashbax item": Buffer(partial(item.init, whole), item.add, item.sample, whole),
        "flashbax flat": Buffer(partial(flat.init, step), flat.add, flat.sample, step),
    }


def verbs(buffer: Buffer, capacity: int, length: int) -> dict[str, Callable[[], Any]]:
    """Return compiled loops of adding and of sampling, the buffer full, ready to be timed."""
    # Added values differ from step to step, so that no addition can be taken out of the loop.
    batch = jax.tree.map(lambda x: jnp.stack([x] * NUM_ENVS), buffer.example)

    def add(state: Any) -> Any:
        def once(i: jax.Array, state: Any) -> Any:
            return buffer.add(state, jax.tree.map(lambda x: (x + i).astype(x.dtype), batch))

        return jax.lax.fori_loop(0, length, once, state)

    def sample(state: Any, key: jax.Array) -> Any:
        def once(i: jax.Array, carry: Any) -> Any:
            state, _ = carry
            drawn = buffer.sample(state, jax.random.fold_in(key, i))
            return state if buffer.learn is None else buffer.learn(state, drawn), drawn

        return jax.lax.fori_loop(0, length, once, (state, buffer.sample(state, key)))

    adding = jax.jit(add, donate_argnums=0)
    sampling = jax.jit(sample, donate_argnums=0)
    held = [jax.jit(buffer.init)()]

    def run_add() -> Any:
        held[0] = adding(held[0])
        return held[0]

    def run_sample() -> Any:
        held[0], drawn = sampling(held[0], jax.random.key(0))
        return drawn

    for _ in range(-(-capacity // (NUM_ENVS * length))):
        run_add()  # until it is full, so that samples come from everywhere
    return {"add": run_add, "sample": run_sample}


def measure(name: str, capacity: int, length: int, repeats: int) -> list[dict[str, Any]]:
    """Time all buffers in turn at one capacity."""
    found = buffers(OBSERVATIONS[name], capacity)
    runs = {
        (buffer, verb): run
        for buffer in found
        for verb, run in verbs(found[buffer], capacity, length).items()
    }
    seconds = harness.interleave(runs, repeats)
    return [
        {
            "observation": name,
            "capacity": capacity,
            "buffer": buffer,
            "bytes_per_transition": _bytes(found[buffer].init) / capacity,
            "add_microseconds": _microseconds(seconds[buffer, "add"], length),
            "sample_microseconds": _microseconds(seconds[buffer, "sample"], length),
        }
        for buffer in found
    ]


def _bytes(init: Callable[[], Any]) -> int:
    return sum(
        int(np.prod(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(jax.eval_shape(init))
    )


def _microseconds(seconds: list[float], length: int) -> dict[str, float]:
    each = [1e6 * s / length for s in seconds]
    return {"median": statistics.median(each), "lowest": min(each), "highest": max(each)}


def main() -> None:
    """Print the table and write ``replay.json``."""
    parser = harness.options(__doc__)
    parser.add_argument("--capacities", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    length = 10 if options.quick else 5_000
    rows = [
        row
        for name in OBSERVATIONS
        for capacity in options.capacities
        for row in measure(name, capacity, length, 1 if options.quick else options.repeats)
    ]
    columns = ["observation", "capacity", "buffer", "bytes", f"add {NUM_ENVS}, µs",
               f"sample {BATCH_SIZE}, µs"]  # fmt: skip
    cells = [
        [
            row["observation"],
            f"{row['capacity']:,}",
            row["buffer"],
            f"{row['bytes_per_transition']:.0f}",
            f"{row['add_microseconds']['median']:.2f}",
            f"{row['sample_microseconds']['median']:.2f}",
        ]
        for row in rows
    ]
    harness.show("replay", columns, cells)
    result = {"num_envs": NUM_ENVS, "batch_size": BATCH_SIZE, "rows": rows}
    print(harness.save("replay", result, options.out))


if __name__ == "__main__":
    main()
