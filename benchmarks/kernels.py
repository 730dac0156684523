"""What a device does in one iteration of ours: kernels, their time, bytes and number.

    python benchmarks/kernels.py --seeds 1 4096

Trains as ``compare_designs.py`` does, for a hundred iterations after a short warm-up, under JAX's
profiler. What ran at least once per iteration is the loop; its time is read from the trace, its
bytes from XLA's optimised text. On a CPU, which is no stranger to the same script, the kernels are
XLA's thunks, and several threads may share their time.
"""

import re
import tempfile
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import harness
import hlo
import jax
import job
import limits

WARMUP = 4
"""Iterations of warm-up: as many as a first batch takes, and far fewer than are learned in."""


class Event(NamedTuple):
    """One kernel, or a copy, in the trace.

    Attributes:
        op: XLA's instruction, if the trace says it, else the kernel.
        kernel: its name on the device.
        start: nanoseconds.
        duration: nanoseconds.
    """

    op: str
    kernel: str
    start: float
    duration: float


def measure(count: int, iterations: int, raw: Path | None) -> dict[str, Any]:
    """Profile one program; return its totals and a row for each kernel of an iteration.

    Args:
        count: seeds.
        iterations: to profile.
        raw: folder for the trace and XLA's text, if they shall be kept.
    """
    config = job.config(warmup_steps=16 * WARMUP, total_steps=16 * (WARMUP + iterations))
    # As one agent is trained in practice, and many, see compare_designs.py.
    train = job.ours(config) if count == 1 else job.many(job.ours(config), count)
    keys = job.keys(count)[0] if count == 1 else job.keys(count)
    compiled = jax.jit(train).lower(keys).compile()
    text = compiled.as_text() or ""
    jax.block_until_ready(compiled(keys))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(compiled(keys))
        (trace,) = Path(folder).rglob("*.xplane.pb")
        if raw is not None:
            raw.mkdir(parents=True, exist_ok=True)
            path = raw / f"profile_{jax.default_backend()}_{count}.zip"
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(trace, "xplane.pb")
                archive.writestr("hlo.txt", text)
        events, lines = read(jax.profiler.ProfileData.from_file(str(trace)))
    rows, span = iteration(events, hlo.Program(text), iterations)
    if not rows:
        raise SystemExit(
            f"the trace holds no kernel that ran {iterations} times, only {lines}: "
            "let the profiler (CUPTI on NVIDIA) see the device, and try again."
        )
    busy = sum(row["microseconds"] for row in rows)
    return {
        "seeds": count,
        "iterations": iterations,
        "launches": sum(row["launches"] for row in rows),
        "busy_microseconds": busy,
        "span_microseconds": span,
        "bytes": sum(row["bytes"] or 0 for row in rows),
        "microseconds_of_unknown_bytes": sum(
            row["microseconds"] for row in rows if row["bytes"] is None
        ),
        "kernels": rows,
    }


def read(trace: Any) -> tuple[list[Event], dict[str, int]]:
    """Return what one device ran, and how many events each line of its trace has.

    Args:
        trace: ``jax.profiler.ProfileData``.
    """
    planes = {plane.name: plane for plane in trace.planes}
    devices = sorted(name for name in planes if name.startswith("/device:"))
    name = devices[0] if devices else "/host:CPU"
    lines = {line.name: list(line.events) for line in planes[name].lines}
    streams = [line for line in lines if line.startswith("Stream")]
    events = []
    for line in streams or lines:
        for event in lines[line]:
            said = dict(event.stats)
            # A device's stream holds nothing but what it ran; a host's thread says more.
            if devices or "hlo_op" in said:
                op = str(said.get("hlo_op", event.name))
                events.append(Event(op, event.name, event.start_ns, event.duration_ns))
    return events, {f"{name} {line}": len(found) for line, found in lines.items()}


def iteration(
    events: list[Event], program: hlo.Program, iterations: int
) -> tuple[list[dict[str, Any]], float]:
    """Return a row for each of XLA's instructions in an iteration, and an iteration's microseconds.

    Args:
        events: of the whole program.
        program: its text.
        iterations: that the program ran; what ran less often is outside the loop.
    """
    by_kernel = {
        re.sub(r"\W", "_", found.kernel or name): name
        for name, found in program.instructions.items()
    }
    groups: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        op = event.op
        if op not in program.instructions or program.instructions[op].opcode in hlo.WHOLE:
            # A kernel is named for its instruction, which is a graph's or a loop's otherwise.
            op = by_kernel.get(re.sub(r"\W", "_", event.kernel), event.kernel)
        if op not in program.instructions or program.instructions[op].opcode not in hlo.WHOLE:
            groups[op].append(event)
    rows, inside = [], []
    for op, found in groups.items():
        if len(found) < iterations:
            continue
        inside += found
        instruction = program.instructions.get(op)
        rows.append({
            "op": op,
            "opcode": instruction.opcode if instruction else None,
            "kernels": [name for name, _ in Counter(e.kernel for e in found).most_common()],
            "source": _source(instruction.source) if instruction else "",
            "launches": len(found) / iterations,
            "microseconds": sum(e.duration for e in found) / 1e3 / iterations,
            "bytes": program.traffic(op),
        })  # fmt: skip
    rows.sort(key=lambda row: -row["microseconds"])
    begin = min((e.start for e in inside), default=0.0)
    end = max((e.start + e.duration for e in inside), default=0.0)
    return rows, (end - begin) / 1e3 / iterations


def _source(path: str) -> str:
    """Shorten the path of names that leads to an operation, less how JAX made the loop."""
    parts = path.rpartition("while/body/")[2].split("/")
    return "/".join(part for part in parts if part not in ("closed_call", "eval_jaxpr"))


def show(profile: dict[str, Any]) -> None:
    """Print the slowest kernels and the sum of all."""
    cells = [
        [row["op"], row["source"][-60:], f"{row['launches']:.0f}", f"{row['microseconds']:.2f}",
         "?" if row["bytes"] is None else f"{row['bytes']:,}",
         "?" if not row["bytes"] else f"{row['bytes'] / row['microseconds'] / 1e3:,.1f}"]
        for row in profile["kernels"][:20]
    ]  # fmt: skip
    cells.append([
        f"all {len(profile['kernels'])}", "", f"{profile['launches']:.0f}",
        f"{profile['busy_microseconds']:.2f}", f"{profile['bytes']:,}",
        f"{profile['bytes'] / profile['busy_microseconds'] / 1e3:,.1f}",
    ])  # fmt: skip
    columns = ["kernel", "of", "launches", "µs", "bytes", "GB/s"]
    title = f"one iteration of {profile['seeds']:,} seeds, {profile['span_microseconds']:.1f} µs"
    harness.show(title, columns, cells)


def main() -> None:
    """Print the tables and write ``profile_gpu.json``, or ``profile_cpu.json``."""
    parser = harness.options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 4096])
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--raw", type=Path, help="keep traces and XLA's text in this folder")
    options = parser.parse_args()
    if options.quick:
        options.iterations = 10
    result: dict[str, Any] = {
        "bytes_per_second": limits.bytes_per_second(2**20 if options.quick else 2**28),
        "profiles": [],
    }
    for count in options.seeds:
        result["profiles"].append(measure(count, options.iterations, options.raw))
        # Written after every profile: a lent machine may be taken back at any time.
        path = harness.save(f"profile_{jax.default_backend()}", result, options.out)
        show(result["profiles"][-1])
    print(path)


if __name__ == "__main__":
    main()
