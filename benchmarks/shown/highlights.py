"""A sentence or two for each benchmark, for the first README."""

import harness

from shown.language import of_reading
from shown.words import difference, result_of


def highlights() -> str:
    """Return a sentence or two for each benchmark, with a link to its table."""
    results = [result_of(name) for name in HIGHLIGHTED]
    places = harness.places_and_days(results)
    measured = "; ".join(f"{where}, {days}" for where, days in places.items())
    sentences = (
        _of_peers(),
        _of_designs(),
        _of_values(),
        _of_planning(),
        of_reading(),
    )
    return "\n".join(f"- {sentence}" for sentence in sentences) + f"\n\nMeasured on {measured}."


HIGHLIGHTED = (
    "peers", "compare_designs_cpu", "compare_designs_gpu", "overestimation", "larger_mazes",
    "language",
)  # fmt: skip


def _of_peers() -> str:
    speed = {
        (row["library"], row["env"], row["seeds"]): row["env_steps_per_second"]["median"]
        for row in result_of("peers")["rows"]
    }

    def ours_to(library: str, env: str, seeds: int = 1) -> str:
        return f"{speed['ours', env, seeds] / speed[library, env, seeds]:.1f} ×"

    maze, pole, alike = "MetaMaze-misc", "CartPole-v1", "rejax, drawing with replacement"
    on_pole = ", ".join(f"{ours_to(name, pole)} {name}" for name in ("Stable-Baselines3", "SBX"))
    return (
        f"Whole trainings on MetaMaze are {ours_to('rejax', maze)} as fast as rejax's with one "
        f"seed, {ours_to('rejax', maze, 16)} with 16 ({ours_to(alike, maze)} and "
        f"{ours_to(alike, maze, 16)} drawing batches as ours does), on CartPole "
        f"{ours_to('rejax', pole)} ({ours_to(alike, pole)}), {on_pole} "
        "([table](benchmarks/README.md#other-libraries))."
    )


def _of_designs() -> str:
    def ratios(name: str) -> str:
        speed = {
            (row["design"], row["seeds"]): row["env_steps_per_second"]["median"]
            for row in result_of(name)["rows"]
            if row["widths"] == [64, 64]
        }
        seeds = sorted({count for _, count in speed})
        said = ", ".join(
            f"{speed['ours', count] / speed['standard', count]:.2f} × with {count:,}"
            for count in (seeds[0], seeds[-1])
        )
        if (spread := speed.get(("standard, spread", seeds[-1]))) is None:
            return said
        return f"{said} ({speed['ours', seeds[-1]] / spread:.2f} × with seeds spread)"

    speeds = [
        row["env_steps_per_second"]["median"] for row in result_of("compare_designs_gpu")["rows"]
    ]
    return (
        "Speed beside our own DQN in JAX's usual style, 64-64, by seeds: "
        f"{ratios('compare_designs_cpu')} on two cores; {ratios('compare_designs_gpu')} on a GPU, "
        f"{max(speeds) / 1e6:.0f} million steps a second in all "
        "([tables](benchmarks/README.md#the-standard-design))."
    )


def _of_planning() -> str:
    result = result_of("larger_mazes")
    large = [case for case in result["cases"] if case["size"] == 25]
    solved = min(case["success"]["mean"] for case in large)
    share = "all" if solved == 1 else f"{solved:.0%} or more"
    return (
        f"{result['seeds']} networks trained on 7×7 mazes solve {share} of four kinds of 25×25 "
        "([table](configs/README.md#unseen-mazes))."
    )


def _of_values() -> str:
    result = result_of("overestimation")
    found = " and ".join(
        difference(case["all of training"])
        + (f" with ± {case['noise']:g} added to rewards" if case["noise"] else "")
        for case in result["cases"][:2]
    )
    return (
        f"Over training, DQN's values exceed Double DQN's by {found} ({result['seeds']} paired "
        "seeds; [figure](benchmarks/README.md#overestimation))."
    )
