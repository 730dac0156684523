"""Ours against the standard design of DQN in JAX: the same job, side by side in one run.

    python benchmarks/compare_designs.py --seeds 1 16

For each network and number of seeds three programs are timed in turn: ours, seeds spread over all
devices; the standard design (``standard_design.py``, written by us) under plain vmap; and the
standard design spread like ours. Also runs on a GPU. Without flashbax, which the standard design
needs, only ours is timed.

    python benchmarks/compare_designs.py --seeds 1 --cores 1

times them on one core, where one agent is fastest.

    python benchmarks/compare_designs.py --rainbow --env_steps 24000

compares Rainbow with all its parts written as plainly (``standard_rainbow.py``).

    python benchmarks/compare_designs.py --networks large residual --seeds 1 16

compares wider networks; on a GPU they have a result of their own. A residual network of many seeds
is trained as ``jaxdqn.sweep`` trains it.
"""

import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import harness
import jax
from matplotlib.figure import Figure

from jaxdqn.parallel import devices

PARSER = harness.options(__doc__)
PARSER.add_argument("--cores", type=int, help="CPU cores to use, all by default")
devices.use_cores(PARSER.parse_known_args()[0].cores)

import job  # noqa: E402  (after the devices are set)
import limits  # noqa: E402

import jaxdqn  # noqa: E402
from jaxdqn.plots.style import BLUE, GREY, ORANGE, plain  # noqa: E402

SHARES = ("share_of_matmul_ceiling", "share_of_bandwidth")
FLASHBAX = importlib.metadata.version("flashbax") if importlib.util.find_spec("flashbax") else None
if FLASHBAX:
    import standard_design


Compiled = dict[str, Future[harness.Program]]
"""Programs of one network and number of seeds, by design."""


def programs(
    config: jaxdqn.Config, count: int, only: list[str], pool: ThreadPoolExecutor
) -> Compiled:
    """Compile each design for that many seeds."""
    # As one agent is trained in practice: a vmap over one turns branches into selections.
    alone = count == 1
    keys = job.keys(1)[0] if alone else job.keys(count)
    in_turns = config.network == "residual" and not alone
    designs: dict[str, Callable[..., Any]] = {}
    if not in_turns:
        designs["ours"] = job.ours(config) if alone else job.many(job.ours(config), count)
    if FLASHBAX:
        standard = _standard(config)
        designs["standard"] = standard if alone else jax.vmap(standard)
        if not alone and len(jax.devices()) > 1:
            designs["standard, spread"] = job.many(standard, count)
    prepare = {"ours": partial(job.swept, config, count)} if in_turns else {}
    prepare |= {name: partial(harness.prepare, design, keys) for name, design in designs.items()}
    return {name: pool.submit(prepare[name]) for name in prepare if name in only}


def _standard(config: jaxdqn.Config) -> Callable[..., Any]:
    if not config.noisy:
        return standard_design.make_train(config)
    # With a requirement of its own, rlax, which a lent machine may not have.
    import standard_rainbow

    return standard_rainbow.make_train(config)


def compare(
    config: jaxdqn.Config, count: int, found: Compiled, repeats: int, ceilings: dict[str, Any]
) -> list[dict[str, Any]]:
    """Time all designs in turn; return a row for each."""
    compiled = {name: program.result() for name, program in found.items()}
    runs = {name: program.run for name, program in compiled.items()}
    seconds = harness.interleave(runs, repeats)
    plan = config.schedule
    network = "-".join(map(str, config.widths))
    if config.network == "residual":
        network = f"{config.blocks} blocks of {config.channels}, {network}"
    rows = []
    for name, program in compiled.items():
        updates = harness.rate(count * plan.updates, seconds[name])
        print(f"{network}, {count} seeds, {name}: {harness.say(updates)} updates/s", flush=True)
        rows.append({
            "seeds": count,
            "network": network,
            "widths": config.widths,
            "batch_size": config.batch_size,
            "env_steps": plan.env_steps,
            "design": name,
            # Random ones, of warm-up, are in the time and aren't counted.
            "env_steps_per_second": harness.rate(
                count * plan.updates * config.num_envs, seconds[name]
            ),
            "updates_per_second": updates,
            **(_shares(config, updates["median"], ceilings) if ceilings else {}),
            "program_bytes": program.bytes,
            "trace_seconds": program.trace_seconds,
            "compile_seconds": program.compile_seconds,
            "seconds": seconds[name],
        })  # fmt: skip
    return rows


