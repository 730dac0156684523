"""The command line; it says something before the heavy imports start."""

import contextlib
import gc
import importlib
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import jaxdqn
from jaxdqn import shipped
from jaxdqn.commands import guard
from jaxdqn.errors import ConfigError, unknown
from jaxdqn.runs import signals, streams

_USAGE = """usage: jaxdqn [--cache DIR] [--cores N] COMMAND ...
       jaxdqn --version

Double DQN, its relatives and PPO in JAX: many agents, exact mazes, honest statistics.

commands:
  train CONFIG [--field value ...] [--seeds N] [--out DIR]
                    train one agent per seed and write a run folder
  pretrain CONFIG [--field value ...] [--seed N] [--out DIR]
                    train a language model of mazes, whose trunk a Q-network may begin with
  finetune RUN [--finetune_updates N] [--out DIR]
                    teach a pre-trained one the shortest path
  sweep CONFIG [--field value value ...] [--seeds N] [--out DIR]
                    train settings × seeds, and say which are best and what is established
  resume RUN [--total_steps N | --updates N]
                    carry on a training or a sweep that was stopped, or train on
  evaluate RUN [--env_kwargs.NAME value ...] [--episodes N]
                    measure a run's greedy policies on its levels and on others, or elsewhere
  plot RUN [--seed I]
                    draw the pictures of a run again
  compare A B [...] [--field value ...] [--scale X] [--seeds N] [--measure NAME]
                    train settings with the same seeds and say whether they differ
  export RUN [--seed I] [--out FILE]
                    write a trained policy as a file that needs nothing but JAX

train, sweep and resume take --distributed, on each of several machines or in each of several
processes, whose cluster JAX finds by itself (Slurm, Open MPI, TPU pods); elsewhere
  --coordinator HOST:PORT --processes N --process I    say where process 0 is, and who this is
  --heartbeat SECONDS                                  how long one may say nothing (30)

CONFIG is a TOML file, or the name of one that comes with the package: jaxdqn train maze.
jaxdqn COMMAND --help lists every option. Before the command,
  --cache DIR       keeps compiled programs in that folder instead of ~/.cache/jaxdqn, so that the
                    same training starts sooner the next time; off: keeps none
  --cores N         uses N CPU cores instead of all; by default a single agent with a small network
                    has one, on which it is fastest
"""

_OPTIONS = {
    "--cache": "name a folder, or be off: write --cache DIR",
    "--cores": "be a whole number: write --cores N",
}

_DISTRIBUTED = ("--coordinator", "--processes", "--process", "--heartbeat")
_TOGETHER = ("train", "sweep", "resume")
_READS_SETTINGS = ("train", "sweep", "pretrain", "compare")

_COMMANDS = (
    "train",
    "pretrain",
    "finetune",
    "sweep",
    "resume",
    "evaluate",
    "plot",
    "compare",
    "export",
)


def best_cores(command: str, arguments: Sequence[str]) -> int | None:
    """Return how many cores a training is fastest on, None where all are right."""
    from jaxdqn.config import parts, toml
    from jaxdqn.parallel import devices

    words = [part for word in arguments for part in word.split("=", 1)]
    try:
        if command == "train" and "1" in words[words.index("--seeds") + 1 :][:1]:
            file = next(word for word in arguments if word.lower().endswith(".toml"))
        elif command == "resume" and arguments and _holds_one_agent(Path(arguments[0])):
            file = os.path.join(arguments[0], "config.toml")
        else:
            return None
        options = ((word.removeprefix("--"), value) for word, value in itertools.pairwise(words))
        typed = {word: value for word, value in options if word in parts.PARTS}
        content = toml.read(file)
        said = toml.parse(content, file, {"env_kwargs", "env_params"}) | typed
        if any(":" in str(said.get(word)) for word in parts.PARTS):
            return None  # a module of one's own may start JAX, whose cores are then counted
        return devices.best_cores(toml.from_toml(content, file, **typed), agents=1)
    except (ConfigError, LookupError, TypeError, ValueError, StopIteration):
        return None  # the command refuses it, and knows more


def _holds_one_agent(run: Path) -> bool:
    from jaxdqn.runs import files, place

    about, _ = files.read_arrays(run / place.CHECKPOINT, "checkpoint", ())
    first, end = about["seeds"]
    return end - first == 1


def split_distributed(arguments: Sequence[str]) -> tuple[bool, dict[str, str], list[str]]:
    """Return whether ``--distributed`` is there, what belongs to it, and the rest of the line."""
    given, rest, words = {}, [], iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        if name in _DISTRIBUTED:
            given[name] = value if equals else next(words, "")
        else:
            rest.append(word)
    return "--distributed" in rest, given, [word for word in rest if word != "--distributed"]


