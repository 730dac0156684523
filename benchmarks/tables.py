"""What the READMEs show of the results, made of them and of nothing else.

    python benchmarks/tables.py

Only rewrites text: what the tables show was measured by the scripts that they name.
"""

import json
import statistics
from collections.abc import Iterable
from typing import Any

import harness


def results() -> str:
    """Return what each shipped configuration comes to, as short as the first README has it."""
    result = _read("readme")
    lines = []
    for found in result["results"].values():
        summary = found["summary"]
        lines.append([f"`{found['command']}`", f"{summary['env_steps_per_seed']:,}",
                      _reached(summary), f"{found['seconds']:.0f} s"])  # fmt: skip
    table = _markdown(["command", "steps per seed", "what was reached", "whole command"], lines, 1)
    # What was reached is words.
    table = table.replace("| --- | ---: | ---: | ---: |", "| --- | ---: | --- | ---: |")
    return f"{table}\n\nSeconds include start and compilation. {_measured(result).strip()}"


MEASURES = {
    "success": "success", "held_out_success": "on unseen mazes", "regret": "regret",
    "q_error": "error of values",
}  # fmt: skip
OF_FAMILY = {
    "success": "success", "spl": "SPL", "regret": "regret", "q_error": "error of values",
    "return_distance": "error of returns (W₁)",
}  # fmt: skip


def configurations(of: str, measures: dict[str, str]) -> str:
    """Return the measures of configurations at the end of training, of one result."""
    result = _read(of)
    lines = []
    for name, found in result["results"].items():
        summary, final = found["summary"], found["summary"]["final"]
        lines.append(
            [f"`{name}.toml`", str(summary["seed_count"]), _interval(final, "eval_return", 1)]
            + [_interval(final, measure, 2) for measure in measures]
            + [f"{summary['train_seconds']:.0f} s", f"{found['seconds']:.0f} s"]
        )
    columns = ["configuration", "seeds", "greedy return", *measures.values(), "training",
               "whole command"]  # fmt: skip
    lead = "At the end of training, means over seeds with their 95 % bootstrap intervals:\n\n"
    return lead + _markdown(columns, lines, 1) + _measured(result)


AIMS = {
    "acrobot": "−100", "mountain_car": "−140", "catch": "1.00", "deep_sea": "0.99",
    "frozen_lake": "0.74", "cartpole": "475",
}  # fmt: skip
"""Greedy returns that are good; of DeepSea and FrozenLake the best there is."""


def zoo() -> str:
    """Return what the configurations of gymnax's environments come to."""
    result = _read("zoo")
    return _by_return(result, ["configuration", "with"]) + _of_pair(result) + _again(result, "zoo")


def bars() -> str:
    """Return what methods come to where a known score is to be reached."""
    result = _read("bars")
    return _by_return(result, ["configuration", "with"]) + _again(result, "bars")


def memory() -> str:
    """Return what networks with and without a memory come to, and how far they differ."""
    result = _read("memory")
    lines = []
    for found in result["results"].values():
        summary, (_, _, path, _, _, *options) = found["summary"], found["command"].split()
        lines.append([f"`{path.rpartition('/')[2]}`", f"`{' '.join(options)}`" if options else "",
                      str(summary["seed_count"]), f"{summary['env_steps_per_seed']:,}",
                      _interval(summary["final"], "eval_return", 2),
                      _interval(summary["final"], "held_out_success", 2)])  # fmt: skip
    columns = ["configuration", "with", "seeds", "steps per seed", "greedy return",
               "unseen mazes solved"]  # fmt: skip
    said = "Means over seeds at the end of training, with 95 % bootstrap intervals:\n\n"
    return said + _markdown(columns, lines, 2) + _of_views(result) + _again(result, "memory")


def _of_views(result: dict[str, Any]) -> str:
    if "comparison" not in result:
        return ""
    _, other = result["comparison"]["settings"].values()
    middle, low, high = other["difference"]
    return (
        f"\n\nOf unseen mazes of `view_maze.toml`, along training, {middle:.2f} [{low:.2f}, "
        f"{high:.2f}] more are solved with the memory ({other['seeds']} paired seeds)."
    )


def _by_return(result: dict[str, Any], columns: list[str], seconds: bool = False) -> str:
    lines = []
    for name, found in result["results"].items():
        summary = found["summary"]
        file, *_ = name.split()
        options = " ".join(found["command"].split()[5:])
        words = [f"`{file}.toml`", f"`{options}`" if options else ""][: len(columns)]
        lines.append([*words, str(summary["seed_count"]), f"{summary['env_steps_per_seed']:,}",
                      f"{summary['train_seconds']:.0f} s" if seconds else AIMS.get(file, ""),
                      _interval(summary["final"], "eval_return", 2)])  # fmt: skip
    columns = [*columns, "seeds", "steps per seed", "training" if seconds else "good is",
               "greedy return"]  # fmt: skip
    return _markdown(columns, lines, len(columns) - 4)


