"""The main job from start to end: seconds of ``jaxdqn train configs/maze.toml``, for many seeds.

    python benchmarks/main_job.py --seeds 16 1024

Importing this module starts no JAX: each training is a process of its own, and on a GPU the first
process to start takes most of the memory.
"""

import subprocess
import tempfile
from pathlib import Path

import harness
import jax
import readme


def main() -> None:
    """Print the table and write ``job_gpu.json``, or ``job_cpu.json``."""
    parser = harness.options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[16, 1024])
    options = parser.parse_args()
    rows, failed = [], []
    for count in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = readme.run("maze", count, Path(folder), options.quick)
                rows.append({"seeds": count, **found})
            except subprocess.CalledProcessError as error:
                failed.append(f"{count} seeds ended with status {error.returncode}")
    path = harness.save(f"job_{jax.default_backend()}", {"jobs": rows}, options.out)
    cells = [
        [f"{row['seeds']:,}", f"{row['seconds']:.1f} s",
         f"{row['summary']['train_seconds']:.1f} s",
         f"{row['summary']['shortest_path_seeds']['count']:,}"]
        for row in rows
    ]  # fmt: skip
    columns = ["seeds", "whole command", "training alone", "walk the shortest path"]
    harness.show("jaxdqn train configs/maze.toml", columns, cells)
    print(path)
    if failed:
        raise SystemExit(f"{'; '.join(failed)}.")


if __name__ == "__main__":
    main()
