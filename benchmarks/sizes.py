"""A network that plans, trained in small mazes, in larger ones than it has ever seen.

    python benchmarks/sizes.py

Trains ``configs/planning.toml`` on 7×7 corridors, then walks greedily through unseen mazes of other
sizes by the same weights. Only ``rounds`` grows with the maze, since a goal farther away isn't
seen; nothing is learned anew.
"""

import time
from typing import Any

from jaxdqn.parallel import devices

devices.use_cores()

import harness  # noqa: E402  (after the devices are set)
import jax  # noqa: E402
import tables  # noqa: E402

import jaxdqn  # noqa: E402

SIZES = (7, 9, 13, 17, 21, 25)
FARTHEST = 8
"""Rounds, and moves of an episode, for each row: no way in 1,000 such mazes takes as many."""


def larger(config: jaxdqn.Config, size: int, episodes: int) -> jaxdqn.Config:
    """Return the same settings in mazes of another size, as many unseen as episodes."""
    mazes = {**config.env_kwargs, "height": size, "width": size, "num_held_out": episodes}
    far = FARTHEST * size
    return config.replace(
        env_kwargs=mazes, env_params={"max_steps_in_episode": far}, rounds=far, eval_steps=far,
        eval_episodes=episodes, oracle_levels=1,
    )  # fmt: skip


def main() -> None:
    """Print the table and write ``sizes.json``."""
    parser = harness.options(__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    config = jaxdqn.load_config(harness.ROOT / "configs" / "planning.toml")
    sizes, episodes, count = SIZES, 256, options.seeds
    if options.quick:
        config = config.replace(total_steps=config.schedule.warmup_env_steps + 1_280,
                                epsilon_steps=640, evaluations=1, eval_episodes=2)  # fmt: skip
        sizes, episodes, count = SIZES[:2], 4, 2
    began = time.perf_counter()
    (params,) = jaxdqn.sweep(config, seeds=count, say=None).params
    seconds = time.perf_counter() - began
    rows: list[dict[str, Any]] = []
    for size in sizes:
        other = larger(config, size, episodes)
        found = [
            jaxdqn.evaluate(other, jax.tree.map(lambda x, seed=seed: x[seed], params),
                            jax.random.key(seed)).held_out
            for seed in range(count)
        ]  # fmt: skip
        row = {"size": size, "rounds": other.rounds}
        row |= {name: [float(getattr(one, name)) for one in found] for name in ("success", "spl")}
        rows.append(row)
        print(row, flush=True)
    result = {"seeds": count, "episodes": episodes, "train_seconds": seconds, "rows": rows}
    harness.save("sizes", result, options.out)
    if not options.quick:
        tables.main()


if __name__ == "__main__":
    main()