def _of_pair(result: dict[str, Any]) -> str:
    if "comparison" not in result:
        return ""
    (first, _), (second, other) = result["comparison"]["settings"].items()
    first, second = (name.split()[0] for name in (first, second))
    middle, low, high = other["difference"]
    return (
        f"\n\nGreedy returns of `{second}.toml`, means along training, exceed those of "
        f"`{first}.toml` by {middle:.2f} [{low:.2f}, {high:.2f}] ({other['seeds']} paired seeds)."
    )


OF_READING = {
    "causal": "each token from those before it",
    "deep": "4 layers instead of 2, fewer updates",
    "large": "13×13 instead of 9×9 cells",
    "adamw": "AdamW, more updates, as all below",
    "masked": "masked tokens from all others",
    "loops": "mazes with loops",
    "short": "paths of up to 12 moves",
}


FAR = 4
"""So many groups of lengths, of eight moves each, have a column of their own."""


def _by_moves(shares: Iterable[dict[str, float]]) -> list[str]:
    """Return the share of each group of lengths, and of all longer ones together."""
    near, far = list(shares)[:FAR], list(shares)[FAR:]
    said = [f"{share['mean']:.2f}" for share in near]
    if far:
        found = sum(share["paths"] * share["mean"] for share in far)
        said.append(f"{found / sum(share['paths'] for share in far):.2f}")
    return said


def language() -> str:
    """Return what language models come to, before and after fine-tuning."""
    result = _read("language")
    lines, by_moves = [], []
    for name, found in result["arms"].items():
        losses = found["losses"]
        floor = losses["board_floor"]["mean"]
        above = found.get("divergence")
        walls = "" if above is None else f"{above['mean']:.2f}, {above['mean'] / floor:.1%}"
        shares = [_difference(found["greedy"][share])
                  for share in ("shortest", "solved", "wrong_end", "invalid_token")]  # fmt: skip
        lines.append([OF_READING[name], str(found["seeds"]), walls, *shares,
                      _difference(found["sampled"]["shortest"])])  # fmt: skip
        by_moves.append([OF_READING[name], *_by_moves(found["by_moves"].values())])
    columns = [
        "what is learned",
        "seeds",
        "KL of walls, nats",
        "exactly shortest",
        "solved",
        "wrong end",
        "invalid token",
        "shortest, sampled",
    ]
    asked: dict[int, list[str]] = {}
    for name, found in result["arms"].items():
        asked.setdefault(found["seeds"], []).append(name)
    commands = "` and `python ".join(
        f"benchmarks/language.py --only {' '.join(names)} --seeds {seeds} --cores 1"
        for seeds, names in asked.items()
    )
    longest = max((found["by_moves"] for found in result["arms"].values()), key=len)
    moves = [*list(longest)[:FAR], f"{8 * FAR + 1} or more"]
    short = [row + [""] * (1 + len(moves) - len(row)) for row in by_moves]
    return (
        _markdown(columns, lines, 1)
        + "\n\nExactly shortest by the moves that are needed:\n\n"
        + _markdown(["what is learned", *moves], short, 1)
        + "\n\n"
        + harness.provenance(commands, result["machine"])
    )


def compare() -> str:
    """Return what ``jaxdqn compare`` found of DQN and Double DQN."""
    result = _read("comparison")
    (first, one), (second, other) = result["settings"].items()
    said = "established" if other["established"] else "not established"
    middle, low, high = other["difference"]
    return (
        f"`jaxdqn compare configs/{first}.toml configs/{second}.toml --measure "
        f"{result['measure']}` takes {result['seconds']:.0f} s: over training `{second}` values "
        f"exceed those of `{first}` by {middle:.3g} [{low:.3g}, {high:.3g}] "
        f"({one['seeds']} seeds each, paired), {said}.{_measured(result)}"
    )


def methods() -> str:
    """Return how Double DQN, PQN and PPO compare, by steps and by seconds."""
    result = _read("methods")
    lines = []
    for task in result["tasks"]:
        digits = 0 if task["measure"] == "eval_return" else 2
        for name, entry in task["methods"].items():
            by_seconds = entry["by_seconds"]
            lines.append([
                task["task"], name, _iqm(entry, digits), _gain(entry, digits),
                _iqm(by_seconds, digits), _gain(by_seconds, digits),
                f"{entry['final']:.{digits}f}", f"{by_seconds['along'][-1]:.1f}",
            ])  # fmt: skip
    columns = ["task", "method", "along all steps", "more than Double DQN", "in equal time",
               "more than Double DQN", "at the end", "seconds"]  # fmt: skip
    minutes = sum(task["seconds"] for task in result["tasks"]) / 60
    return (
        f"Interquartile means over {result['seeds']} paired seeds, 95 % bootstrap intervals: of "
        "success (CartPole: of the greedy return) along all environment steps, and along the "
        "seconds that the quickest method took. Differences are of means, with Student's intervals "
        "(those of both rivals together 95 %); bold: established. Seconds are of training all "
        "seeds together, timed once, evaluations among them, compilation apart:\n\n"
        + _markdown(columns, lines, 2)
        + "\n\n"
        + harness.provenance("benchmarks/methods.py", result["machine"])
        + f" It took {minutes:.0f} minutes, compilation included."
    )


