"""Does reading mazes first make an agent learn sooner? Nine arms, paired seeds.

    python benchmarks/transfer.py --pretrained runs/lm --finetuned runs/lm-finetuned \
        --permuted runs/lm-permuted

Double DQN on configs/transformer_maze.toml, judged on mazes that nobody has seen: the transformer
from scratch, from pre-training, from fine-tuning, that with its language model frozen, that with a
head of its own in place of the model's words, from pre-training on mazes whose cells are permuted
(weights of the same scale that know nothing of mazes), and the residual network; then PPO on
configs/transformer_ppo.toml, whose policy is the fine-tuned model's own, and from scratch. Each
arm's learning rate is the best of a few on seeds of its own. The run folders are those of ``jaxdqn
pretrain configs/language.toml``, ``jaxdqn finetune`` and ``jaxdqn pretrain configs/language.toml
--permuted``; without them ``--quick`` makes tiny ones. Probes say what each model knows of a maze
before a Q-network begins with it; two more panels show what reading and learning cost.
"""

import argparse
import functools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxdqn.parallel import devices

devices.use_cores()

import harness  # noqa: E402  (after the devices are set)
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from jaxdqn import Config, init, load_config, statistics  # noqa: E402
from jaxdqn.assembly import assemble  # noqa: E402
from jaxdqn.config import scaled  # noqa: E402
from jaxdqn.language import config as language  # noqa: E402
from jaxdqn.language import losses, probing, training  # noqa: E402
from jaxdqn.language.config import LanguageConfig  # noqa: E402
from jaxdqn.metrics import concatenate  # noqa: E402
from jaxdqn.parallel import seeds  # noqa: E402
from jaxdqn.plots.style import (  # noqa: E402
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY,
    YELLOW,
    along_steps,
    plain,
)
from jaxdqn.runs import language_run  # noqa: E402
from jaxdqn.types import Array, Params  # noqa: E402

COLOURS = {
    "scratch": GREY, "pre-trained": SKY, "fine-tuned": BLUE, "frozen": GREEN,
    "new head": YELLOW, "permuted": PINK, "residual": ORANGE,
    "PPO, fine-tuned": BLACK, "PPO, scratch": "#999999",
}  # fmt: skip
READ = {
    "scratch": (), "pre-trained": ("pretrained",), "fine-tuned": ("pretrained", "finetuned"),
    "frozen": ("pretrained", "finetuned"), "new head": ("pretrained", "finetuned"),
    "permuted": ("permuted",), "residual": (),
    "PPO, fine-tuned": ("pretrained", "finetuned"), "PPO, scratch": (),
}  # fmt: skip
"""What was read before, by arm."""
TUNING_SEEDS = range(1_000, 1_002)
SLOWER = 0.1
"""Step size of a model that has read, as a share of its head's."""
TUNING = 0.5
"""Share of the steps in which learning rates are chosen."""


def arms(base: Config, ppo: Config, folders: Mapping[str, str]) -> dict[str, Config]:
    """Return what each arm trains, but for the learning rate."""
    planes = {**base.env_kwargs, "observation": "planes"}
    residual = base.replace(network="residual", env_kwargs=planes, widths=(128,), channels=16)
    unspoken = {"action_words": 0, "env_kwargs": {**base.env_kwargs, "observation": "text"}}

    def begun(name: str, rate: float = SLOWER) -> Config:
        return base.replace(pretrained=folders[name], trunk_rate=rate)

    return {
        "scratch": base,
        "pre-trained": begun("pretrained"),
        "fine-tuned": begun("finetuned"),
        "frozen": begun("finetuned", 0.0),
        "new head": begun("finetuned").replace(**unspoken),
        "permuted": begun("permuted"),
        "residual": residual,
        "PPO, fine-tuned": ppo.replace(pretrained=folders["finetuned"], trunk_rate=SLOWER),
        "PPO, scratch": ppo,
    }


