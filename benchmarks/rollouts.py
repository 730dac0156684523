"""PPO beside PureJaxRL's and PQN beside PureJaxQL's: the same training on CartPole, in one run.

    python benchmarks/rollouts.py

Equal: environments, lengths of rollouts, epochs, minibatches, updates; libraries take turns,
A B A B, each in its own virtual environment and process, and evaluate nothing. What can't be made
equal: PureJaxRL has two networks of 64-64, ours is one of 96-96, which is a little more work;
PureJaxQL also keeps statistics of a normalisation that it doesn't use, and descends by RAdam; both
log every step, count a time limit as an end, run on JAX 0.4.30, which still has what they call, and
take ``jax.vmap`` over seeds, where ours are spread over all cores.
"""

from pathlib import Path
from typing import Any

import harness
import rivals

from jaxdqn.parallel import devices

devices.use_cores()

import job  # noqa: E402  (after the devices are set)

RIVALS = {"ppo": "purejaxrl", "pqn": "purejaxql"}
NAMES = {"ours": "ours", "purejaxrl": "PureJaxRL", "purejaxql": "PureJaxQL"}
COMMON = ["env", "total_steps", "num_envs", "rollout_steps", "epochs", "minibatches", "discount",
          "learning_rate", "max_grad_norm", "widths"]  # fmt: skip
OWN = {
    "ppo": ["clip_range", "entropy_coefficient", "value_coefficient", "gae_lambda"],
    "pqn": ["td_lambda", "epsilon_start", "epsilon_end", "epsilon_steps"],
}


def compare(method: str, count: int, options: Any) -> list[dict[str, Any]]:
    """Let ours and its rival train in turn."""
    changes = {"method": method, "total_steps": options.env_steps}
    config = job.rollout(**changes)
    settings = {
        "config": changes,
        "seeds": count,
        "told": {name: getattr(config, name) for name in (*COMMON, *OWN[method])},
    }
    chosen = [library for library in ("ours", RIVALS[method]) if library in options.only]
    rows = []
    raced = rivals.race(chosen, settings, options.venvs, options.repeats)
    for library, (found, seconds) in raced.items():
        rate = harness.rate(count * found["env_steps"], seconds)
        rows.append({"method": method, "seeds": count, "library": NAMES[library],
                     "env_steps_per_second": rate, **found})  # fmt: skip
        print(method, count, NAMES[library], harness.say(rate), "env-steps/s", flush=True)
    return rows


def main() -> None:
    """Print the rates and write ``rollouts.json``."""
    parser = harness.options(__doc__, repeats=3)
    parser.add_argument("--env_steps", type=int, default=204_800, help="of each seed")
    parser.add_argument("--methods", nargs="+", default=list(RIVALS), choices=list(RIVALS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--venvs", type=Path, default=rivals.CACHE, help="virtual environments")
    options = harness.parse(parser, "methods", "seeds", "only")
    if options.quick:
        options.env_steps, options.repeats = 8_192, 1
    rows = [row for method in options.methods for count in options.seeds
            for row in compare(method, count, options)]  # fmt: skip
    pins = {name: rivals.PINS[name] for name in RIVALS.values()}
    result = {"env_steps": options.env_steps, "pins": pins, "rows": rows}
    print(harness.save("rollouts", result, options.out))


if __name__ == "__main__":
    main()