def _iqm(found: dict[str, Any], digits: int) -> str:
    return f"{found['iqm']:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


def _gain(found: dict[str, Any], digits: int) -> str:
    if "difference" not in found:
        return ""
    middle, low, high = (f"{value:+.{digits}f}" for value in found["difference"])
    said = f"{middle} [{low}, {high}]"
    return f"**{said}**" if found.get("established") else said


def search() -> str:
    """Return what a sweep of random settings found, and how long it took."""
    result = _read("search")
    found, minutes = result["summary"], result["seconds"] / 60
    return (
        f"`{result['words']}` trains {found['trained']:,} agents of 100,000 steps in "
        f"{minutes:.1f} minutes: {found['established']}.{_measured(result)}"
    )


def _of_reading() -> str:
    found = _read("language")["arms"]["causal"]
    above = found["divergence"]["mean"] / found["losses"]["board_floor"]["mean"]
    minutes = sum(map(max, found["seconds"].values())) / 60
    shortest = found["greedy"]["shortest"]["mean"]
    return (
        f"A language model of mazes comes within {above:.1%} of their exact entropy; fine-tuned, "
        f"in {minutes:.0f} minutes, {shortest:.0%} of its paths in mazes it never read are exactly "
        "shortest ([table](configs/README.md#from-text-to-policy))."
    )


def transfer(name: str) -> str:
    """Return what reading before does for a Q-network."""
    result = _read(name)
    lines = []
    for name, found in result["arms"].items():
        gain = found["more_than_scratch"]
        lines.append([
            name, f"{found['learning_rate']:g}", _difference(found["curve"][-1]),
            "" if name == "scratch" else f"{gain[0]:+.2f} [{gain[1]:.2f}, {gain[2]:.2f}]",
            *(_steps(found[share]) for share in ("steps_to_half", "steps_to_nine_tenths")),
            f"{found['seconds'] / result['seeds']:,.0f} s",
        ])  # fmt: skip
    columns = [
        "network",
        "learning rate",
        "unseen mazes solved, at the end",
        "more than from scratch, along training",
        "steps to 50 %",
        "to 90 %",
        "seconds per agent",
    ]
    probes = [
        [name, *(f"{scores['probe']:.2f} ({scores['known']:.2f})" for scores in found.values())]
        for name, found in result["probes"].items()
    ]
    gain, low, high = result["arms"]["PPO, fine-tuned"]["more_than_frozen_at_the_end"]
    better = (
        f"\n\nAt the end PPO's policy solves {gain:+.2f} [{low:.2f}, {high:.2f}] of the mazes "
        "more than the language model's that it began as (frozen)."
    )
    reading = "; ".join(f"{name} {cost['seconds']:,.0f} s, {cost['flops'] / 1e12:,.0f} TFLOP"
                        for name, cost in result["cost_of_reading"].items())  # fmt: skip
    return (
        f"{result['seeds']} paired seeds, {result['arms']['scratch']['steps'][-1]:,.0f} steps of "
        f"the environment each (PPO {result['arms']['PPO, fine-tuned']['steps'][-1]:,.0f}):\n\n"
        + _markdown(columns, lines, 1)
        + better
        + f"\n\nWhat reading cost: {reading}. What linear probes find after the last token, and in "
        "brackets what is known without reading (share of walls told right; of next cells and of "
        "moves that lead nearer; of the variance of the distance); between them, without a probe, "
        "the share of moves that lead nearer where the model's own words choose among the four:"
        "\n\n"
        + _markdown(["model", "walls", "next cell", "move", "own words", "distance"], probes, 1)
        + _measured(result)
    )


def _steps(reached: list[float | None]) -> str:
    """Return the median of steps, and how many seeds have got there."""
    there = sorted(steps for steps in reached if steps is not None)
    if not there:
        return f"0 of {len(reached)} seeds"
    return f"{statistics.median(there):,.0f}, {len(there)} of {len(reached)}"


