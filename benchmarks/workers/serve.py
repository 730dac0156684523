"""What a worker answers; standard library only, since every virtual environment runs it."""

import importlib.metadata
import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Work(NamedTuple):
    """Something warm, ready to be timed.

    Attributes:
        run: does it once, and returns only when it is done.
        facts: what the parent should know, such as seconds of tracing and compiling.
    """

    run: Callable[[], Any]
    facts: dict[str, Any]


def serve(prepare: Callable[[dict[str, Any]], Work], packages: list[str]) -> None:
    """Answer each line of JSON on standard input with one on standard output.

    ``{"prepare": settings}`` makes the work ready; ``{"run": true}`` does it, timed.
    """
    versions = {name: importlib.metadata.version(name) for name in packages}
    for line in sys.stdin:
        request = json.loads(line)
        if "prepare" in request:
            work = prepare(request["prepare"])
            reply = {**work.facts, "python": sys.version.split()[0], "versions": versions}
        else:
            began = time.perf_counter()
            work.run()
            reply = {"seconds": time.perf_counter() - began}
        # Marked, since libraries print, too.
        print("@" + json.dumps(reply), flush=True)


def compiled(
    function: Callable[..., Any],
    *arguments: Any,
    told: Callable[[Any], dict[str, Any]] = lambda _: {},
) -> tuple[Work, Any]:
    """Trace and compile with JAX and run once; return the work and the compiled program.

    ``told`` makes further facts of what that run returned.
    """
    import jax

    began = time.perf_counter()
    lowered = jax.jit(function).lower(*arguments)
    traced = time.perf_counter()
    program = lowered.compile()
    ended = time.perf_counter()

    def run() -> Any:
        return jax.block_until_ready(program(*arguments))

    facts = {"trace_seconds": traced - began, "compile_seconds": ended - traced, **told(run())}
    return Work(run, facts), program
