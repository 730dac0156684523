"""The command line; it says something before the heavy imports start."""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence

from jaxdqn.commands import guard

_USAGE = """usage: jaxdqn [--cache DIR] [--cores N] COMMAND ...

Double DQN in JAX: many agents, exact mazes, honest statistics.

commands:
  train CONFIG [--field value ...] [--seeds N] [--out DIR]
                    train one agent per seed and write a run folder
  pretrain CONFIG [--field value ...] [--seed N] [--out DIR]
                    train a language model of mazes, whose trunk a Q-network may begin with
  finetune RUN [--out DIR]
                    teach a pre-trained one the shortest path
  sweep CONFIG [--field value value ...] [--seeds N] [--out DIR]
                    train settings × seeds, and say which are best and what is established
  resume RUN [--total_steps N]
                    carry on a training or a sweep that was stopped, or train on
  evaluate RUN [--episodes N]
                    measure a run's greedy policies on its levels and on others
  plot RUN [--seed I]
                    draw the pictures of a run again
  compare A B [...] [--seeds N] [--measure NAME]
                    train settings with the same seeds and say whether they differ
  export RUN [--seed I] [--out FILE]
                    write a trained policy as a file that needs nothing but JAX

train, sweep and resume take --distributed, on each of several machines or in each of several
processes, whose cluster JAX finds by itself (Slurm, Open MPI, Kubernetes, TPU pods); elsewhere
  --coordinator HOST:PORT --processes N --process I    say where process 0 is, and who this is

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

_DISTRIBUTED = ("--coordinator", "--processes", "--process")

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
    files = [word for word in arguments if word.endswith(".toml")]
    at = arguments.index("--seeds") + 1 if "--seeds" in arguments else len(arguments)
    if command != "train" or not files or list(arguments[at : at + 1]) != ["1"]:
        return None
    from jaxdqn.config import load_config
    from jaxdqn.parallel import devices

    return devices.best_cores(load_config(files[0]), agents=1)


def split_distributed(arguments: Sequence[str]) -> tuple[dict[str, str] | None, list[str]]:
    """Take ``--distributed`` and what belongs to it out of a command line; None without it."""
    given, rest, words = {}, [], iter(arguments)
    for word in words:
        if word in _DISTRIBUTED:
            given[word] = next(words, "")
        else:
            rest.append(word)
    there = "--distributed" in rest
    return (given if there else None), [word for word in rest if word != "--distributed"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status (0 done, 1 refused, 2 misused, 130 interrupted)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen: dict[str, str] = {}
    while arguments and arguments[0] in _OPTIONS:
        option, value = arguments[0], "".join(arguments[1:2])
        if not value or (option == "--cores" and not value.isdecimal()):
            print(f"jaxdqn: {option} ({value}) must {_OPTIONS[option]}.", file=sys.stderr)
            return 2
        chosen[option], arguments = value, arguments[2:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0 if arguments else 2
    command, *rest = arguments
    distributed, rest = split_distributed(rest)
    if command not in _COMMANDS:
        known = ", ".join(_COMMANDS)
        print(f"jaxdqn: command {command!r} is not known: use {known}.", file=sys.stderr)
        return 2
    if not {"-h", "--help"} & set(rest):
        print(f"jaxdqn {command}: loading JAX …", flush=True)
    if distributed is None or not hasattr(os, "fork"):
        return run(command, rest, chosen, distributed)
    end = guard.watch()
    try:
        return run(command, rest, chosen, distributed)
    finally:
        end()


def run(
    command: str, rest: list[str], chosen: Mapping[str, str], distributed: Mapping[str, str] | None
) -> int:
    """Start JAX and run a command; return its exit status.

    Args:
        command: its name.
        rest: its arguments.
        chosen: options before the command.
        distributed: what is said of several processes; None: there is one.
    """
    from jaxdqn.parallel import devices, processes
    from jaxdqn.types import ConfigError

    # So that --env module:Class finds a module beside the configuration, as python -m would.
    sys.path.append(os.getcwd())
    try:
        # The commands import gymnax, which starts JAX and so fixes how many devices it sees.
        cores = chosen.get("--cores")
        devices.use_cores(best_cores(command, rest) if cores is None else int(cores))
        if distributed is not None:
            processes.start(distributed)
        if chosen.get("--cache") != "off":
            devices.keep_programs(chosen.get("--cache"))
        return int(importlib.import_module(f"jaxdqn.commands.{command}").main(rest))
    except ConfigError as error:
        print(f"jaxdqn: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("jaxdqn: interrupted before anything was learned.", file=sys.stderr)
        return 130
    finally:
        if distributed is not None:
            processes.stop()