def overestimation() -> str:
    """Return how much DQN's values exceed Double DQN's."""
    result = _read("overestimation")
    cases = result["cases"]
    found = "; ".join(
        f"{_difference(case['all of training'])} with rewards ± {case['noise']:g}" for case in cases
    )
    late = "; ".join(_difference(case["second half"]) for case in cases)
    return (
        f"Over all of training DQN's values exceed Double DQN's by {found} (mean of "
        f"{result['seeds']} paired seeds, 95 % bootstrap interval). The difference is made while "
        f"values spread through the maze; over the second half it is {late}. With ± "
        f"{cases[-1]['noise']:g} both stay below the exact values, DQN less far."
        f"{_measured(result)} It took {result['seconds']:.0f} s."
    )


def highlights() -> str:
    """Return a sentence or two for each benchmark, with a link to its table."""
    machines: dict[str, set[str]] = {}
    for name in HIGHLIGHTED:
        machine = _read(name)["machine"]
        machines.setdefault(harness.place(machine), set()).add(machine["date"])
    places = "; ".join(f"{where}, {' and '.join(sorted(on))}" for where, on in machines.items())
    sentences = (
        _of_peers(),
        _of_designs(),
        _of_sweeps(),
        _of_values(),
        _of_unseen(),
        _of_reading(),
    )
    return "\n".join(f"- {sentence}" for sentence in sentences) + f"\n\nMeasured on {places}."


HIGHLIGHTED = ("peers", "compare_designs_cpu", "compare_designs_gpu", "sweeps",
               "overestimation", "corridors_13", "language")  # fmt: skip


def _of_peers() -> str:
    speed = {
        (row["library"], row["env"], row["seeds"]): row["env_steps_per_second"]["median"]
        for row in _read("peers")["rows"]
    }

    def ours_to(library: str, env: str, seeds: int = 1) -> str:
        return f"{speed['ours', env, seeds] / speed[library, env, seeds]:.1f} × {library}"

    maze, pole = "MetaMaze-misc", "CartPole-v1"
    others = ", ".join(ours_to(name, pole) for name in ("rejax", "Stable-Baselines3", "SBX"))
    return (
        f"Whole trainings, beside other libraries: on MetaMaze {ours_to('rejax', maze)} with one "
        f"seed, {ours_to('rejax', maze, 16)} with 16; on CartPole {others} "
        "([table](benchmarks/README.md#other-libraries), and what is not equal)."
    )


def _of_designs() -> str:
    def ratios(name: str) -> str:
        speed = {
            (row["design"], row["seeds"]): row["env_steps_per_second"]["median"]
            for row in _read(name)["rows"]
            if row["widths"] == [64, 64]
        }
        seeds = sorted({count for _, count in speed})
        return " and ".join(
            f"{speed['ours', count] / speed['standard', count]:.2f} × at {count:,}"
            for count in (seeds[0], seeds[-1])
        )

    speeds = [row["env_steps_per_second"]["median"] for row in _read("compare_designs_gpu")["rows"]]
    return (
        "Beside our DQN in JAX's usual style, 64-64, by seeds: "
        f"{ratios('compare_designs_cpu')} on a CPU, {ratios('compare_designs_gpu')} on a GPU, "
        f"there {max(speeds) / 1e6:.0f} million environment steps a second "
        "([tables](benchmarks/README.md#the-standard-design))."
    )


def _of_sweeps() -> str:
    ratio = [case["ratio"] for case in _read("sweeps")["results"].values()]
    return (
        f"16 seeds by `sweep` take {ratio[0]:.2f} of the time of `jax.vmap`, 8 residual networks "
        f"{ratio[-1]:.2f} of that with flax's `nn.Conv` ([table](benchmarks/README.md#sweeps))."
    )


def _of_values() -> str:
    result = _read("overestimation")
    found = " and ".join(
        f"{_difference(case['all of training'])} with rewards ± {case['noise']:g}"
        for case in result["cases"][:2]
    )
    return (
        f"Over training, DQN's values exceed Double DQN's by {found} ({result['seeds']} paired "
        "seeds; [figure](benchmarks/README.md#overestimation))."
    )


def _of_unseen() -> str:
    result = _read("corridors_13")
    return (
        f"On a GPU, {result['curve']['held_out_success'][-1]:.1%} of 512 unseen 13×13 mazes are "
        f"solved after {result['train_seconds'] / 60:.1f} minutes "
        "([curve](configs/README.md#corridors_13))."
    )


