"""What the READMEs show of what agents learn."""

from typing import Any

import harness

from shown.words import (
    difference,
    interval,
    markdown,
    measured,
    measured_as,
    outcome,
    result_of,
)


def results() -> str:
    """Return what each shipped configuration comes to, as short as the first README has it."""
    result = result_of("readme")
    lines = []
    for found in result["results"].values():
        summary = found["summary"]
        lines.append([f"`{found['command']}`", f"{summary['env_steps_per_seed']:,}",
                      outcome(summary), f"{found['seconds']:.0f} s"])  # fmt: skip
    table = markdown(
        ["command", "steps per seed", "what was reached", "with compilation"], lines, 1
    )
    # What was reached is words.
    table = table.replace("| --- | ---: | ---: | ---: |", "| --- | ---: | --- | ---: |")
    return table + measured_as(result, "readme")


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
    result = result_of(of)
    lines = []
    for name, found in result["results"].items():
        summary, final = found["summary"], found["summary"]["final"]
        lines.append(
            [f"`{name}.toml`", str(summary["seed_count"]), interval(final, "eval_return", 1)]
            + [interval(final, measure, 2) for measure in measures]
            + [f"{summary['train_seconds']:.0f} s", f"{found['seconds']:.0f} s"]
        )
    columns = ["configuration", "seeds", "greedy return", *measures.values(), "training",
               "whole command"]  # fmt: skip
    lead = "At the end of training, means over seeds with their 95 % bootstrap intervals:\n\n"
    return lead + markdown(columns, lines, 1) + measured_as(result, of)


AIMS = {
    "acrobot": "−100", "mountain_car": "−140", "catch": "1.00", "deep_sea": "0.99",
    "frozen_lake": "0.74", "cartpole": "475",
}  # fmt: skip
"""Greedy returns that are good; of DeepSea and FrozenLake the best there is."""


def zoo() -> str:
    """Return what the configurations of gymnax's environments come to."""
    result = result_of("zoo")
    return (
        _by_return(result, ["configuration", "with"])
        + _of_pair(result)
        + measured_as(result, "zoo")
    )


def bars() -> str:
    """Return what methods come to where a known score is to be reached."""
    result = result_of("bars")
    return _by_return(result, ["configuration", "with"]) + measured_as(result, "bars")


def memory() -> str:
    """Return what networks with and without a memory come to, and how far they differ."""
    result = result_of("memory")
    lines = []
    for found in result["results"].values():
        summary, (_, _, path, _, _, *options) = found["summary"], found["command"].split()
        lines.append([f"`{path.rpartition('/')[2]}`", f"`{' '.join(options)}`" if options else "",
                      str(summary["seed_count"]), f"{summary['env_steps_per_seed']:,}",
                      interval(summary["final"], "eval_return", 2),
                      interval(summary["final"], "held_out_success", 2)])  # fmt: skip
    columns = ["configuration", "with", "seeds", "steps per seed", "greedy return",
               "unseen mazes solved"]  # fmt: skip
    said = "Means over seeds at the end of training, with 95 % bootstrap intervals:\n\n"
    return said + markdown(columns, lines, 2) + _of_views(result) + measured_as(result, "memory")


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
                      interval(summary["final"], "eval_return", 2)])  # fmt: skip
    columns = [*columns, "seeds", "steps per seed", "training" if seconds else "good is",
               "greedy return"]  # fmt: skip
    return markdown(columns, lines, len(columns) - 4)


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


def compare() -> str:
    """Return what ``jaxdqn compare`` found of DQN and Double DQN."""
    result = result_of("comparison")
    (first, one), (second, other) = result["settings"].items()
    said = "established" if other["established"] else "not established"
    middle, low, high = other["difference"]
    return (
        f"`jaxdqn compare configs/{first}.toml configs/{second}.toml --measure "
        f"{result['measure']}` takes {result['seconds']:.0f} s: over training `{second}` values "
        f"exceed those of `{first}` by {middle:.3g} [{low:.3g}, {high:.3g}] "
        f"({one['seeds']} seeds each, paired), {said}.{measured(result)}"
    )


