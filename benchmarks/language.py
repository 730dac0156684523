"""What reading mazes comes to: pre-training above its exact floor, then fine-tuning, by seed.

    python benchmarks/language.py
    python benchmarks/language.py --only masked --seeds 1 --cores 1 --raw runs/language

Each model is read by the two commands that a person would give, ``jaxdqn pretrain
configs/language.toml`` and ``jaxdqn finetune``, and judged on mazes that it never read. With one
core each, as many seeds are read at a time as there are cores. What the folder for run folders has
already, by the same code of the package, isn't read again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import harness
import numpy as np

from jaxdqn import statistics
from jaxdqn.language.measures import SHARES

ADAMW = "--optimizer adamw --updates 8000 --finetune_updates 12000"
"""Twice as many updates as the shipped settings have, whose matrices Muon moves."""
ARMS = {
    "causal": "",
    "deep": "--layers 4 --learning_rate 4e-3 --updates 3000 --finetune_updates 4000",
    "large": "--env_kwargs.height 13 --env_kwargs.width 13 --path_length 90",
    "adamw": ADAMW,
    "masked": f"{ADAMW} --no-causal --finetune_starts 1",
    "loops": f"{ADAMW} --env_kwargs.generator braid",
    "short": f"{ADAMW} --longest 12 --finetune_longest 12",
}
"""Options of ``jaxdqn pretrain``."""
QUICK = ["--updates", "2", "--evaluations", "1", "--finetune_updates", "2", "--eval_texts", "8",
         "--warmup_updates", "1",
         "--mazes", "600", "--batch_size", "4", "--layers", "1", "--width", "8",
         "--env_kwargs.num_levels", "8", "--env_kwargs.num_held_out", "8"]  # fmt: skip
PICTURES = ("losses", "paths", "walls")


def read(folder: Path, arm: str, seed: int, cores: int | None, quick: bool) -> dict[str, Any]:
    """Pre-train and fine-tune one model; return both summaries."""
    where = folder / f"{arm}-{seed}"
    before = ["--cores", str(cores)] if cores else []
    extra = QUICK if quick else []
    commands = {
        "pretrain": (where, ["configs/language.toml", *ARMS[arm].split(), *extra]),
        "finetune": (where.with_name(f"{where.name}-finetuned"), [str(where)]),
    }
    found = {}
    for command, (out, words) in commands.items():
        if not (out / "summary.json").exists():
            shutil.rmtree(out, ignore_errors=True)
            given = [command, *words, "--seed", str(seed), "--out", str(out)]
            with (folder / f"{out.name}.log").open("w") as log:
                subprocess.run(
                    [sys.executable, "-m", "jaxdqn", *before, *given],
                    cwd=harness.ROOT,
                    check=True,
                    stdout=log,
                )
        found[command] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return found


def summarise(arm: str, models: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means over seeds with their intervals; of one seed's shares that over its paths."""

    def over_seeds(values: list[float]) -> dict[str, float]:
        return statistics.summarise(np.asarray(values)) if len(values) > 1 else {"mean": values[0]}

    def share(of: list[dict[str, float]]) -> dict[str, float]:
        return over_seeds([one["mean"] for one in of]) if len(of) > 1 else of[0]

    read, tuned = ([model[stage] for model in models] for stage in ("pretrain", "finetune"))
    found: dict[str, Any] = {
        "options": ARMS[arm],
        "seeds": len(models),
        "seconds": {stage: [model[stage]["seconds"] for model in models] for stage in models[0]},
        "losses": {name: over_seeds([one["final"][name] for one in read])
                   for name in ("board", "board_floor", "ends", "ends_floor", "path", "path_floor",
                                "perplexity") if not np.isnan(read[0]["final"][name])},
        "path_loss": over_seeds([one["final"]["path"] for one in tuned]),
    }  # fmt: skip
    if "board_divergence" in read[0]:
        found["divergence"] = over_seeds([one["board_divergence"]["sum"] for one in read])
    for way in ("greedy", "sampled"):
        found[way] = {name: share([one[way][name] for one in tuned]) for name in SHARES}
    found["by_moves"] = {
        moves: {"paths": sum(one["greedy"]["by_moves"][moves]["paths"] for one in tuned),
                **share([one["greedy"]["by_moves"][moves]["shortest"] for one in tuned])}
        for moves in tuned[0]["greedy"]["by_moves"]
        if all(moves in one["greedy"]["by_moves"] for one in tuned)
    }  # fmt: skip
    return found


def main() -> None:
    """Print a line for each arm; write ``language.json`` and the first model's pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cores", type=int, help="CPU cores of each training, all by default")
    parser.add_argument("--raw", type=Path, help="folder for the run folders, which are kept")
    parser.add_argument("--quick", action="store_true", help="a short training, for tests")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    arms = harness.earlier(options.out / "language.json", options.quick).get("arms", {})
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.raw / harness.code() if options.raw else Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        at_once = (os.cpu_count() or 1) // options.cores if options.cores else 1
        for arm in options.only:
            with ThreadPoolExecutor(at_once) as pool:
                models = list(pool.map(
                    lambda seed: read(folder, arm, seed, options.cores, options.quick),  # noqa: B023
                    range(options.seeds),
                ))  # fmt: skip
            arms[arm] = summarise(arm, models)
            kept = {name: arms[name] for name in ARMS if name in arms}
            harness.save("language", {"arms": kept}, options.out, parts=kept.values())
            for name in PICTURES if arm == "causal" else ():
                source = folder / f"causal-0{'' if name == 'walls' else '-finetuned'}"
                shutil.copy(source / f"{name}.png", options.out / f"language_{name}.png")
            shortest = arms[arm]["greedy"]["shortest"]
            print(f"{arm}: {shortest['mean']:.3f} exactly shortest, {options.seeds} seeds")


if __name__ == "__main__":
    main()