def design(name: str) -> str:
    """Return ours against the standard design, one line for each network and number of seeds."""
    result = _read(name)
    limits = {"share_of_matmul_ceiling": "of the matmul ceiling"}
    if name.endswith("gpu"):  # a CPU keeps such small networks in its caches
        limits["share_of_bandwidth"] = "of the memory's bandwidth"
    cells: dict[tuple[str, int], dict[str, Any]] = {}
    for row in result["rows"]:
        network = f"{row['network']}, batch {row['batch_size']}"
        cells.setdefault((network, row["seeds"]), {})[row["design"]] = row
    lines = []
    for (network, seeds), found in cells.items():
        mine = found["ours"]["env_steps_per_second"]["median"]
        ratios = [
            f"{mine / found[other]['env_steps_per_second']['median']:.2f} ×" if other in found
            else "" for other in ("standard", "standard, spread")
        ]  # fmt: skip
        shares = [f"{found['ours'][name]:.0%}" for name in limits]
        lines.append([network, f"{seeds:,}", f"{mine:,.0f}", *ratios, *shares])
    columns = ["network", "seeds", "env-steps/s", "to the standard design",
               "to it, spread likewise", *limits.values()]  # fmt: skip
    lead = (
        "Wider networks likewise, the residual one on MinAtar's Breakout; of that several seeds "
        "take turns, as `jaxdqn sweep` trains them:\n\n"
        if name.endswith("wide_gpu")
        else "The same training of MetaMaze-misc by ours and by the standard design of DQN in JAX, "
        "written by us after purejaxrl (`benchmarks/standard_design.py`: flashbax's flat buffer, "
        "`lax.cond`, metrics of every step, `jax.vmap` over seeds). Spread likewise: the standard "
        "design, too, with its seeds divided among the devices. Of the matmul ceiling: the share "
        "that the products of learning have of the fastest matrix products of this machine:\n\n"
    )
    figure = f"![Speed by the number of seeds](results/{name}.png)\n\n"
    picture = figure if (harness.RESULTS / f"{name}.png").exists() else ""
    return lead + picture + _markdown(columns, lines, 1) + _measured(result)


def rainbow_design(name: str) -> str:
    """Return Rainbow against the same written plainly."""
    result = _read(name)
    lines = []
    for row in result["rows"]:
        mine = _first(result["rows"], row, ("seeds",))["updates_per_second"]["median"]
        its = row["updates_per_second"]["median"]
        lines.append([row["design"], str(row["seeds"]), f"{its:,.0f}", f"{mine / its:.2f} ×"])
    columns = ["design", "seeds", "updates/s", "ours is"]
    return _markdown(columns, lines, 1) + _measured(result)


def prices() -> str:
    """Return what an iteration of each method takes, one line for each."""
    rows = _read("prices")["rows"]
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
        "batch of 64), per agent; − is Rainbow without, implicit quantiles are at 8 fractions:\n\n"
    )
    return lead + _markdown(columns, lines, 1) + _measured(_read("prices"))


def rainbow() -> str:
    """Return what each step to Rainbow brought, one line for each, one column for each task."""
    result = _read("rainbow")
    tasks = result["tasks"]
    names = dict.fromkeys(name for task in tasks for name in task["methods"])
    lines, count = [], 0
    for name in names:
        line = [name]
        for task in tasks:
            row = task["methods"].get(name, {})
            if "difference" not in row:
                line.append(_difference(row["along"]["score"]) if row else "not run")
                continue
            found = row["difference"]["score"]
            said = f"{found['mean']:+.2f} [{found['low']:+.2f}, {found['high']:+.2f}]"
            line.append(f"**{said}**" if found["low"] > 0 or found["high"] < 0 else said)
            count += 1
        lines.append(line)
    columns = ["", *(f"{task['task']}, {task['steps'][-1] / 1000:.0f} k steps" for task in tasks)]
    lead = (
        f"Scores (mean along training of success; on CartPole of the greedy return / 500) with "
        f"their 95 % bootstrap intervals, {result['seeds']} paired seeds: first Double DQN's own, "
        "then differences, of + and Rainbow to Double DQN, of − to Rainbow. Bold excludes 0; of "
        f"{count} intervals, about {count / 20:.0f} would by chance:\n\n"
    )
    took = f" It took {result['seconds'] / 60:.0f} minutes of a core's time."
    if result["missing"]:
        took += f" {result['missing']} of its pairs of a task and a method have not been run."
    return lead + _markdown(columns, lines, 1) + _measured(result) + took


def one_core() -> str:
    """Return what one agent comes to on one core."""
    result = _read("compare_designs_one_core")
    mine, other = (row["env_steps_per_second"]["median"] for row in result["rows"])
    return (
        "One agent of 64-64 is fastest on one core (`jaxdqn --cores 1 ...`, or in a script of "
        f"yours `PJRT_NPROC=1`): {mine:,.0f} env-steps/s, {mine / other:.2f} × the standard "
        f"design's there. {_measured(result).strip()}"
    )


def peers() -> str:
    """Return whole trainings by other libraries."""
    return (
        "Other libraries, each in its own environment, in turn, the same networks, batches, replay "
        "and updates per step. Not equal: Stable-Baselines3 and SBX have no Double DQN and step "
        "CartPole in Python; rejax draws without replacement and spreads no seeds over cores; "
        "`benchmarks/peers.py` says the rest:\n\n"
    ) + _of_libraries(_read("peers"))


