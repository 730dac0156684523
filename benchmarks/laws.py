"""Laws L1 to L5 of training on whatever device JAX has: whether each holds, and by how much.

    python benchmarks/laws.py
    python benchmarks/laws.py --plain

The tests of the same laws (``tests/test_laws.py``) force two CPU devices and unoptimised programs,
and read CPU's text; these ask for numbers only, of the programs as users get them, and need neither
pytest nor the tests' referees. On an NVIDIA GPU the agents are such that updates and acting are
kernels of our own; with ``--plain`` they are XLA's there, too, and float products are of full
precision, since what TF32 rounds is no matter of laws. A process of its own trains first, so that
"the same bits" means those of another compilation, too; nothing is taken from a cache of programs.
It has ended before this one starts JAX, which reserves most of a GPU's memory: importing this
module starts nothing.
"""

import argparse
import functools
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import harness
import jax
import jax.numpy as jnp
import numpy as np

import jaxdqn

ROUNDING = 1e-5
"""Largest difference, to one more than the number's size, of floats from differing programs."""
HALF = 2
"""Evaluations of a half of a training."""
COMPILED = "/jax/core/compile/backend_compile_duration"
NUMBERS = {
    "huber_delta": 0.1,
    "discount": 0.5,
    "learning_rate": 1e-2,
    "learning_rate_end_factor": 0.5,
    "adam_epsilon": 1e-3,
    "max_grad_norm": 0.1,
    "target_period": 3,
    "target_rate": 0.1,
    "epsilon_start": 0.9,
    "epsilon_end": 0.9,
    "epsilon_steps": 24,
}


def key() -> jax.Array:
    """Return the key of every agent but those that shall differ."""
    return jax.random.key(3)


class Found(NamedTuple):
    """How two results compare.

    Attributes:
        difference: the largest of floats, to one more than the number's size.
        unequal: numbers whose bits differ: all of them, floats too.
        unequal_exact: those that no rounding excuses: integers, booleans, keys, NaN or not.
    """

    difference: float = 0.0
    unequal: int = 0
    unequal_exact: int = 0


def config(**changes: Any) -> jaxdqn.Config:
    """Return the one structure that all laws are tried with: twelve updates in a 4×4 maze."""
    settings: dict[str, Any] = {
        "env_kwargs": {"height": 4, "width": 4, "generator": "empty"},
        # Noise: the returns of two agents never are the same by the maze alone.
        "env_params": {"max_steps_in_episode": 8, "slip": 0.1, "reward_noise": 0.3},
        "total_steps": 64 + 16 * 12,
        "num_envs": 16,
        "warmup_steps": 64,
        "capacity": 128,
        "batch_size": 16,
        "widths": (16,),
        "epsilon_steps": 192,
        "target_period": 7,
        "evaluations": 2 * HALF,
        "eval_episodes": 16,
        "eval_steps": 20,
    }
    return jaxdqn.Config(**{**settings, **changes})


def compare(one: Any, other: Any) -> Found:
    """Compare two pytrees of the same shapes; NaN equals NaN."""
    difference, unequal, exact = 0.0, 0, 0
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        a, b = _host(left), _host(right)
        if a.dtype != b.dtype or a.shape != b.shape:
            raise ValueError(f"{a.dtype}{a.shape} is compared with {b.dtype}{b.shape}.")
        if not np.issubdtype(a.dtype, np.floating):
            exact += int(np.sum(a != b))
            unequal += int(np.sum(a != b))
            continue
        finite = np.isfinite(a) & np.isfinite(b)
        exact += int(np.sum(~finite & ~((a == b) | (np.isnan(a) & np.isnan(b)))))
        unequal += int(np.sum(a.view(np.uint32) != b.view(np.uint32)))
        scaled = np.abs(a[finite] - b[finite]) / (1 + np.abs(b[finite]))
        difference = max(difference, float(np.max(scaled, initial=0.0)))
    return Found(difference, unequal, exact)