def methods() -> str:
    """Return how Double DQN, PQN and PPO compare, by steps and by seconds."""
    result = result_of("methods")
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
        + markdown(columns, lines, 2)
        + "\n\n"
        + harness.provenance("benchmarks/methods.py", result)
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
    result = result_of("search")
    found, minutes = result["summary"], result["seconds"] / 60
    return (
        f"`{result['words']}` trains {found['trained']:,} agents of 100,000 steps in "
        f"{minutes:.1f} minutes: {found['established']}.{measured(result)}"
    )


def larger_mazes() -> str:
    """Return how many mazes are solved that are larger, or of another kind, than those learned."""
    result = result_of("larger_mazes")
    lines = [
        [
            f"`{case['generator']}`, {case['size']}×{case['size']}",
            f"{case['longest']}",
            f"{case['success']['mean']:.1%}",
            f"{min(case['success of each seed']):.1%}",
            f"{case['spl']['mean']:.3f}",
        ]
        for case in result["cases"]
    ]
    columns = ["mazes", "longest way", "solved", "the least of any seed", "SPL"]
    return (
        f"`planning.toml`, {result['seeds']} seeds, {result['env_steps']:,} steps each on 7×7 "
        f"corridors, {result['training_seconds']:.0f} s for all of them with compilation; then "
        f"{result['mazes']} mazes each that were never seen, from corner to corner, by the same "
        "weights (SPL: 1 where every way is a shortest one):\n\n"
        f"{markdown(columns, lines, 1)}{measured(result)}"
    )


def overestimation() -> str:
    """Return how much DQN's values exceed Double DQN's."""
    result = result_of("overestimation")
    cases = result["cases"]
    found = "; ".join(
        f"{difference(case['all of training'])} with rewards ± {case['noise']:g}" for case in cases
    )
    late = "; ".join(difference(case["second half"]) for case in cases)
    return (
        f"Over all of training DQN's values exceed Double DQN's by {found} (mean of "
        f"{result['seeds']} paired seeds, 95 % bootstrap interval). The difference is made while "
        f"values spread through the maze; over the second half it is {late}. With ± "
        f"{cases[-1]['noise']:g} both stay below the exact values, DQN less far."
        f"{measured(result)} It took {result['seconds']:.0f} s."
    )


def rainbow() -> str:
    """Return what each step to Rainbow brought, one line for each, one column for each task."""
    result = result_of("rainbow")
    tasks = result["tasks"]
    names = dict.fromkeys(name for task in tasks for name in task["methods"])
    lines, count = [], 0
    for name in names:
        line = [name]
        for task in tasks:
            row = task["methods"].get(name, {})
            if "difference" not in row:
                line.append(difference(row["along"]["score"]) if row else "not run")
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
    return lead + markdown(columns, lines, 1) + measured(result) + took


def rainbow_noise() -> str:
    """Return what one draw of noise for all environments that act costs Rainbow."""
    result = result_of("rainbow_noise")
    (task,) = result["tasks"]
    each, one = task["methods"].values()
    return (
        f"On the {task['task']} of `rainbow.py` Rainbow succeeds, along training, "
        f"{difference(each['along']['score'])} of the time with a draw for each environment, "
        f"{difference(one['along']['score'])} with one for all: "
        f"{difference(one['difference']['score'])} ({result['seeds']} paired seeds)."
        f"{measured(result)}"
    )


def residual_13() -> str:
    """Return what a residual network came to in the larger mazes, which takes a GPU."""
    result = result_of("residual_13")
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
    provenance = harness.provenance(f"-m {result['command']}", result)
    return lead + markdown(["environment steps", *steps], lines, 1) + f"\n\n{provenance}"


def gpu() -> str:
    """Return what longer trainings come to, which take a GPU."""
    result = result_of("gpu")
    table = _by_return(result, ["configuration", "with"], seconds=True)
    return table + _of_pair(result) + measured_as(result, "gpu")