def peers_iqn() -> str:
    """Return trainings with implicit quantiles, ours and rejax's."""
    lead = "Implicit quantiles, 32 of them in each place, and three layers of 64:\n\n"
    return lead + _of_libraries(_read("peers_iqn"))


def _of_libraries(result: dict[str, Any]) -> str:
    lines = [[row["env"], *_beside(result["rows"], row, "env")] for row in result["rows"]]
    columns = ["environment", "library", "seeds", "env-steps/s", "ours is"]
    return _markdown(columns, lines, 2) + _measured(result)


def _beside(rows: list[dict[str, Any]], row: dict[str, Any], task: str) -> list[str]:
    """Return a library, its seeds and speed, and how many times as fast the task's first one is."""
    mine, its = (each["env_steps_per_second"]["median"]
                 for each in (_first(rows, row, (task, "seeds")), row))  # fmt: skip
    return [row["library"], str(row["seeds"]), f"{its:,.0f}", f"{mine / its:.1f} ×"]


def rollouts() -> str:
    """Return trainings by rollouts beside the libraries that published them."""
    result = _read("rollouts")
    lines = []
    for row in result["rows"]:
        compiling = f"{row['compile_seconds']:.1f} s"
        lines.append([row["method"].upper(), *_beside(result["rows"], row, "method"), compiling])
    columns = ["method", "library", "seeds", "env-steps/s", "ours is", "compilation"]
    lead = (
        "CartPole, the same rollouts, epochs and minibatches, in turn, each library in its own "
        "environment (theirs on JAX 0.4.30, which still has what they call); what can't be made "
        "equal stands in `benchmarks/rollouts.py`:\n\n"
    )
    return lead + _markdown(columns, lines, 2) + _measured(result)


def minatar() -> str:
    """Return PQN on MinAtar beside the library that published it."""
    result = _read("minatar")
    lines = []
    for row in result["rows"]:
        library, seeds, speed, ratio = _beside(result["rows"], row, "game")
        score = f"{row['mean']:.1f} [{row['low']:.1f}, {row['high']:.1f}]"
        lines.append([row["game"], library, seeds, f"{row['env_steps']:,}", score, speed, ratio])
    columns = ["game", "library", "seeds", "steps per seed", "greedy return", "env-steps/s",
               "ours is"]  # fmt: skip
    cores = "one core" if result["cores"] == 1 else f"{result['cores']} cores"
    lead = (
        f"PQN on MinAtar, on {cores}, each by its own settings of the game, which are the same but "
        "for networks and the optimiser (`benchmarks/minatar.py` says how they differ); *mended* "
        "is the published code with one line changed, by which its λ-returns begin with the value "
        "of the last state:\n\n"
    )
    return lead + _markdown(columns, lines, 2) + _measured(result)


def environments() -> str:
    """Return the speed of stepping mazes, one line for each environment."""
    result = _read("environments")
    rows = result["rows"]
    batches = list(dict.fromkeys(row["batch"] for row in rows))
    speed = {
        (row["environment"], row["batch"]): f"{row['steps_per_second']['median']:,.0f}"
        for row in rows
    }
    lines = [
        [name, *(speed[name, batch] for batch in batches)]
        for name in dict.fromkeys(row["environment"] for row in rows)
    ]
    columns = [f"{result['size']} × {result['size']}, steps/s"]
    columns += [f"{batch:,} at once" for batch in batches]
    lead = (
        "Stepping mazes of one size with the same actions, resets included. Not equal: what is "
        "observed, and that gymnax has one layout, Jumanji a new maze in each episode:\n\n"
    )
    return lead + _markdown(columns, lines, 1) + _measured(result)


def replay() -> str:
    """Return bytes and microseconds of replay buffers, one line for each buffer."""
    result = _read("replay")
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
    columns = ["observation", "buffer", "bytes", f"add {result['num_envs']} to {ends[0]}, µs",
               f"to {ends[1]}", f"sample {result['batch_size']} of {ends[0]}, µs",
               f"of {ends[1]}"]  # fmt: skip
    lead = (
        "The replay buffer beside flashbax's (the flat one stores no next observation). Nothing in "
        "the uniform one depends on the capacity but the memory it reaches into; a sample of "
        "prioritised ones includes setting its priorities:\n\n"
    )
    return lead + _markdown(columns, lines, 2) + _measured(result)


def start() -> str:
    """Return the seconds to the first update."""
    result = _read("compile")
    lines = [
        [f"`{cell['config']}`", str(cell["seeds"])]
        + [f"{stages['total']:.1f} s" for stages in cell["starts"].values()]
        for cell in result["cells"]
    ]
    columns = ["start to first update", "seeds", *result["cells"][0]["starts"]]
    return _markdown(columns, lines, 1) + _measured(result)


