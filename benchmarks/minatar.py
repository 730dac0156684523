"""PQN on MinAtar beside PureJaxQL's, as published and with its λ-returns mended: returns, speed.

    python benchmarks/minatar.py
    python benchmarks/minatar.py --games Breakout  # the other's results are kept

Equal: the games, rollouts, epochs, minibatches, λ, discount, the step size and its fall, epsilon,
and the judge: greedy returns of the first episodes by the last weights. What can't be made equal:
PureJaxQL's network is a convolution of 16 channels before 128 units, ours (``pqn_breakout.toml``)
two layers of 128; it descends by RAdam, ours by Adam; it divides what is seen by 255, though that
is 0 or 1; it runs on JAX 0.4.30 and gymnax 0.0.8, and trains one seed after the other, which on a
CPU is faster than ``jax.vmap``; ours are side by side. Speed is measured by short trainings in
turn, A B A B, without any evaluation; ``taskset -c 0`` before the command gives all one core.
"""

from pathlib import Path
from typing import Any

import harness
import numpy as np
import rivals
import rollouts

import jaxdqn
from jaxdqn import statistics
from jaxdqn.parallel import devices

ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "ours": ("ours", {}),
    "PureJaxQL": ("purejaxql", {"mended": False}),
    "PureJaxQL, mended": ("purejaxql", {"mended": True}),
}
"""Each of the library's name and what its worker is told."""
CONFIG = jaxdqn.load_config(harness.ROOT / "configs" / "pqn_breakout.toml")
GATHERED = CONFIG.num_envs * CONFIG.rollout_steps
"""Steps of one rollout of all environments."""


def told(game: str, iterations: int, options: Any, judged: bool) -> dict[str, Any]:
    """Return what a worker is told of a training of so many rollouts."""
    steps = iterations * GATHERED
    return {
        **{name: getattr(CONFIG, name) for name in (*rollouts.COMMON, *rollouts.OWN["pqn"])},
        "env": f"{game}-MinAtar",
        "total_steps": steps,
        "epsilon_steps": min(CONFIG.epsilon_steps, steps),
        "episodes": options.episodes if judged else 1,
        "episode_steps": options.episode_steps if judged else 1,
    }


def study(game: str, options: Any) -> list[dict[str, Any]]:
    """Train and judge all of them on one game, then let them take turns on a short training."""
    arms = {name: ARMS[name] for name in options.only}
    wanted = [(library, name) for name, (library, _) in arms.items()]
    rows = {}
    with rivals.several("minatar.py", wanted, options.venvs) as running:
        for (_, name), worker in running.items():
            common = {"seeds": options.seeds, **arms[name][1]}
            whole = told(game, options.iterations, options, judged=True)
            found = worker.ask(prepare={"told": whole, **common})
            score = statistics.summarise(np.array(found["returns"]))
            rows[name] = {
                "game": game, "library": name,
                "env_steps": whole["total_steps"], **found, **score,
                "updates": CONFIG.epochs * CONFIG.minibatches * options.iterations,
            }  # fmt: skip
            print(f"{game}, {name}: {score['mean']:.1f} greedy return", flush=True)
            short = told(game, options.timed, options, judged=False)
            worker.ask(prepare={"told": short, **common})
        seconds = rivals.interleave(running, options.repeats)
    for each, took in seconds.items():
        rate = harness.rate(options.seeds * options.timed * GATHERED, took)
        rows[each[1]]["env_steps_per_second"] = rate
        print(f"{game}, {each[1]}: {harness.say(rate)} env-steps/s", flush=True)
    return list(rows.values())


def main() -> None:
    """Print returns and rates and write ``minatar.json``."""
    parser = harness.options(__doc__, repeats=3)
    parser.add_argument("--games", nargs="+", default=["Breakout", "SpaceInvaders"])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=240, help="rollouts of a training")
    parser.add_argument("--timed", type=int, default=8, help="rollouts of what is timed")
    parser.add_argument("--only", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--venvs", type=Path, default=rivals.CACHE, help="virtual environments")
    options = parser.parse_args()
    options.episodes, options.episode_steps = 128, 1_000
    if options.quick:
        options.iterations, options.timed, options.repeats = 1, 1, 1
        options.episodes, options.episode_steps = 2, 5
    known = harness.earlier(options.out / "minatar.json", options.quick).get("rows", [])
    rows = [row for row in known if row["game"] not in options.games]
    rows += [row for game in options.games for row in study(game, options)]
    rows.sort(key=lambda row: row["game"])
    result = {"pins": rivals.PINS["purejaxql"], "cores": devices.usable_cores(), "rows": rows}
    print(harness.save("minatar", result, options.out, parts=rows))


if __name__ == "__main__":
    main()
