"""What the READMEs show of how fast it is."""

import statistics
from typing import Any

import harness

from shown.words import markdown, measured, result_of, row_like

RUNS = "(slowest … fastest run)"
RATE = f"env-steps/s {RUNS}"
"""Of the runs of one program; the figure before is their median."""


def design(name: str) -> str:
    """Return ours against the standard design, one line for each network and number of seeds."""
    result = result_of(name)
    limits = {"share_of_matmul_ceiling": "of the matmul ceiling"}
    if name.endswith("gpu"):  # a CPU keeps such small networks in its caches
        limits["share_of_bandwidth"] = "of the memory's bandwidth"
    # Of two runs one may have met other work, which their mean would show.
    best = "highest" if name.endswith("wide_gpu") else "median"
    cells: dict[tuple[str, int], dict[str, Any]] = {}
    for row in result["rows"]:
        network = f"{row['network']}, batch {row['batch_size']}"
        cells.setdefault((network, row["seeds"]), {})[row["design"]] = row
    lines = []
    for (network, seeds), found in cells.items():
        mine = found["ours"]["env_steps_per_second"][best]
        ratios = [
            f"{mine / found[other]['env_steps_per_second'][best]:.2f} ×" if other in found
            else "" for other in ("standard", "standard, spread")
        ]  # fmt: skip
        shares = [f"{found['ours'][name]:.0%}" for name in limits]
        speed = f"{mine:,.0f}"
        if best == "median":
            speed = harness.say(found["ours"]["env_steps_per_second"])
        lines.append([network, f"{seeds:,}", speed, *ratios, *shares])
    columns = ["network", "seeds", RATE if best == "median" else "env-steps/s",
               "to the standard design", "to it, its seeds spread, too",
               *limits.values()]  # fmt: skip
    lead = (
        "Wider networks likewise, the residual one on MinAtar's Breakout; of that several seeds "
        "take turns, as `jaxdqn sweep` trains them; the faster of two runs each:\n\n"
        if name.endswith("wide_gpu")
        else "The same training of MetaMaze-misc by ours and by the standard design of DQN in JAX, "
        "written by us after purejaxrl (`benchmarks/standard_design.py`: flashbax's flat buffer, "
        "`lax.cond`, metrics of every step, `jax.vmap` over seeds). Networks are called by the "
        "widths of their hidden layers. Steps are those that are "
        "learned from: random ones before them are in the time alone. Spread, too: the standard "
        "design with its seeds divided among the devices, as ours are. Of the matmul ceiling: the "
        "share that the products of learning have of the fastest matrix products of this "
        "machine:\n\n"
    )
    figure = f"![Speed by the number of seeds](results/{name}.png)\n\n"
    picture = figure if (harness.RESULTS / f"{name}.png").exists() else ""
    return lead + picture + markdown(columns, lines, 1) + measured(result)


def machines() -> str:
    """Return how far machines that call themselves alike differ."""
    results = [result_of(name) for name in ("compare_designs_cpu", "throughput")]
    rates = {found["ceilings"]["matmul_flops"]: found["machine"]["date"] for found in results}
    least, most = min(rates), max(rates)
    ((where, days),) = harness.places_and_days(results).items()
    commands = " and ".join(f"`python {found['command']}`" for found in results)
    return (
        "Machines that call themselves alike differ from day to day: the fastest matrix products "
        f"of two cores made {least / 1e9:.0f} GFLOP/s on {rates[least]} and {most / 1e9:.0f} on "
        f"{rates[most]}, {most / least:.1f} times as many. Compare speeds within a table, not "
        f"between tables.\n\nMeasured on {days}: {where}. Regenerate with {commands}."
    )


def rainbow_design(where: str) -> str:
    """Return Rainbow against the same written plainly."""
    result = result_of(f"compare_designs_rainbow_{where}")
    lines = []
    for row in result["rows"]:
        mine = row_like(result["rows"], row, ("seeds",))["updates_per_second"]["median"]
        its = row["updates_per_second"]["median"]
        spread = harness.say(row["updates_per_second"])
        lines.append([row["design"], str(row["seeds"]), spread, f"{mine / its:.2f} ×"])
    columns = ["design", "seeds", f"updates/s {RUNS}", "ours is"]
    return markdown(columns, lines, 1) + measured(result)


