"""Honest timing: trace, compile and run apart, everything blocked on, the machine named."""

import argparse
import datetime
import hashlib
import importlib
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
READMES = [ROOT / folder / "README.md" for folder in (".", "benchmarks", "configs")]


def need(package: str) -> ModuleType:
    """Import a package that only benchmarks need; where it isn't there, end in one sentence."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:  # it is there, and lacks another
            raise
        sys.exit(
            f"{Path(sys.argv[0]).name} needs the package {package!r}, which is not installed: run "
            "pip install '.[test]'."
        )


def machine() -> dict[str, Any]:
    """Name the machine, the versions, the commit and the day."""
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "device": f"{len(jax.devices())} × {jax.devices()[0].device_kind}",
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        # On a machine that gets the files without their history, the caller says which they are.
        "commit": commit or os.environ.get("COMMIT"),
        "peak_memory_bytes": _peak_memory(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def options(doc: str, repeats: int = 5, **more: Any) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes, made with further arguments."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0], **more)
    parser.add_argument("--repeats", type=int, default=repeats, help="timed runs of each program")
    parser.add_argument("--quick", action="store_true", help="a few iterations, for tests")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON file")
    return parser


def parse(parser: argparse.ArgumentParser, *parts: str) -> argparse.Namespace:
    """Return the options; a part of what is timed in turn may not replace a published whole.

    Args:
        parser: of ``options``.
        parts: the options that leave some of it out.
    """
    options = parser.parse_args()
    left_out = [name for name in parts if getattr(options, name) != parser.get_default(name)]
    if left_out and options.out == RESULTS:
        parser.error(f"--{left_out[0]} would replace all results by a part: name another --out")
    return options


class Program(NamedTuple):
    """A program that was traced and compiled, each timed, and is called with its arguments.

    Attributes:
        run: runs it; whoever times it must block on what it returns.
        trace_seconds: Python to StableHLO.
        compile_seconds: StableHLO to machine code.
        bytes: memory for arguments, results and temporaries.
    """

    run: Callable[[], Any]
    trace_seconds: float
    compile_seconds: float
    bytes: int


def prepare(function: Callable[..., Any], *arguments: Any) -> Program:
    """Trace and compile a function for these arguments."""
    began = time.perf_counter()
    lowered = jax.jit(function).lower(*arguments)
    traced = time.perf_counter()
    compiled = lowered.compile()
    ended = time.perf_counter()
    use = compiled.memory_analysis()
    size = use.argument_size_in_bytes + use.output_size_in_bytes + use.temp_size_in_bytes
    return Program(
        run=lambda: compiled(*arguments),
        trace_seconds=traced - began,
        compile_seconds=ended - traced,
        bytes=size - use.alias_size_in_bytes,
    )


def interleave(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Time warm runs in turn, A B A B, so that a slow spell of the machine hits all alike.

    Returns:
        Seconds of each repeat by name; a first, untimed round is left out.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            jax.block_until_ready(run())
            if repeat > 0:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def rate(work: float, seconds: list[float]) -> dict[str, float]:
    """Return the median, lowest and highest rate of doing some work."""
    return {
        "median": work / statistics.median(seconds),
        "lowest": work / max(seconds),
        "highest": work / min(seconds),
    }


def say(rates: dict[str, float]) -> str:
    """Write a rate with its spread."""
    return f"{rates['median']:,.0f} ({rates['lowest']:,.0f} … {rates['highest']:,.0f})"


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table, its first column on the left."""
    table = Table(title=f"{title}, {machine()['device']}")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=160).print(table)


def save(
    name: str,
    result: dict[str, Any],
    folder: Path = RESULTS,
    parts: Iterable[dict[str, Any]] = (),
) -> Path:
    """Write a result with the command and the machine beside it; return its path.

    Args:
        name: of the file, without its end.
        result: what was measured.
        folder: where to write it.
        parts: those of the result of which another command may measure some anew. Each of them
            is told apart by how it was measured: what an earlier command said of it stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    now = {"command": _command(), "machine": machine()}
    for part in parts:
        part.setdefault("measured", now)
    text = json.dumps({**now, **result}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def earlier(path: Path, quick: bool) -> dict[str, Any]:
    """Return a result that was saved before, of which not all is run again; empty if none was.

    A quick try is mixed with nothing.
    """
    known = path.exists() and not quick
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if known else {}
    return found


def code() -> str:
    """Return a word for the package's code and JAX's version.

    Who keeps what was trained keeps it under this name: other code trains anew.
    """
    digest = hashlib.sha256(jax.__version__.encode())
    for path in sorted((ROOT / "jaxdqn").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def provenance(script: str, result: dict[str, Any]) -> str:
    """Return the sentence that says where and when figures were measured, and how to redo them.

    Args:
        script: the command after ``python``.
        result: as ``save`` wrote it.
    """
    places = "; ".join(f"{days}: {where}" for where, days in places_and_days([result]).items())
    return f"Measured on {places}. Regenerate with `python {script}`."


def places_and_days(results: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the machines on which results were measured, in words, and the days, first to last."""
    days: dict[str, set[str]] = {}
    for result in results:
        for where in _machines(result):
            days.setdefault(_place(where), set()).add(where["date"])
    return {where: " to ".join(sorted({min(dates), max(dates)})) for where, dates in days.items()}


def _machines(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the machine of each of the result's parts, where they were told apart."""
    parts = [*result.get("results", {}).values(), *result.get("arms", {}).values()]
    parts += result.get("rows", [])
    return [part["measured"]["machine"] for part in parts if "measured" in part] or [
        result["machine"]
    ]


def _place(where: dict[str, Any]) -> str:
    words = f"{where['cores']} cores of an {where['processor']}"
    if "cpu" not in where["device"]:
        words = f"{where['device']}, {words}"
    return f"{words}, JAX {where['jax']}, Python {where['python']}"


def replace_in_readme(name: str, text: str) -> list[Path]:
    """Put a text between the markers of that name, in every README that has them.

    Returns:
        The READMEs that have.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    having = [path for path in READMES if begin in path.read_text(encoding="utf-8")]
    for path in having:
        before, _, rest = path.read_text(encoding="utf-8").partition(begin)
        after = rest.partition(end)[2]
        path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
    return having


def _command() -> str:
    """Return how this script was called, less folders and time, which mean nothing elsewhere."""
    words = []
    for word in sys.argv[1:]:
        words += word.split("=", 1) if word.startswith("--") else [word]
    for option in ("--out", "--venvs", "--raw", "--minutes"):
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    return shlex.join([f"benchmarks/{Path(sys.argv[0]).name}", *words])


def _peak_memory() -> int:
    """Return the most memory this process held: on the accelerator, or resident on a CPU."""
    statistics = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return statistics["peak_bytes_in_use"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
