"""Other libraries, each pinned, in a virtual environment and a process of its own."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness

# The newest of each on Python 3.11 on 2026-11-22, on the same JAX where they run on it; rejax 0.1.3
# unpacks the five results of gymnax before 1.0, and PureJaxRL and PureJaxQL, which are no packages
# of an index, call what later JAX doesn't have.
OLDER = ["jax==0.4.30", "jaxlib==0.4.30", "gymnax==0.0.8", "flax==0.8.5", "optax==0.2.3",
         "distrax==0.1.5", "numpy<2", "scipy<1.14", "tensorflow-probability==0.24"]  # fmt: skip
PINS = {
    "rejax": ["rejax==0.1.3", "gymnax==0.0.9", "jax==0.10.2"],
    "sb3": ["stable-baselines3==2.9.2", "gymnasium==1.4.0", "torch==2.14.1"],
    "sbx": ["sbx-rl==0.28.0", "stable-baselines3==2.9.2", "gymnasium==1.4.0", "jax==0.10.2"],
    "jumanji": ["jumanji==1.1.2", "jax==0.10.2"],
    "navix": ["navix==0.7.4", "jax==0.10.2"],
    "xminigrid": ["xminigrid==0.9.3", "jax==0.10.2"],
    "purejaxrl": ["git+https://github.com/luchris429/purejaxrl@146b485", "brax", *OLDER],
    "purejaxql": [
        "git+https://github.com/mttga/purejaxql@0436c80",
        "hydra-core",
        "omegaconf",
        "wandb",
        *OLDER,
    ],
}
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "jaxdqn-benchmarks"


def python_for(name: str, folder: Path) -> Path:
    """Return the Python of a library's virtual environment, made if it isn't there yet."""
    place = folder / name
    python, finished = place / "bin" / "python", place / "pins.json"
    if not finished.exists() or json.loads(finished.read_text()) != PINS[name]:
        print(f"installing {', '.join(PINS[name])} in {place}")
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINS[name]], check=True)
        finished.write_text(json.dumps(PINS[name]))
    return python


class Worker:
    """A process that does one library's work when it is asked to."""

    def __init__(self, script: str, name: str, folder: Path) -> None:
        """Start it; libraries without pins (ours, and gymnax beside it) run in this Python."""
        environment = dict(os.environ)
        python: Path | str = sys.executable
        if name in PINS:
            python = python_for(name, folder)
            environment.pop("PYTHONPATH", None)
        else:
            paths = [str(harness.ROOT / "benchmarks"), str(harness.ROOT)]
            environment["PYTHONPATH"] = os.pathsep.join(paths)
        path = harness.ROOT / "benchmarks" / "workers" / script
        self.process = subprocess.Popen(
            [python, path, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request; wait for the reply.

        Raises:
            RuntimeError: the process has died; it has said why on standard error.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}.")


@contextmanager
def several(
    script: str, wanted: list[tuple[str, ...]], folder: Path
) -> Iterator[dict[tuple[str, ...], Worker]]:
    """Start a worker for each of what is wanted, whose first word names a library; end them all."""
    running: dict[tuple[str, ...], Worker] = {}
    try:
        for each in wanted:
            running[each] = Worker(script, each[0], folder)
        yield running
    finally:
        for worker in running.values():
            with worker.process:  # closes its pipes, and waits
                worker.process.kill()


def race(
    libraries: list[str], settings: dict[str, Any], folder: Path, repeats: int
) -> dict[str, tuple[dict[str, Any], list[float]]]:
    """Let libraries train by the same settings in turn; return facts and seconds of each.

    What follows a library's name and a comma says how it is changed.
    """
    with several("train.py", [tuple(each.split(", ")) for each in libraries], folder) as running:
        facts = {
            each: worker.ask(prepare={**settings, "changes": each[1:]})
            for each, worker in running.items()
        }
        seconds = interleave(running, repeats)
    return {", ".join(each): (found, seconds[each]) for each, found in facts.items()}


def interleave(asked: dict[Any, Worker], repeats: int) -> dict[Any, list[float]]:
    """Let each work in turn, A B A B; return the seconds that each measured."""
    seconds: dict[Any, list[float]] = {name: [] for name in asked}
    for _ in range(repeats):
        for name, worker in asked.items():
            seconds[name].append(worker.ask(run=True)["seconds"])
    return seconds