def _shares(config: jaxdqn.Config, updates: float, ceilings: dict[str, Any]) -> dict[str, float]:
    """Return how much of what the machine can do that many updates per second take."""
    flops = updates * limits.learning_flops(config)
    return {
        "share_of_matmul_ceiling": flops / ceilings["matmul_flops"],
        "share_of_float32_matmul_ceiling": flops / ceilings["matmul_flops_float32"],
        "share_of_bandwidth": updates * limits.state_bytes(config) / ceilings["bytes_per_second"],
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table, each design's speed beside its ratio to ours."""
    cells = []
    for row in rows:
        like = [r for r in rows if (r["seeds"], r["network"]) == (row["seeds"], row["network"])]
        mine, its = (r["env_steps_per_second"]["median"] for r in (like[0], row))
        cells.append([
            row["network"],
            str(row["seeds"]),
            row["design"],
            harness.say(row["env_steps_per_second"]),
            f"{mine / its:.2f} ×",
            *(f"{row[share]:.1%}" if share in row else "" for share in SHARES),
            f"{row['program_bytes'] / 2**20:,.0f} MiB",
            f"{row['trace_seconds']:.1f} + {row['compile_seconds']:.1f} s",
        ])  # fmt: skip
    columns = ["network", "seeds", "design", "env-steps/s", "ours is", "of matmuls",
               "of bandwidth", "memory", "trace + compile"]  # fmt: skip
    harness.show("Designs", columns, cells)


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Draw environment steps per second by the number of seeds, and what memory would allow."""
    figure = Figure((6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    names = {"ours": "jaxdqn", "standard": "the standard design"}
    for (design, name), colour in zip(names.items(), (BLUE, ORANGE), strict=True):
        found = [row for row in rows if row["design"] == design]
        seeds = [row["seeds"] for row in found]
        speeds = [row["env_steps_per_second"]["median"] for row in found]
        axes.loglog(seeds, speeds, color=colour, linewidth=2, marker="o", label=name)
        axes.annotate(f"{speeds[-1] / 1e6:,.0f} M", (seeds[-1], speeds[-1]), (6, -3),
                      textcoords="offset points", color=colour, fontsize=9)  # fmt: skip
    row = next(row for row in reversed(rows) if row["design"] == "ours")
    limit = row["env_steps_per_second"]["median"] / row["share_of_bandwidth"]
    axes.axhline(limit, color=GREY, linestyle="--", linewidth=1)
    axes.annotate(f"weights and moments at the memory's bandwidth: {limit / 1e6:,.0f} M",
                  (0.02, limit), (0, 4), xycoords=("axes fraction", "data"),
                  textcoords="offset points", color=GREY, fontsize=9)  # fmt: skip
    axes.set_xlabel("seeds trained at once")
    axes.set_ylabel("environment steps per second")
    axes.set_ylim(top=2.5 * limit)
    axes.margins(x=0.12)
    plain(axes)
    axes.legend(frameon=False, loc="lower right")
    return figure


def main() -> None:
    """Print the table; write ``compare_designs_cpu.json``, or ``..._gpu`` with a figure, ..."""
    designs = ["ours", "standard", "standard, spread"]
    PARSER.add_argument("--seeds", type=int, nargs="+", default=[1, 16])
    PARSER.add_argument("--networks", nargs="+", default=["small"], choices=list(job.NETWORKS))
    PARSER.add_argument("--env_steps", type=int, help="of each seed; else as job.NETWORKS says")
    PARSER.add_argument("--capacity", type=int, default=10_000, help="replay slots of each seed")
    PARSER.add_argument("--rainbow", action="store_true", help="with all that Rainbow adds")
    PARSER.add_argument("--designs", nargs="+", default=designs, choices=designs)
    PARSER.add_argument("--at_once", action="store_true", help="compile everything before timing, "
                        "on all cores: seconds of compilation then say nothing")  # fmt: skip
    options = PARSER.parse_args()
    if options.quick:
        options.env_steps, options.repeats = 4_000, 1
    if FLASHBAX is None:
        print("flashbax is missing, so the standard design can't run: only ours is timed.")
    # What Double DQN's products need is counted; Rainbow's aren't.
    ceilings = {} if options.rainbow else limits.measure(options.quick)
    changes = {"capacity": options.capacity, **(job.RAINBOW if options.rainbow else {})}
    if options.env_steps:
        changes["total_steps"] = options.env_steps
    where = "one_core" if options.cores == 1 else jax.default_backend()
    if where == "gpu" and "small" not in options.networks:
        where = "wide_gpu"
    where = f"rainbow_{where}" if options.rainbow else where
    rows = []
    with ThreadPoolExecutor(os.cpu_count() if options.at_once else 1) as pool:
        cells: Iterator[tuple[jaxdqn.Config, int, Compiled]] = (
            (config, count, programs(config, count, options.designs, pool))
            for config in (job.config(network, **changes) for network in options.networks)
            for count in options.seeds
        )
        for config, count, found in list(cells) if options.at_once else cells:
            rows += compare(config, count, found, options.repeats, ceilings)
            result = {"capacity": options.capacity, "flashbax": FLASHBAX, "ceilings": ceilings,
                      "rows": rows}  # fmt: skip
            # Written after every cell: a lent machine may be taken back at any time.
            path = harness.save(f"compare_designs_{where}", result, options.out)
    both = FLASHBAX and {"ours", "standard"} <= set(options.designs)
    if where == "gpu" and both and len(options.networks) == 1:
        draw(rows).savefig(path.with_suffix(".png"), dpi=130)
    show(rows)
    print(path)


if __name__ == "__main__":
    main()