def tiny(folder: Path, base: Config) -> dict[str, str]:
    """Read for a moment in three run folders, for tests."""
    kwargs = {name: base.env_kwargs[name] for name in ("generator", "height", "width",
              "num_levels", "num_held_out")}  # fmt: skip
    settings = LanguageConfig(
        layers=base.layers, heads=base.heads, width=base.width, env_kwargs=kwargs, mazes=64,
        path_length=24, batch_size=4, updates=2, evaluations=1, eval_texts=4, finetune_updates=2,
        warmup_updates=1,
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
        begun = language_run.begin(folder / name, config, state)
        language_run.save(folder / name, begun)
        language_run.write_weights(folder / name, begun.state.params)
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


def operations(config: Config) -> float:
    """Return the floating-point operations of a whole training, but for evaluations.

    One pass for each acting environment. In an update of Double DQN three of each transition (two
    networks on the next observation, one on this), and two more for the gradient; PPO has each
    step's pass and gradient in each epoch.
    """
    parts = assemble(config)
    obs = parts.environment.reset(jax.random.key(0), parts.env_params)[0]
    params = jax.eval_shape(lambda key: init(config, key), jax.random.key(0)).agent.params
    once = _operations_of(parts.method.outputs, params, obs)
    plan = config.schedule
    if config.method == "ppo":
        return once * plan.env_steps * (1 + 3 * config.epochs)
    return once * (plan.env_steps + 5 * plan.updates * config.batch_size)


def operations_of_reading(config: LanguageConfig, params: Params) -> float:
    """Return those of a language model's training: a pass and, twice as much, its gradient."""
    tokens = jnp.zeros(config.context + (config.starts - 1) * (config.path_length + 2), jnp.int32)
    read = functools.partial(losses.next_tokens, config)
    return 3 * _operations_of(read, params, tokens) * config.updates * config.batch_size


def _operations_of(function: Callable[..., Array], *arguments: Any) -> float:
    found: Any = jax.jit(function).lower(*arguments).cost_analysis()
    return float(found["flops"])


def steps_to(steps: np.ndarray, success: np.ndarray, share: float) -> list[float | None]:
    """Return the steps after which each seed first solves this share; None where it never does."""
    return [float(steps[row >= share][0]) if (row >= share).any() else None for row in success]


def compare(
    which: Mapping[str, Config],
    rates: list[float],
    tuning: range,
    numbers: range,
    results: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """Choose each arm's learning rate on seeds of its own, then train all on the same ones.

    Yields what there is after each arm, beside the results that there were.
    """
    for name, config in which.items():
        short = scaled(config, TUNING)
        tried = {rate: float(train(short.replace(learning_rate=rate), tuning)[1].mean())
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
            "flops": operations(config),
        }
        print(f"{name}: learning rate {best:g}, at the end {success[:, -1].mean():.3f}, "
              f"{seconds:.0f} s", flush=True)  # fmt: skip
        # Of those that there were, too: what they are compared with may be another now.
        for found in results.values():
            curves = np.asarray(found["success"])
            found["more_than_scratch"] = _gain(curves.mean(axis=1), results["scratch"], np.mean)
            if "frozen" in results:
                found["more_than_frozen_at_the_end"] = _gain(
                    curves[:, -1], results["frozen"], lambda curve: curve[-1]
                )
        yield results


def _gain(
    scores: np.ndarray, other: Mapping[str, Any], of: Callable[[np.ndarray], Any]
) -> list[float]:
    """Return the mean of paired differences to what ``of`` makes of another arm's curves."""
    theirs = np.asarray([of(np.asarray(curve)) for curve in other["success"]])
    found = statistics.difference(jax.random.key(0), scores, theirs, paired=True)
    return [float(x) for x in found]


def probe(folders: Mapping[str, str]) -> dict[str, Any]:
    """Return what linear probes find in each trunk, and in one that has read nothing."""
    key = jax.random.key(0)
    runs = {name: language_run.restore(Path(where)) for name, where in folders.items()}
    found = {name: (run.config, run.state.params) for name, run in runs.items()}
    config = runs["pretrained"].config
    found["scratch"] = (config, training.init(config, key).params)
    return {name: probing.probe(*model, key) for name, model in found.items()}


def costs(folders: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return the seconds and the operations of each run folder's reading."""
    found = {}
    for name, where in folders.items():
        run = language_run.restore(Path(where))
        flops = operations_of_reading(run.config, run.state.params)
        found[name] = {"seconds": run.seconds, "flops": flops}
    return found


def draw(results: Mapping[str, Any], cost: Mapping[str, Mapping[str, float]], count: int) -> Figure:
    """Draw success on unseen mazes by steps, the best arm first, and what each arm cost."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    along, end, *prices = figure.subplots(1, 4, width_ratios=(2.4, 1, 1, 1))
    best_first = sorted(results, key=lambda name: -results[name]["curve"][-1]["mean"])
    for place, name in enumerate(best_first):
        found, colour = results[name], COLOURS[name]
        low, middle, high = ([row[part] for row in found["curve"]]
                             for part in ("low", "mean", "high"))  # fmt: skip
        along.plot(found["steps"], middle, color=colour, linewidth=2, label=name)
        along.fill_between(found["steps"], low, high, color=colour, alpha=0.2, linewidth=0)
        end.plot([low[-1], high[-1]], [place, place], color=colour, linewidth=7, alpha=0.4,
                 solid_capstyle="butt")  # fmt: skip
        end.plot(middle[-1], place, "o", color=colour, markersize=5)
        of_agent = {"seconds": found["seconds"] / count, "flops": found["flops"]}
        for axes, of, unit in zip(prices, of_agent, (60, 1e12), strict=True):
            read = sum(cost[model][of] for model in READ[name]) / unit
            learned = of_agent[of] / unit
            axes.barh(place, read, color=colour, alpha=0.35, height=0.6)
            axes.barh(place, learned, left=read, color=colour, height=0.6)
            said = f"{read:.0f} + {learned:.1f}" if read else f"{learned:.1f}"
            axes.annotate(said, (read + learned, place), xytext=(3, 0), va="center", fontsize=8,
                          textcoords="offset points")  # fmt: skip
    along_steps(along)
    along.set_ylabel("share of unseen mazes solved")
    end.set_xlabel("the same at the end")
    prices[0].set_xlabel("minutes: reading + learning")
    prices[1].set_xlabel("TFLOP: reading + learning")
    for axes in (along, end, *prices):
        plain(axes)
    for axes in (end, *prices):
        axes.set_ylim(len(results) - 0.5, -0.5)
        axes.set_yticks(range(len(results)), best_first if axes is end else [])
    for axes in prices:
        axes.margins(x=0.35)
    figure.suptitle(
        f"what the trunk had read before: mean of {count} seeds and its 95 % bootstrap interval; "
        "cost of one agent, pale what was spent on reading",
        fontsize=10,
    )
    return figure


def main() -> None:
    """Print a line for each arm; write them to a JSON file, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option in ("--pretrained", "--finetuned", "--permuted"):
        parser.add_argument(option, default="", help="run folder of the language model")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument(
        "--arms", nargs="+", choices=list(COLOURS), help="train these alone; else all"
    )
    parser.add_argument("--name", default="transfer", help="of the results: models read otherwise")
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-4, 2e-3])
    parser.add_argument("--quick", action="store_true", help="a short training, for tests")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args()
    base, ppo = (
        load_config(harness.ROOT / "configs" / f"transformer_{name}.toml")
        for name in ("maze", "ppo")
    )
    folders = {name: getattr(options, name) for name in ("pretrained", "finetuned", "permuted")}
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            small = {**base.env_kwargs, "height": 5, "width": 5, "num_levels": 20,
                     "num_held_out": 20}  # fmt: skip
            tiny_words: dict[str, Any] = {
                "env_kwargs": small, "layers": 1, "heads": 2, "width": 8, "total_steps": 256,
                "num_envs": 8, "evaluations": 2, "eval_episodes": 4, "eval_steps": 10,
                "oracle_levels": 2,
            }  # fmt: skip
            base = base.replace(**tiny_words, warmup_steps=64, batch_size=8, capacity=512)
            ppo = ppo.replace(**tiny_words, rollout_steps=4, minibatches=2)
            folders = tiny(Path(folder), base)
        tuning = range(TUNING_SEEDS.start, TUNING_SEEDS.start + 1) if options.quick else (
            TUNING_SEEDS)  # fmt: skip
        which = arms(base, ppo, folders)
        kept = harness.earlier(options.out / f"{options.name}.json", options.quick)
        before = kept["arms"] if kept.get("seeds") == options.seeds else {}
        chosen = set(options.arms or which) | {"scratch"} - set(before)
        which = {name: config for name, config in which.items() if name in chosen}
        found = {
            "seeds": options.seeds,
            "probes": probe(folders),
            "cost_of_reading": costs(folders),
        }
        # After each arm: whatever is stopped keeps what it has.
        numbers = range(options.seeds)
        for results in compare(which, options.rates, tuning, numbers, before):
            path = harness.save(
                options.name, {**found, "arms": results}, options.out, parts=results.values()
            )
            figure = draw(results, found["cost_of_reading"], options.seeds)
            figure.savefig(path.with_suffix(".png"), dpi=130)
    print(path)


if __name__ == "__main__":
    main()
