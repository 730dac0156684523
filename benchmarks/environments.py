"""Stepping our maze against the mazes of other libraries: same size, batch, actions, one run.

    python benchmarks/environments.py

All reset by themselves, with a time limit of 100 steps. What can't be made equal: gymnax's rooms
are laid out once and for all; Jumanji makes a maze for each episode; Navix and XLand-MiniGrid turn
and walk (here in empty rooms, their fastest); each observes in its own way. Installs each library
that isn't there yet in a virtual environment of its own.
"""

from pathlib import Path
from typing import Any

import harness
import rivals

SIZE, LIMIT = 13, 100
# Library, what it steps, and how the table calls it.
ENVIRONMENTS = [
    ("ours", "1 position", "ours, one maze"),
    ("ours", "1024 position", "ours, 1,024 mazes"),
    ("ours", "1024 planes", "ours, 1,024 mazes, planes"),
    ("gymnax", "FourRooms-misc", "gymnax FourRooms"),
    ("gymnax", "MetaMaze-misc", "gymnax MetaMaze"),
    ("jumanji", "Maze", "Jumanji Maze"),
    ("navix", "symbolic", "Navix Empty"),
    ("xminigrid", "MiniGrid-EmptyRandom-16x16", "XLand-MiniGrid Empty"),
]


def compare(batch: int, options: Any) -> list[dict[str, Any]]:
    """Step all environments in turn with one batch size."""
    chosen = [each for each in ENVIRONMENTS if each[0] in options.only]
    rows = []
    with rivals.several("step.py", chosen, options.venvs) as running:
        facts = {
            each: worker.ask(
                prepare={"kind": each[1], "size": SIZE, "limit": LIMIT, "batch": batch,
                         "length": 32, "seconds": 0.0 if options.quick else 1.0}
            )
            for each, worker in running.items()
        }  # fmt: skip
        seconds = rivals.interleave(running, 1 if options.quick else options.repeats)
    for each, found in facts.items():
        rate = harness.rate(found["steps"], seconds[each])
        rows.append({"environment": each[2], "batch": batch, "steps_per_second": rate, **found})
    return rows


def main() -> None:
    """Print the table and write ``environments.json``."""
    parser = harness.options(__doc__)
    libraries = list(dict.fromkeys(library for library, _, _ in ENVIRONMENTS))
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 4096])
    parser.add_argument("--only", nargs="+", default=libraries, choices=libraries)
    parser.add_argument("--venvs", type=Path, default=rivals.CACHE, help="virtual environments")
    options = harness.parse(parser, "batches", "only")
    rows = [row for batch in options.batches for row in compare(batch, options)]
    cells = []
    for row in rows:
        mine = next(r for r in rows if r["batch"] == row["batch"])["steps_per_second"]["median"]
        cells.append([
            row["environment"],
            str(row["batch"]),
            harness.say(row["steps_per_second"]),
            f"{mine / row['steps_per_second']['median']:.2f} ×",
            f"{row['trace_seconds']:.1f} + {row['compile_seconds']:.1f} s",
        ])  # fmt: skip
    first = rows[0]["environment"]
    columns = ["environment", "batch", "steps/s", f"{first} is", "trace + compile"]
    harness.show(f"stepping {SIZE} × {SIZE}", columns, cells)
    print(harness.save("environments", {"size": SIZE, "limit": LIMIT, "rows": rows}, options.out))


if __name__ == "__main__":
    main()