def misused(
    command: str, distributed: bool, given: Mapping[str, str], rest: Sequence[str]
) -> str | None:
    """Return what is wrong with a command, its options of several processes, and their order."""
    if command.startswith("-"):
        known = [*_OPTIONS, "--help", "--version"]
        return str(unknown("option", command, known, " before a command"))
    if command not in _COMMANDS:
        return str(unknown("command", command, _COMMANDS))
    if distributed and command not in _TOGETHER:
        return f"--distributed belongs to {', '.join(_TOGETHER)}, and not to {command}: drop it."
    if given and not distributed:
        name, value = next(iter(given.items()))
        return f"{name} ({value}) is of several processes: write --distributed, too, or drop it."
    for option in rest:
        if (name := option.partition("=")[0]) in _OPTIONS:
            return f"{name} stands before the command: write jaxdqn {name} ... {command} ..."
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status.

    0 done, 1 refused, or no seed is left that learns, 2 misused, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        _settle_in(arguments)
    chosen: dict[str, str] = {}
    while arguments and arguments[0] in _OPTIONS:
        option, value = arguments[0], "".join(arguments[1:2])
        if not value or (option == "--cores" and not value.isdecimal()):
            print(f"jaxdqn: {option} ({value}) must {_OPTIONS[option]}.", file=sys.stderr)
            return 2
        chosen[option], arguments = value, arguments[2:]
    if arguments[:1] == ["--version"]:
        print(f"jaxdqn {jaxdqn.__version__}")
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0 if arguments else 2
    command, *rest = arguments
    distributed, given, rest = split_distributed(rest)
    if (wrong := misused(command, distributed, given, rest)) is not None:
        print(f"jaxdqn: {wrong}", file=sys.stderr)
        return 2
    if (here := _working_directory()) is None:
        gone = os.environ.get("PWD", "unknown")
        said = f"the working directory ({gone}) isn't there any more: change to another one."
        print(f"jaxdqn: {said}", file=sys.stderr)
        return 1
    # So that --env module:Class finds a module beside the configuration, as python -m would.
    sys.path.append(here)
    if command in _READS_SETTINGS:
        rest = shipped.spelled_out(rest, runs=command == "compare")
    if not {"-h", "--help"} & set(rest):
        print(f"jaxdqn {command}: loading JAX …", flush=True)
    end = guard.watch() if distributed and hasattr(os, "fork") else lambda: None
    try:
        with signals.repeated():
            return run(command, rest, chosen, given if distributed else None)
    except KeyboardInterrupt:
        print("jaxdqn: interrupted; what was saved is kept.", file=sys.stderr)
        return 130
    finally:
        end()


def _settle_in(arguments: Sequence[str]) -> None:
    """Make a process of one's own fit for training."""
    # Tracing makes many small objects that stay, and Python's looking through them all, again after
    # every 700, is half a second of a start.
    gc.set_threshold(50_000)
    # Pictures are only written: what shows a notebook's may not even be installed here.
    os.environ["MPLBACKEND"] = "agg"
    # Who reads the beginning of a help has read enough.
    streams.outlive(tells=not {"-h", "--help"} & set(arguments))


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def run(
    command: str,
    rest: list[str],
    chosen: Mapping[str, str],
    distributed: Mapping[str, str] | None = None,
) -> int:
    """Start JAX and run a command; return its exit status.

    Args:
        command: its name.
        rest: its arguments.
        chosen: options before the command.
        distributed: what is said of several processes; None: there is one.
    """
    with signals.ending():
        from jaxdqn.parallel import devices, processes

    heartbeat = 0
    try:
        # The commands import gymnax, which starts JAX and so fixes how many devices it sees.
        cores = chosen.get("--cores")
        devices.use_cores(best_cores(command, rest) if cores is None else int(cores))
        # Not refused: agents are then laid out, and rounded, as on a machine that has as many.
        if cores is not None and int(cores) > (there := devices.usable_cores()):
            print(
                f"note: cores ({cores}) exceed the {there} that this process may use, and share "
                f"them, which is slower: lower it to {there}, unless agents are to be laid out as "
                "on a machine of so many"
            )
        if distributed is not None:
            heartbeat = processes.start(distributed)
        if chosen.get("--cache") != "off":
            devices.keep_programs(chosen.get("--cache"))
        with signals.ending():
            devices.start()
            module = importlib.import_module(f"jaxdqn.commands.{command}")
            precision = importlib.import_module("jaxdqn.precision")
        precision.check_nans()
        status = int(precision.in_usual_numbers(module.main)(rest))
        processes.wait_for_all()
        return status
    except ConfigError as error:
        print(f"jaxdqn: {error}", file=sys.stderr)
        # Others may be where those wait that weren't refused: to leave before them would end them.
        with contextlib.suppress(ConfigError):
            processes.wait_for_all(heartbeat)
        return 1
    finally:
        # JAX may end a process that waits for the others here, before a traceback is printed.
        if distributed is not None and not isinstance(sys.exception(), Exception):
            processes.stop()