def sweeps() -> str:
    """Return what a sweep costs beside the same agents trained in another way."""
    result = _read("sweeps")
    lines = []
    for name, found in result["results"].items():
        first, second = (statistics.median(times) for times in found["seconds"].values())
        lines.append([name, f"{first:.1f} s", f"{second:.1f} s", f"{found['ratio']:.2f}"])
    columns = ["training", "first", "second", "first / second"]
    return _markdown(columns, lines, 1) + _measured(result)


def autoreset() -> str:
    """Return what resets cost, one line for each kind of observation."""
    result = _read("autoreset")
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
    return _markdown(columns, lines, 1) + _measured(result)


def throughput() -> str:
    """Return trainings over seeds and environments."""
    result = _read("throughput")
    lines = [
        [f"`{cell['config']}`", str(cell["seeds"]), str(cell["num_envs"]),
         f"{cell['env_steps_per_second']['median']:,.0f}",
         f"{cell['env_steps_per_second_without_learning']['median']:,.0f}",
         f"{cell['updates_per_second']['median']:,.0f}",
         f"{cell['share_of_matmul_ceiling']:.0%}"]
        for cell in result["cells"]
    ]  # fmt: skip
    columns = ["configuration", "seeds", "environments", "env-steps/s", "without learning",
               "updates/s", "of the matmul ceiling"]  # fmt: skip
    return _markdown(columns, lines, 1) + _measured(result)


def corridors_13() -> str:
    """Return what the larger mazes came to, which take a GPU."""
    result = _read("corridors_13")
    curve = result["curve"]
    rows = range(3, len(curve["env_steps"]), 4)
    steps = [f"{curve['env_steps'][row] / 1e6:.1f} M" for row in rows]
    shares = [f"{curve['held_out_success'][row]:.0%}" for row in rows]
    lead = (
        f"On a GPU, 13×13 corridors, 32,768 training levels, a residual network, one seed "
        f"(`{result['command']}`): {curve['held_out_success'][-1]:.1%} of 512 unseen mazes and "
        f"{curve['success'][-1]:.1%} of the training mazes solved after "
        f"{result['train_seconds'] / 60:.1f} minutes.\n\n"
    )
    lines = [["unseen mazes solved", *shares]]
    provenance = harness.provenance(f"-m {result['command']}", result["machine"])
    return lead + _markdown(["environment steps", *steps], lines, 1) + f"\n\n{provenance}"


def gpu() -> str:
    """Return what longer trainings come to, which take a GPU."""
    result = _read("gpu")
    table = _by_return(result, ["configuration", "with"], seconds=True)
    return table + _of_pair(result) + _again(result, "gpu")


def laws(name: str) -> str:
    """Return the laws that were tried, and how well they hold."""
    result = _read(name)
    lines = []
    for row in result["laws"]:
        if row.get("error"):
            found = row["error"].splitlines()[0]
        elif row["tolerance"] is None:
            found = ""
        elif row["tolerance"] == 0:
            found = f"{row['unequal']:,} numbers of other bits"
        else:
            found = f"{row['difference']:.1e} of {row['tolerance']:.0e} allowed"
        lines.append([row["law"], row["name"], "yes" if row["held"] else "**no**", found])
    lead = (
        "The laws where JAX ran, of a tiny maze agent; differences are to one more than the "
        "number's size:\n\n"
    )
    columns = ["law", "what", "held", "largest difference"]
    return lead + _markdown(columns, lines, 2) + _measured(result)


def profile(name: str) -> str:
    """Return what one iteration takes, and its slowest kernels for the most seeds."""
    result = _read(name)
    ceiling = result["bytes_per_second"]
    lines = []
    for found in result["profiles"]:
        rate = found["bytes"] / found["busy_microseconds"] * 1e6
        lines.append([
            f"{found['seeds']:,}", f"{found['span_microseconds']:,.1f}",
            f"{found['busy_microseconds']:,.1f}", f"{found['launches']:,.0f}",
            f"{found['bytes'] / 1e6:,.2f}", f"{rate / ceiling:.0%}",
        ])  # fmt: skip
    columns = ["seeds", "µs of an iteration, traced", "µs of its kernels", "kernels", "MB",
               "of the memory's bandwidth"]  # fmt: skip
    last = result["profiles"][-1]
    slowest = [
        [f"`{row['op']}`", f"`{row['source']}`" if row["source"] else "",
         f"{row['launches']:.0f}", f"{row['microseconds']:,.2f}",
         "unknown" if row["bytes"] is None else f"{row['bytes'] / 1e6:,.3f}"]
        for row in last["kernels"][:10]
    ]  # fmt: skip
    lead = (
        "One iteration of ours (16 environment steps, one update of 64-64), from the device's "
        "trace; bytes as XLA's text says, each number once:\n\n"
    )
    between = f"\n\nThe slowest of {len(last['kernels'])} kernels with {last['seeds']:,} seeds:\n\n"
    kernels = _markdown(["kernel", "of", "times", "µs", "MB"], slowest, 2)
    return lead + _markdown(columns, lines, 0) + between + kernels + _measured(result)


