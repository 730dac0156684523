"""Does reading mazes first make a Q-network learn sooner? Six arms, paired seeds.

    python benchmarks/transfer.py --pretrained runs/lm --finetuned runs/lm-finetuned \
        --permuted runs/lm-permuted

Double DQN on configs/transformer_maze.toml, judged on mazes that nobody has seen: the transformer
from scratch, from pre-training, from fine-tuning, that with its trunk frozen, from pre-training on
mazes whose cells are permuted (weights of the same scale that know nothing of mazes), and the
residual network. Each arm's learning rate is the best of a few on seeds of its own. The run folders
are those of ``jaxdqn pretrain configs/language.toml``, ``jaxdqn finetune`` and ``jaxdqn pretrain
configs/language.toml --permuted True``; without them ``--quick`` makes tiny ones. Linear probes say
what each trunk knows of a maze before a Q-network begins with it; a second figure adds the seconds
that reading took.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdqn.parallel import devices

devices.use_cores()

import harness  # noqa: E402  (after the devices are set)
import jax  # noqa: E402
import matplotlib  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from jaxdqn import Config, load_config, statistics  # noqa: E402
from jaxdqn.language import config as language  # noqa: E402
from jaxdqn.language import probing, training  # noqa: E402
from jaxdqn.metrics import concatenate  # noqa: E402
from jaxdqn.parallel import seeds  # noqa: E402
from jaxdqn.runs import reading  # noqa: E402

matplotlib.use("Agg")
COLOURS = {
    "scratch": "#555555", "pre-trained": "#56b4e9", "fine-tuned": "#0072b2", "frozen": "#009e73",
    "permuted": "#cc79a7", "residual": "#d55e00",
}  # fmt: skip
READ = {
    "scratch": (), "pre-trained": ("pretrained",), "fine-tuned": ("pretrained", "finetuned"),
    "frozen": ("pretrained", "finetuned"), "permuted": ("permuted",), "residual": (),
}  # fmt: skip
"""What was read before, by arm."""
TUNING_SEEDS = range(1_000, 1_002)


def arms(base: Config, folders: Mapping[str, str]) -> dict[str, Config]:
    """Return what each arm trains, but for the learning rate."""
    planes = {**base.env_kwargs, "observation": "planes"}
    residual = base.replace(network="residual", env_kwargs=planes, widths=(128,), channels=16)
    return {
        "scratch": base,
        "pre-trained": base.replace(pretrained=folders["pretrained"]),
        "fine-tuned": base.replace(pretrained=folders["finetuned"]),
        "frozen": base.replace(pretrained=folders["finetuned"], trunk_rate=0.0),
        "permuted": base.replace(pretrained=folders["permuted"]),
        "residual": residual,
    }


def tiny(folder: Path, base: Config) -> dict[str, str]:
    """Read for a moment in three run folders, for tests."""
    kwargs = {name: base.env_kwargs[name] for name in ("generator", "height", "width",
              "num_levels", "num_held_out")}  # fmt: skip
    settings = language.LanguageConfig(
        layers=base.layers, heads=base.heads, width=base.width, env_kwargs=kwargs, mazes=64,
        path_length=24, batch_size=4, updates=2, evaluations=1, eval_texts=4, finetune_updates=2,
    )  # fmt: skip
    key = jax.random.key(0)
    model, _ = training.pretrain(settings, key)
    found = {"pretrained": (settings, model)}
    found["finetuned"] = (
        language.for_finetuning(settings), training.finetune(settings, model, key)[0]
    )  # fmt: skip
    mixed = settings.replace(permuted=True)
    found["permuted"] = (mixed, training.pretrain(mixed, key)[0])
    for name, (config, state) in found.items():
        begun = reading.begin(folder / name, config, state)
        reading.save(folder / name, begun)
        reading.write_weights(folder / name, begun.state.params)
    return {name: str(folder / name) for name in found}


def train(config: Config, numbers: range) -> tuple[np.ndarray, np.ndarray, float]:
    """Return environment steps ``[T]``, success on unseen mazes ``[S, T]``, and seconds."""
    began = time.perf_counter()
    rows = [row for _, row in seeds.train_in_periods(config, numbers) if row is not None]
    metrics = concatenate(rows)
    assert metrics.held_out is not None
    assert metrics.held_out.success is not None
    steps, success = np.asarray(metrics.env_steps)[0], np.asarray(metrics.held_out.success)
    return steps, success, time.perf_counter() - began


def steps_to(steps: np.ndarray, success: np.ndarray, share: float) -> list[float | None]:
    """Return the steps after which each seed first solves this share; None where it never does."""
    return [float(steps[row >= share][0]) if (row >= share).any() else None for row in success]


def compare(
    which: Mapping[str, Config], rates: list[float], tuning: range, numbers: range
) -> dict[str, Any]:
    """Choose each arm's learning rate on seeds of its own, then train all on the same ones."""
    results: dict[str, Any] = {}
    for name, config in which.items():
        tried = {rate: float(train(config.replace(learning_rate=rate), tuning)[1].mean())
                 for rate in rates} if len(rates) > 1 else {}  # fmt: skip
        best = max(tried, key=lambda rate: tried[rate], default=rates[0])
        steps, success, seconds = train(config.replace(learning_rate=best), numbers)
        results[name] = {
            "learning_rate": best,
            "tried": {str(rate): score for rate, score in tried.items()},
            "steps": steps.tolist(),
            "success": success.tolist(),
            "curve": [statistics.summarise(column) for column in success.T],
            "steps_to_half": steps_to(steps, success, 0.5),
            "steps_to_nine_tenths": steps_to(steps, success, 0.9),
            "seconds": seconds,
        }
        print(f"{name}: learning rate {best:g}, at the end {success[:, -1].mean():.3f}, "
              f"{seconds:.0f} s", flush=True)  # fmt: skip
    first = np.asarray(results["scratch"]["success"]).mean(axis=1)
    for found in results.values():
        each = np.asarray(found["success"]).mean(axis=1)
        gain = statistics.difference(jax.random.key(0), each, first, paired=True)
        found["more_than_scratch"] = [float(x) for x in gain]
    return results


