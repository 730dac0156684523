"""Regenerate the results that the READMEs show: every shipped configuration, by its own command.

    python benchmarks/readme.py          # those results
    python benchmarks/readme.py --family # of the methods from C51 to Rainbow
    python benchmarks/readme.py --search # of a sweep of 256 random settings
    python benchmarks/readme.py --zoo    # of gymnax's environments
    python benchmarks/readme.py --bars   # of methods where a known score is to be reached
    python benchmarks/readme.py --memory # of networks that remember, and of those that don't
    python benchmarks/readme.py --gpu    # of trainings that take a GPU
    python benchmarks/readme.py --all    # most tables and figures of the READMEs; takes hours

Each configuration is trained by the command line in a process of its own, timed as a person would
time it; the tables and the pictures are then replaced.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
import tables

RUNS = {
    "maze": 16, "seed_maze": 16, "residual_maze": 4, "corridors": 3, "planning": 4,
    "corridors_13": 4, "cartpole": 8, "four_rooms": 8,
}  # fmt: skip
FAMILY = {"c51": 8, "qr_dqn": 8, "iqn": 8, "munchausen": 8, "rainbow": 8}
ZOO = {
    "acrobot": 8, "acrobot updates": "8 --num_envs 16 --updates_per_step 1", "mountain_car": 8,
    "catch": 8, "deep_sea": 16, "frozen_lake": 8, "freeway": 2,
    "breakout": 4, "rainbow_breakout": 4, "pqn_breakout": 4,
    "pqn_breakout invaders": "4 --env SpaceInvaders-MinAtar",
    "pqn_breakout memory": "4 --memory gru --total_steps 491520",
}  # fmt: skip
PAIRS = {
    "zoo": ("breakout", "rainbow_breakout", "eval_return"),
    "memory": ("view_maze none", "view_maze", "held_out_success"),
    "gpu": ("breakout million", "rainbow_breakout million", "eval_return"),
}
"""Group → the second of these is compared with the first, too, by a measure along training."""
ONE_STEP = "--n_step 1 --learning_rate 1e-3 --total_steps 450000 --epsilon_steps 75000"
# CartPole's returns, discounted, are at most 100.
POLE = {
    "C51": "--head categorical --v_min 0 --v_max 100",
    "QR-DQN": "--head quantile",
    # These two twice: by the shipped steps, and by more.
    "IQN shipped": "--head implicit_quantile --fractions 8",
    "IQN": f"--head implicit_quantile --fractions 8 {ONE_STEP}",
    "Munchausen shipped": "--bootstrap munchausen --no-double",
    "Munchausen": "--bootstrap munchausen --no-double --total_steps 300000",
    "Rainbow": "--head categorical --v_min 0 --v_max 100 --replay prioritised --dueling --noisy",
    "one step": ONE_STEP,
}
VARIED = ("Munchausen shipped", "Munchausen", "Rainbow")
"""Of these, by the shipped steps, eight seeds of one day were above 490, of another about 475."""
BARS = {
    **{
        f"cartpole {name}": f"{24 if name in VARIED else 8} {words}" for name, words in POLE.items()
    },
    "deep_sea noisy": "16 --noisy",
    "deep_sea n_step": "16 --n_step 10",
}
"""Name of a configuration and what it is then; seeds, and options."""
NONE = "--memory none"
MEMORY = {
    "t_maze": 8, "t_maze none": f"8 {NONE}", "r2d2_t_maze": 8,
    "t_maze 30": "8 --env_params.length 30 --total_steps 614400 --epsilon_steps 200000 "
    "--learning_rate_end_factor 0",
    "ppo_t_maze": 8, "ppo_t_maze none": f"8 {NONE}",
    "view_maze": 3, "view_maze none": f"3 {NONE}",
}  # fmt: skip
MILLION = "8 --total_steps 1000000"
GPU = {
    "pqn_breakout ten": "4 --total_steps 9830400 --epsilon_steps 1000000",
    "breakout million": MILLION, "rainbow_breakout million": MILLION,
}  # fmt: skip
GROUPS: dict[str, dict[str, Any]] = {
    "readme": RUNS, "family": FAMILY, "zoo": ZOO, "bars": BARS, "memory": MEMORY, "gpu": GPU,
}  # fmt: skip
PICTURES = {"maze": ("policy", "curves"), "corridors_13": ("levels", "curves")}
OTHERS = [
    "readme.py --family",
    "readme.py --zoo",
    "readme.py --bars",
    "readme.py --memory",
    "readme.py --compare",
    "methods.py",
    "rollouts.py --env_steps 102400 --repeats 2",
    "minatar.py --seeds 3",
    "readme.py --search",
    "sweeps.py",
    "autoreset.py --repeats 5 --steps 500",
    "overestimation.py",
    "larger_mazes.py",
    "compare_designs.py --networks small large --repeats 5",
    "compare_designs.py --seeds 1 --cores 1",
    "peers.py",
    "peers.py --iqn --repeats 2",
    "throughput.py",
    "environments.py",
    "replay.py",
    "compile.py",
    "tables.py",
]
QUICK = ["--total_steps", "5000", "--warmup_steps", "992", "--epsilon_steps", "1000",
         "--evaluations", "2", "--eval_steps", "5"]  # fmt: skip


PROGRAM = [sys.executable, "-m", "jaxdqn", "--cache", "off"]
"""As a person starts it who never trained the same before: everything is compiled."""


def left(file: Path) -> dict[str, Any]:
    """Return what a command has left, without its words, which name a folder that goes."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name != "command"}