def prices() -> str:
    """Return what an iteration of each method takes, one line for each."""
    rows = result_of("prices")["rows"]
    counts = list(dict.fromkeys(row["seeds"] for row in rows))
    at = {(row["method"], row["seeds"]): row for row in rows}
    lines = [
        [name]
        + [f"{at[name, count]['microseconds']:,.0f}" for count in counts]
        + [f"{at[name, count]['to_double_dqn']:.2f} ×" for count in counts]
        for name in dict.fromkeys(row["method"] for row in rows)
    ]
    columns = ["method", *(f"µs, seeds: {count}" for count in counts)]
    columns += [f"to Double DQN, seeds: {count}" for count in counts]
    lead = (
        "An iteration of `maze.toml` (16 environments step once, one update of 128-128 with a "
        "batch of 64), per agent, the fastest of the runs; − is Rainbow without, implicit "
        "quantiles are at 8 fractions:\n\n"
    )
    return lead + markdown(columns, lines, 1) + measured(result_of("prices"))


def one_core() -> str:
    """Return what one agent comes to on one core."""
    result = result_of("compare_designs_one_core")
    mine, other = (row["env_steps_per_second"]["median"] for row in result["rows"])
    return (
        "One agent of 64-64 is fastest on one core (`jaxdqn --cores 1 ...`, or in a script of "
        f"yours `PJRT_NPROC=1`): {mine:,.0f} env-steps/s, {mine / other:.2f} × the standard "
        f"design's there. {measured(result).strip()}"
    )


def peers() -> str:
    """Return whole trainings by other libraries."""
    return (
        "Other libraries, each in its own environment, in turn, the same networks, batches, replay "
        "and updates per step. Not equal: Stable-Baselines3 and SBX have no Double DQN and step "
        "CartPole in Python; rejax draws without replacement, which is most of what it takes, "
        "so that it is there a second time, changed to draw as ours does, and spreads no seeds "
        "over cores; `benchmarks/peers.py` says the rest:\n\n"
    ) + _of_libraries(result_of("peers"))


def peers_iqn() -> str:
    """Return trainings with implicit quantiles, ours and rejax's."""
    lead = "Implicit quantiles, 32 of them in each place, and three layers of 64:\n\n"
    return lead + _of_libraries(result_of("peers_iqn"))


def _of_libraries(result: dict[str, Any]) -> str:
    lines = [[row["env"], *_beside(result["rows"], row, "env")] for row in result["rows"]]
    columns = ["environment", "library", "seeds", RATE, "ours is"]
    return markdown(columns, lines, 2) + measured(result)


def _beside(rows: list[dict[str, Any]], row: dict[str, Any], task: str) -> list[str]:
    """Return a library, its seeds and speed, and how many times as fast the task's first one is."""
    mine, its = (each["env_steps_per_second"]["median"]
                 for each in (row_like(rows, row, (task, "seeds")), row))  # fmt: skip
    spread = harness.say(row["env_steps_per_second"])
    return [row["library"], str(row["seeds"]), spread, f"{mine / its:.1f} ×"]


def rollouts() -> str:
    """Return trainings by rollouts beside the libraries that published them."""
    result = result_of("rollouts")
    lines = []
    for row in result["rows"]:
        compiling = f"{row['compile_seconds']:.1f} s"
        lines.append([row["method"].upper(), *_beside(result["rows"], row, "method"), compiling])
    columns = ["method", "library", "seeds", RATE, "ours is", "compilation"]
    lead = (
        "CartPole, the same rollouts, epochs and minibatches, in turn, each library in its own "
        "environment (theirs on JAX 0.4.30, which still has what they call); what can't be made "
        "equal stands in `benchmarks/rollouts.py`:\n\n"
    )
    return lead + markdown(columns, lines, 2) + measured(result)


def minatar() -> str:
    """Return PQN on MinAtar beside the library that published it."""
    result = result_of("minatar")
    lines = []
    for row in result["rows"]:
        library, seeds, speed, ratio = _beside(result["rows"], row, "game")
        score = f"{row['mean']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
        lines.append([row["game"], library, seeds, f"{row['env_steps']:,}", score, speed, ratio])
    columns = ["game", "library", "seeds", "steps per seed", "greedy return", RATE, "ours is"]
    cores = "one core" if result["cores"] == 1 else f"{result['cores']} cores"
    lead = (
        f"PQN on MinAtar, on {cores}, each by its own settings of the game, which are the same but "
        "for networks and the optimiser (`benchmarks/minatar.py` says how they differ); *mended* "
        "is the published code with one line changed, by which its λ-returns begin with the value "
        "of the last state:\n\n"
    )
    return lead + markdown(columns, lines, 2) + measured(result)