def main_job(name: str) -> str:
    """Return the seconds of the main job from start to end."""
    result = _read(name)
    lines = []
    for row in result["jobs"]:
        summary = row["summary"]
        reached = f"{summary['shortest_path_seeds']['count']:,} of {summary['seed_count']:,}"
        lines.append([f"`{row['command']}`", f"{row['seconds']:.0f} s",
                      f"{summary['train_seconds']:.1f} s", reached])  # fmt: skip
    columns = ["command", "whole command", "training alone", "walk the shortest path"]
    return _markdown(columns, lines, 1) + _measured(result)


TABLES = {
    "results": results,
    "highlights": highlights,
    "configurations": lambda: configurations("readme", MEASURES),
    "family": lambda: configurations("family", OF_FAMILY),
    "zoo": zoo,
    "bars": bars,
    "memory": memory,
    "corridors_13": corridors_13,
    "gpu": gpu,
    "compare": compare,
    "methods": methods,
    "search": search,
    "language": language,
    "transfer": lambda: transfer("transfer"),
    "transfer_muon": lambda: transfer("transfer_muon"),
    "overestimation": overestimation,
    "compare_designs_cpu": lambda: design("compare_designs_cpu"),
    "compare_designs_one_core": one_core,
    "compare_designs_rainbow_cpu": lambda: rainbow_design("compare_designs_rainbow_cpu"),
    "compare_designs_rainbow_one_core": lambda: rainbow_design("compare_designs_rainbow_one_core"),
    "prices": prices,
    "rainbow": rainbow,
    "compare_designs_gpu": lambda: design("compare_designs_gpu"),
    "compare_designs_wide_gpu": lambda: design("compare_designs_wide_gpu"),
    "laws_plain_gpu": lambda: laws("laws_plain_gpu"),
    "laws_gpu": lambda: laws("laws_gpu"),
    "profile_gpu": lambda: profile("profile_gpu"),
    "job_gpu": lambda: main_job("job_gpu"),
    "peers": peers,
    "peers_iqn": peers_iqn,
    "rollouts": rollouts,
    "minatar": minatar,
    "throughput": throughput,
    "sweeps": sweeps,
    "environments": environments,
    "autoreset": autoreset,
    "replay": replay,
    "compile": start,
}
"""What stands between the markers ``<!-- name -->`` and ``<!-- end of name -->``."""


def main() -> None:
    """Replace every table in every README that has its markers."""
    shown = "".join(path.read_text(encoding="utf-8") for path in harness.READMES)
    for name, table in TABLES.items():
        if f"<!-- {name} -->" not in shown:
            continue
        for path in harness.replace_in_readme(name, table()):
            print(f"{path.relative_to(harness.ROOT)}: {name}")


def _read(name: str) -> dict[str, Any]:
    return json.loads((harness.RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _first(rows: list[dict[str, Any]], like: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next(row for row in rows if all(row[key] == like[key] for key in keys))


def _reached(summary: dict[str, Any]) -> str:
    count, final = summary["seed_count"], summary["final"]
    if "held_out_success" in final:
        return f"{final['held_out_success']['mean']:.1%} of unseen mazes solved, {count} seeds"
    if "shortest_path_seeds" in summary:
        walk = summary["shortest_path_seeds"]["count"]
        return f"{walk} of {count} seeds walk the shortest path"
    return f"greedy return {_interval(final, 'eval_return', 1)} over {count} seeds"


def _interval(final: dict[str, Any], measure: str, digits: int) -> str:
    if measure not in final:
        return ""
    found = final[measure]
    return f"{found['mean']:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


def _difference(part: dict[str, float]) -> str:
    return f"{part['mean']:.2f} [{part['low']:.2f}, {part['high']:.2f}]"


def _markdown(columns: list[str], rows: list[list[str]], left: int) -> str:
    rule = ["---"] * left + ["---:"] * (len(columns) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, rule, *rows))


def _measured(result: dict[str, Any]) -> str:
    return "\n\n" + harness.provenance(result["command"], result["machine"])


def _again(result: dict[str, Any], group: str) -> str:
    """Return where a group of trainings was measured, whichever of them came last."""
    return "\n\n" + harness.provenance(f"benchmarks/readme.py --{group}", result["machine"])


if __name__ == "__main__":
    main()
