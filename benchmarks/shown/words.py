"""Words, intervals and tables that what the READMEs show is made of."""

import json
from typing import Any

import harness


def result_of(name: str) -> dict[str, Any]:
    """Return what a benchmark left."""
    return json.loads((harness.RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def row_like(rows: list[dict[str, Any]], like: dict[str, Any], keys: tuple[str, ...]) -> Any:
    """Return the first of the rows that equals this one in some entries."""
    return next(row for row in rows if all(row[key] == like[key] for key in keys))


def outcome(summary: dict[str, Any]) -> str:
    """Return what a training reached, in a few words."""
    count, final = summary["seed_count"], summary["final"]
    if "held_out_success" in final:
        return f"{final['held_out_success']['mean']:.1%} of unseen mazes solved, {count} seeds"
    if "shortest_path_seeds" in summary:
        walk = summary["shortest_path_seeds"]["count"]
        return f"{walk} of {count} seeds walk the shortest path"
    return f"greedy return {interval(final, 'eval_return', 1)} over {count} seeds"


def interval(final: dict[str, Any], measure: str, digits: int) -> str:
    """Return a measure's mean and interval, or nothing where there is none."""
    if measure not in final:
        return ""
    found = final[measure]
    return f"{found['mean']:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


def difference(part: dict[str, float]) -> str:
    """Return a difference and its interval."""
    return f"{part['mean']:.2f} [{part['low']:.2f}, {part['high']:.2f}]"


def markdown(columns: list[str], rows: list[list[str]], left: int) -> str:
    """Return a table whose first columns, so many, are words."""
    rule = ["---"] * left + ["---:"] * (len(columns) - left)
    return "\n".join("| " + " | ".join(line) + " |" for line in (columns, rule, *rows))


def measured(result: dict[str, Any]) -> str:
    """Return the command, the machine and the date."""
    return "\n\n" + harness.provenance(result["command"], result)


def measured_as(result: dict[str, Any], group: str) -> str:
    """Return where a group of trainings was measured, whichever of them came last."""
    command = "benchmarks/readme.py" + (f" --{group}" if group != "readme" else "")
    return "\n\n" + harness.provenance(command, result)