def worst(found: list[Found]) -> Found:
    """Join comparisons."""
    differences, unequal, exact = zip(*found, strict=True)
    return Found(max(differences), sum(unequal), sum(exact))


def _host(leaf: Any) -> np.ndarray:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def train_in_halves(folder: Path | None = None) -> Any:
    """Train one agent half by half; save it after each half if there is a folder."""
    state, rows = jaxdqn.init(config(), key()), []
    for half in ("first", "second"):
        state, metrics = jaxdqn.run(config(), state, HALF)
        rows.append(metrics)
        if folder is not None:
            jaxdqn.save(folder / f"{half}.npz", state, config(), metrics)
    return state, rows


def determinism(_: Path) -> Found:
    """Train twice in one process: the same bits."""
    return compare(train_in_halves(), train_in_halves())


def processes(folder: Path) -> Found:
    """Train here what another process trained and compiled for itself: the same bits."""
    state, (_, metrics) = train_in_halves()
    theirs = jaxdqn.restore(folder / "second.npz")
    return compare((state, metrics), (theirs.state, theirs.metrics))


def independence(count: int) -> Found:
    """Train with different keys: weights, actions, rewards and losses differ between any two."""
    state, metrics = _together(count)
    alike = 0
    for leaf in (
        jax.tree.leaves(state.agent.params)[1],
        state.replay.storage.a_tm1,
        metrics.episode_return,
        metrics.loss,
    ):
        alike += count - len({np.asarray(row).tobytes() for row in leaf})
    return Found(unequal_exact=alike)


def batching(count: int) -> Found:
    """Train seeds under ``vmap`` and each alone: equal up to rounding."""
    together = _together(count)
    return worst([
        compare(jax.tree.map(lambda x, i=i: x[i], together), jaxdqn.train(config(), own))
        for i, own in enumerate(jax.random.split(key(), count))
    ])  # fmt: skip


@functools.cache
def _together(count: int) -> Any:
    train = jax.jit(jax.vmap(jaxdqn.train, (None, 0)))
    return train(config(), jax.random.split(key(), count))


def time_in_halves(_: Path) -> Found:
    """Run two halves and run through: the same bits."""
    state, rows = train_in_halves()
    whole_state, whole = jaxdqn.run(config(), jaxdqn.init(config(), key()), 2 * HALF)
    joined = jax.tree.map(lambda *x: jnp.concatenate(x), *rows)
    return compare((whole_state, whole), (state, joined))


def resuming(folder: Path) -> Found:
    """Run on from what another process saved halfway: the same bits as never stopping."""
    state, _ = jaxdqn.run(config(), jaxdqn.restore(folder / "first.npz").state, HALF)
    return compare(state, train_in_halves()[0])


def sweeping(_: Path) -> Found:
    """Train swept settings together and each alone: equal up to rounding."""
    rates, slips = np.float32([1e-4, 1e-2]), np.float32([0.0, 0.5])

    def one(rate: Any, slip: Any) -> Any:
        return jaxdqn.train(_changed(learning_rate=rate, slip=slip), key())

    swept = jax.jit(jax.vmap(one))(rates, slips)
    return worst([
        compare(jax.tree.map(lambda x, i=i: x[i], swept), one(float(rates[i]), float(slips[i])))
        for i in range(2)
    ])  # fmt: skip


def _changed(slip: Any = None, **numbers: Any) -> jaxdqn.Config:
    params = config().env_params if slip is None else {**config().env_params, "slip": slip}
    return config().replace(env_params=params, **numbers)


def recompiling(_: Path) -> Found:
    """Change any number: nothing is compiled, and something is learned otherwise."""
    reference, _ = jaxdqn.train(config(), key())
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: compiled.append(event) if event == COMPILED else None
    )
    states = {name: jaxdqn.train(_changed(**{name: x}), key())[0] for name, x in NUMBERS.items()}
    programs = len(compiled)
    without_effect = [
        name for name, state in states.items()
        if compare(state.agent.params, reference.agent.params).unequal == 0
    ]  # fmt: skip
    jax.jit(lambda x: x + len(NUMBERS))(key() is None)
    if len(compiled) == programs:
        raise RuntimeError(f"JAX {jax.__version__} reports no compilation as {COMPILED}.")
    if without_effect:
        raise RuntimeError(f"{', '.join(without_effect)} changed nothing that was learned.")
    return Found(unequal_exact=programs)