def environments() -> str:
    """Return the speed of stepping mazes, one line for each environment."""
    result = result_of("environments")
    rows = result["rows"]
    batches = list(dict.fromkeys(row["batch"] for row in rows))
    speed = {
        (row["environment"], row["batch"]): harness.say(row["steps_per_second"]) for row in rows
    }
    lines = [
        [name, *(speed[name, batch] for batch in batches)]
        for name in dict.fromkeys(row["environment"] for row in rows)
    ]
    columns = [f"{result['size']} × {result['size']}, steps/s {RUNS}"]
    columns += [f"{batch:,} at once" for batch in batches]
    lead = (
        "Stepping mazes of one size with the same actions, resets included. Not equal: what is "
        "observed, and that gymnax has one layout, Jumanji a new maze in each episode:\n\n"
    )
    return lead + markdown(columns, lines, 1) + measured(result)


def replay() -> str:
    """Return bytes and microseconds of replay buffers, one line for each buffer."""
    result = result_of("replay")
    kinds: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for row in result["rows"]:
        kinds.setdefault((row["observation"], row["buffer"]), {})[row["capacity"]] = row
    least, most = (bound(row["capacity"] for row in result["rows"]) for bound in (min, max))
    lines = [
        [*kind, f"{rows[least]['bytes_per_transition']:.0f}"]
        + [f"{rows[end]['add_microseconds']['median']:.1f}" for end in (least, most)]
        + [f"{rows[end]['sample_microseconds']['median']:.0f}" for end in (least, most)]
        for kind, rows in kinds.items()
    ]
    ends = [f"{least:,}", f"{most:,}"]
    columns = ["observation", "buffer", "bytes of a transition",
               f"add {result['num_envs']} to {ends[0]}, µs", f"to {ends[1]}, µs",
               f"sample {result['batch_size']} of {ends[0]}, µs",
               f"of {ends[1]}, µs"]  # fmt: skip
    lead = (
        "The replay buffer beside flashbax's (the flat one stores no next observation). Nothing in "
        "the uniform one depends on the capacity but the memory it reaches into; a sample of "
        "prioritised ones includes setting its priorities:\n\n"
    )
    return lead + markdown(columns, lines, 2) + measured(result)


def start() -> str:
    """Return the seconds to the first update."""
    result = result_of("compile")
    lines = [
        [f"`{cell['config']}`", str(cell["seeds"])]
        + [f"{stages['total']:.1f} s" for stages in cell["starts"].values()]
        for cell in result["cells"]
    ]
    columns = ["start to first update", "seeds", *result["cells"][0]["starts"]]
    return markdown(columns, lines, 1) + measured(result)


def sweeps() -> str:
    """Return what a sweep costs beside the same agents trained in another way."""
    result = result_of("sweeps")
    lines = []
    for name, found in result["results"].items():
        first, second = (statistics.median(times) for times in found["seconds"].values())
        lines.append([name, f"{first:.1f} s", f"{second:.1f} s", f"{found['ratio']:.2f}"])
    columns = ["training", "first", "second", "first / second"]
    return markdown(columns, lines, 1) + measured(result)


def autoreset() -> str:
    """Return what resets cost, one line for each kind of observation."""
    result = result_of("autoreset")
    lines = [
        [f"`{kind}`", f"{row['without']:.0f} µs", f"{row['with']:.0f} µs", f"{row['ratio']:.2f}"]
        for kind, row in result["results"].items()
    ]
    columns = [
        f"a step of {result['num_envs']:,} mazes, 13 × 13",
        "without resets",
        "with",
        "ratio",
    ]
    return markdown(columns, lines, 1) + measured(result)


def throughput() -> str:
    """Return trainings over seeds and environments."""
    result = result_of("throughput")
    lines = [
        [f"`{cell['config']}`", str(cell["seeds"]), str(cell["num_envs"]),
         harness.say(cell["env_steps_per_second"]),
         f"{cell['env_steps_per_second_without_learning']['median']:,.0f}",
         f"{cell['updates_per_second']['median']:,.0f}",
         f"{cell['share_of_matmul_ceiling']:.0%}"]
        for cell in result["cells"]
    ]  # fmt: skip
    columns = ["configuration", "seeds", "environments", RATE, "random steps/s",
               "updates/s", "of the matmul ceiling"]  # fmt: skip
    return markdown(columns, lines, 1) + measured(result)