def probe(folders: Mapping[str, str]) -> dict[str, Any]:
    """Return what linear probes find in each trunk, and in one that has read nothing."""
    key = jax.random.key(0)
    runs = {name: reading.restore(Path(where)) for name, where in folders.items()}
    found = {name: (run.config, run.state.params) for name, run in runs.items()}
    config = runs["pretrained"].config
    found["scratch"] = (config, training.init(config, key).params)
    return {name: probing.probe(*model, key) for name, model in found.items()}


def draw(results: Mapping[str, Any], cost: Mapping[str, float], count: int) -> Figure:
    """Draw success on unseen mazes by steps, and by seconds with those of reading before."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    by_steps, by_seconds = figure.subplots(1, 2, sharey=True)
    for name, found in results.items():
        low, middle, high = ([row[part] for row in found["curve"]]
                             for part in ("low", "mean", "high"))  # fmt: skip
        steps = np.asarray(found["steps"])
        before = sum(cost.get(read, 0.0) for read in READ[name])
        seconds = before + found["seconds"] * steps / steps[-1]
        for axes, along in ((by_steps, steps), (by_seconds, seconds)):
            axes.plot(along, middle, color=COLOURS[name], label=name)
            axes.fill_between(along, low, high, color=COLOURS[name], alpha=0.2, linewidth=0)
    by_steps.set_xlabel("environment steps")
    by_seconds.set_xlabel("seconds for all seeds, after those of reading")
    by_steps.set_ylabel("unseen mazes solved")
    by_steps.legend(frameon=False)
    figure.suptitle(f"mean of {count} seeds and its 95 % bootstrap interval", fontsize=10)
    return figure


def main() -> None:
    """Print a line for each arm; write ``transfer.json`` and ``transfer.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("pretrained", "finetuned", "permuted"):
        parser.add_argument(f"--{name}", default="", help="run folder of the language model")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--arms", nargs="+", choices=list(COLOURS), help="and scratch; else all")
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-4, 5e-4, 1e-3])
    parser.add_argument("--quick", action="store_true", help="a short training, for tests")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    base = load_config(harness.ROOT / "configs" / "transformer_maze.toml")
    folders = {name: getattr(options, name) for name in ("pretrained", "finetuned", "permuted")}
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            small = {**base.env_kwargs, "height": 5, "width": 5, "num_levels": 20,
                     "num_held_out": 20}  # fmt: skip
            base = base.replace(
                env_kwargs=small, layers=1, heads=2, width=8, total_steps=256, warmup_steps=64,
                num_envs=8, batch_size=8, evaluations=2, eval_episodes=4, eval_steps=10,
                oracle_levels=2, capacity=512,
            )  # fmt: skip
            folders = tiny(Path(folder), base)
        tuning = range(TUNING_SEEDS.start, TUNING_SEEDS.start + 1) if options.quick else (
            TUNING_SEEDS)  # fmt: skip
        which = arms(base, folders)
        chosen = {"scratch", *(options.arms or which)}
        which = {name: config for name, config in which.items() if name in chosen}
        results = compare(which, options.rates, tuning, range(options.seeds))
        probes = probe(folders)
    cost = {name: json.loads((Path(where) / "summary.json").read_text())["seconds"]
            for name, where in folders.items() if not options.quick}  # fmt: skip
    path = harness.save(
        "transfer",
        {"seeds": options.seeds, "arms": results, "probes": probes, "seconds_of_reading": cost},
        options.out,
    )
    draw(results, cost, options.seeds).savefig(path.with_suffix(".png"), dpi=130)
    print(path)


if __name__ == "__main__":
    main()