class Law(NamedTuple):
    """A law and how it is tried.

    Attributes:
        number: as the tests count them.
        name: what it says.
        trial: takes the other process's folder.
        tolerance: of floats; 0: their bits are compared, None: nothing is.
    """

    number: str
    name: str
    trial: Callable[[Path], Found]
    tolerance: float | None


def laws(count: int) -> list[Law]:
    """Return all laws; those of many seeds are tried with ``count``."""
    return [
        Law("L1", "determinism: the same bits again", determinism, 0.0),
        Law("L1", "determinism: the same bits in another process", processes, 0.0),
        Law("L2", "independence: other keys, other agents", lambda _: independence(count), None),
        Law("L3", "batching: a vmapped seed is that seed", lambda _: batching(count), ROUNDING),
        Law("L4", "time: two halves are the whole", time_in_halves, 0.0),
        Law("L4", "time: across save, restore and processes", resuming, 0.0),
        Law("L5", "sweeping: a cell is that setting alone", sweeping, ROUNDING),
        Law("L5", "sweeping: other numbers compile nothing", recompiling, None),
    ]


def hold(law: Law, folder: Path) -> dict[str, Any]:
    """Try one law; what it raises is a law not held."""
    began = time.perf_counter()
    row: dict[str, Any] = {"law": law.number, "name": law.name, "tolerance": law.tolerance}
    try:
        found = law.trial(folder)
        within = found.unequal == 0 if law.tolerance == 0 else found.difference <= ROUNDING
        row |= {"held": within and found.unequal_exact == 0, **found._asdict()}
    except Exception as error:  # whatever a machine that was never tried raises
        traceback.print_exc()
        row |= {"held": False, **dict.fromkeys(Found._fields), "error": str(error)[:500]}
    return row | {"seconds": time.perf_counter() - began}


def main() -> None:
    """Print the table; write ``laws_gpu.json``, ``laws_plain_gpu.json``, or those of a CPU."""
    parser = harness.options(__doc__)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help="by XLA alone, on a GPU too")
    options = parser.parse_args()
    if options.plain:
        jax.config.update("jax_default_matmul_precision", "highest")
    jax.config.update("jax_enable_compilation_cache", False)
    if options.child:
        train_in_halves(options.child)
        return
    rows: list[dict[str, Any]] = []
    name = f"{'plain_' if options.plain else ''}{jax.default_backend()}"
    with tempfile.TemporaryDirectory() as folder:
        plain = ["--plain"] if options.plain else []
        subprocess.run([sys.executable, __file__, "--child", folder, *plain], check=False)
        for law in laws(3 if options.quick else 16):
            rows.append(hold(law, Path(folder)))
            result = {"plain": options.plain, "laws": rows}
            # Written after every law: a lent machine may be taken back at any time.
            path = harness.save(f"laws_{name}", result, options.out)
    cells = [
        [f"{row['law']} {row['name']}", "yes" if row["held"] else "NO", _say(row),
         f"{row['seconds']:.1f} s"]
        for row in rows
    ]  # fmt: skip
    harness.show("laws", ["law", "held", "largest difference", "time"], cells)
    print(path)
    broken = [row["name"] for row in rows if not row["held"]]
    if broken:
        raise SystemExit(f"not held: {'; '.join(broken)}.")


def _say(row: dict[str, Any]) -> str:
    if "error" in row:
        return row["error"].splitlines()[0]
    if row["tolerance"] is None:
        return str(row["unequal_exact"])
    return f"{row['difference']:.1e} of {row['tolerance']:.0e}, {row['unequal']} other bits"


if __name__ == "__main__":
    main()