def run(name: str, how: Any, folder: Path, quick: bool, cores: int | None = None) -> dict[str, Any]:
    """Train one configuration; return its summary and the seconds of the whole command."""
    command = ["train", f"configs/{name.split()[0]}.toml", "--seeds", *str(how).split()]
    before = ["--cores", str(cores)] if cores else []
    extra = QUICK if quick else []
    began = time.perf_counter()
    subprocess.run(
        [*PROGRAM, *before, *command, "--out", str(folder / name), *extra],
        cwd=harness.ROOT,
        check=True,
    )
    seconds = time.perf_counter() - began
    summary = left(folder / name / "summary.json")
    return {"command": " ".join(["jaxdqn", *command]), "seconds": seconds, "summary": summary}


SEARCH = ["sweep", "configs/maze.toml", "--random", "256", "--learning_rate", "1e-5:1e-2",
          "--discount", "0.8:0.99", "--seeds", "4"]  # fmt: skip


def search(out: Path, quick: bool, raw: Path | None) -> None:
    """Train random settings by the command line; keep what it found and its heat map."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        kept = raw or Path(folder) / "search"
        small = ["--random", "4", *QUICK] if quick else []
        began = time.perf_counter()
        subprocess.run(
            [*PROGRAM, *SEARCH, *small, "--out", str(kept)],
            cwd=harness.ROOT,
            check=True,
        )
        seconds = time.perf_counter() - began
        summary = left(kept / "summary.json")
        shutil.copy(kept / "heat_map.png", out / "search_heat_map.png")
    found = {"words": " ".join(["jaxdqn", *SEARCH]), "seconds": seconds, "summary": summary}
    harness.save("search", found, out)


def compare(out: Path, quick: bool) -> None:
    """Compare DQN with Double DQN by the command line; keep what it found and its figure."""
    command = ["compare", "configs/maze.toml", "configs/maze_dqn.toml", "--measure", "q_bias"]
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if quick:
            for name in ("maze", "maze_dqn"):
                content = (harness.ROOT / "configs" / f"{name}.toml").read_text(encoding="utf-8")
                content = content.replace("total_steps = 100_000", "total_steps = 5_000")
                content = content.replace("epsilon_steps = 40_000", "epsilon_steps = 500")
                (Path(folder) / f"{name}.toml").write_text(content, encoding="utf-8")
            command = ["compare", f"{folder}/maze.toml", f"{folder}/maze_dqn.toml", "--seeds", "2"]
        began = time.perf_counter()
        subprocess.run(
            [*PROGRAM, *command, "--out", f"{folder}/both"],
            cwd=harness.ROOT,
            check=True,
        )
        seconds = time.perf_counter() - began
        found = left(Path(folder) / "both" / "comparison.json")
        shutil.copy(Path(folder) / "both" / "comparison.png", out / "comparison.png")
    harness.save("comparison", {"seconds": seconds, **found}, out)


def compare_pair(folder: Path, first: str, second: str, measure: str) -> dict[str, Any]:
    """Compare the second of two runs with the first by the command line; return what it found."""
    pair = [str(folder / name) for name in (first, second)]
    command = [sys.executable, "-m", "jaxdqn", "compare", *pair, "--measure", measure]
    subprocess.run([*command, "--out", str(folder / "both")], cwd=harness.ROOT, check=True)
    return left(folder / "both" / "comparison.json")


def main() -> None:
    """Run everything; rewrite the READMEs unless told otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, READMEs left alone")
    every = [name for group in GROUPS.values() for name in group]
    parser.add_argument("--only", nargs="+", choices=every)
    parser.add_argument("--family", action="store_true", help="the methods from C51 to Rainbow")
    parser.add_argument("--zoo", action="store_true", help="gymnax's environments")
    parser.add_argument("--bars", action="store_true", help="methods, by a score to be reached")
    parser.add_argument("--memory", action="store_true", help="networks that remember, or don't")
    parser.add_argument("--gpu", action="store_true", help="trainings that take a GPU")
    parser.add_argument("--cores", type=int, help="CPU cores of each training, all by default")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    parser.add_argument("--all", action="store_true", help="then run every other benchmark")
    parser.add_argument("--compare", action="store_true", help="only the comparison")
    parser.add_argument("--search", action="store_true", help="only the sweep of random settings")
    parser.add_argument("--raw", type=Path, help="folder for that sweep, which is kept")
    options = parser.parse_args()
    if options.compare or options.search:
        if options.compare:
            compare(options.out, options.quick)
        else:
            search(options.out, options.quick, options.raw)
        if not options.quick:
            tables.main()
        return
    group = next((name for name in GROUPS if getattr(options, name, False)), "readme")
    if strange := set(options.only or ()) - set(GROUPS[group]):
        parser.error(f"--only {' '.join(sorted(strange))}: no part of what is to be run")
    before = harness.earlier(options.out / f"{group}.json", options.quick)
    found = {name: before[name] for name in ("results", "comparison") if name in before}
    results = found.setdefault("results", {})
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or GROUPS[group]:
            how = 2 if options.quick else GROUPS[group][name]
            results[name] = run(name, how, Path(folder), options.quick, options.cores)
            for picture in PICTURES.get(name, ()):
                source = Path(folder) / name / f"{picture}.png"
                shutil.copy(source, options.out / f"{name}_{picture}.png")
            *pair, measure = PAIRS.get(group, ("", "", ""))
            if name in pair and all((Path(folder) / one).exists() for one in pair):
                found["comparison"] = compare_pair(Path(folder), *pair, measure)
            # After each: whatever is stopped keeps what it has.
            kept = {name: results[name] for name in GROUPS[group] if name in results}
            harness.save(group, {**found, "results": kept}, options.out, parts=kept.values())
    if not options.quick:
        tables.main()
    if options.all:
        for script, *arguments in map(str.split, OTHERS):
            path = harness.ROOT / "benchmarks" / script
            subprocess.run([sys.executable, path, *arguments], check=True)


if __name__ == "__main__":
    main()
