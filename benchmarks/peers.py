"""The same training by other libraries, each in its own virtual environment, in one run.

    python benchmarks/peers.py
    python benchmarks/peers.py --iqn

Equal: environment, 16 of them, MLP 64-64 with ReLU, batch 64, capacity 10,000, one update for each
step of all environments after 3,200 random steps, Adam, hard target copies; libraries take turns,
A B A B, and evaluate nothing. What can't be made equal: Stable-Baselines3 and SBX have no Double
DQN (one forward pass less), step gymnasium's CartPole in Python, have no MetaMaze, and train one
seed; rejax draws batches without replacement, which is most of what it takes, and so comes a second
time, changed to draw as ours does; it clips gradients by element and has the squared loss;
it uses ``jax.vmap`` over seeds, ours is spread over all cores; SBX doesn't clip. With ``--iqn``
ours and rejax learn implicit quantiles, 32 in each place, the nearest to Rainbow that a library has
that can be installed; rejax's targets come from the network that learns, not from the target
network, and are a pass cheaper by that.
"""

from pathlib import Path
from typing import Any

import harness
import rivals

from jaxdqn.parallel import devices

devices.use_cores()

import job  # noqa: E402  (after the devices are set)

# Environment, seeds, libraries.
TASKS = [
    ("MetaMaze-misc", 1, ["ours", "rejax", "rejax, replacing"]),
    ("MetaMaze-misc", 16, ["ours", "rejax", "rejax, replacing"]),
    ("CartPole-v1", 1, ["ours", "rejax", "rejax, replacing", "sb3", "sbx"]),
]
OF_IQN = [("MetaMaze-misc", seeds, ["ours", "rejax"]) for seeds in (1, 16)]
IQN = {"head": "implicit_quantile", "fractions": 32, "widths": (64, 64, 64)}
"""Behind two layers fractions come in, then there is one more, as in rejax."""
NAMES = {
    "ours": "ours", "rejax": "rejax", "rejax, replacing": "rejax, drawing with replacement",
    "sb3": "Stable-Baselines3", "sbx": "SBX",
}  # fmt: skip
TOLD = ["env", "total_steps", "num_envs", "warmup_steps", "capacity", "batch_size", "widths",
        "learning_rate", "discount", "max_grad_norm", "target_period", "epsilon_steps",
        "epsilon_end"]  # fmt: skip


def compare(env: str, count: int, libraries: list[str], options: Any) -> list[dict[str, Any]]:
    """Let all libraries train in turn."""
    changes = {"env": env, "total_steps": options.env_steps, **(IQN if options.iqn else {})}
    config = job.config(**changes)
    settings = {
        "config": changes,
        "seeds": count,
        "told": {name: getattr(config, name) for name in TOLD},
        "fractions": config.fractions if options.iqn else None,
    }
    chosen = [library for library in libraries if library in options.only]
    rows = []
    raced = rivals.race(chosen, settings, options.venvs, options.repeats)
    for library, (found, seconds) in raced.items():
        updates = count * found["updates"]
        rates = {
            # Random ones, of warm-up, are in the time and aren't counted.
            "env_steps_per_second": harness.rate(updates * config.num_envs, seconds),
            "updates_per_second": harness.rate(updates, seconds),
        }
        rows.append({"env": env, "seeds": count, "library": NAMES[library], **rates, **found})
        print(env, count, NAMES[library], harness.say(rates["env_steps_per_second"]), "env-steps/s")
    return rows


def main() -> None:
    """Print the table and write ``peers.json``, or ``peers_iqn.json``."""
    parser = harness.options(__doc__, repeats=3)
    parser.add_argument("--env_steps", type=int, help="of each seed; 200,000, or 20,000 of IQN")
    parser.add_argument("--iqn", action="store_true", help="implicit quantiles")
    environments = list(dict.fromkeys(env for env, _, _ in TASKS))
    parser.add_argument("--envs", nargs="+", default=environments, choices=environments)
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--venvs", type=Path, default=rivals.CACHE, help="virtual environments")
    options = harness.parse(parser, "envs", "only")
    if options.quick:
        options.env_steps, options.repeats = 4_000, 1
    options.env_steps = options.env_steps or (20_000 if options.iqn else 200_000)
    tasks = OF_IQN if options.iqn else TASKS
    if options.quick:
        tasks = [(env, count, who) for env, count, who in tasks if count == 1]
    rows = [row for task in tasks if task[0] in options.envs for row in compare(*task, options)]
    cells = []
    for row in rows:
        like = [r for r in rows if (r["env"], r["seeds"]) == (row["env"], row["seeds"])]
        mine, its = (r["env_steps_per_second"]["median"] for r in (like[0], row))
        cells.append([
            row["env"],
            str(row["seeds"]),
            row["library"],
            harness.say(row["env_steps_per_second"]),
            f"{row['updates_per_second']['median']:,.0f}",
            f"{mine / its:.2f} ×",
        ])  # fmt: skip
    columns = ["environment", "seeds", "library", "env-steps/s", "updates/s",
               f"{rows[0]['library']} is"]  # fmt: skip
    harness.show("training", columns, cells)
    result = {"env_steps": options.env_steps, "pins": rivals.PINS, "rows": rows}
    print(harness.save("peers_iqn" if options.iqn else "peers", result, options.out))


if __name__ == "__main__":
    main()
