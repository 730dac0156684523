"""The command line; it says something before the heavy imports start."""

import argparse
import importlib
import sys
from collections.abc import Sequence

_COMMANDS = {
    "train CONFIG [--field value ...] [--seeds N] [--out DIR]":
        "train one agent per seed and write a run folder",
    "resume RUN [--total_steps N]":
        "carry on a training that was stopped, or train on",
    "evaluate RUN [--episodes N]":
        "measure a run's greedy policies on its levels and on others",
    "plot RUN [--seed I]":
        "draw the pictures of a run again",
    "compare A B [...] [--seeds N] [--measure NAME]":
        "train settings with the same seeds and say whether they differ",
    "export RUN [--seed I] [--out FILE]":
        "write a trained policy as a file that needs nothing but JAX",
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status (0 done, 1 refused, 2 misused, 130 interrupted)."""
    parser = _parser()
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        parser.print_help()
        return 2
    arguments = parser.parse_args(words)
    command, rest = arguments.command, arguments.rest
    if not {"-h", "--help"} & set(rest):
        print(f"jaxdqn {command}: loading JAX …", flush=True)
    from jaxdqn import devices
    from jaxdqn.types import ConfigError

    try:
        # The commands import gymnax, which starts JAX and so fixes how many devices it sees.
        devices.use_cores(arguments.cores)
        if arguments.cache is not None:
            devices.keep_programs(arguments.cache)
        return int(importlib.import_module(f"jaxdqn.commands.{command}").main(rest))
    except ConfigError as error:
        print(f"jaxdqn: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("jaxdqn: interrupted before anything was learned.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    commands = "".join(f"  {usage}\n{'':20}{what}\n" for usage, what in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="jaxdqn",
        usage="jaxdqn [--cache DIR] [--cores N] COMMAND ...",
        description="Double DQN in JAX: many agents, exact mazes, honest statistics.\n\n"
        f"commands:\n{commands}\njaxdqn COMMAND --help lists every option of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="keep compiled programs in a folder: the same training starts sooner the next time",
    )
    parser.add_argument(
        "--cores",
        type=int,
        metavar="N",
        help="CPU cores to use, all by default; one agent with a small network is fastest on 1",
    )
    names = [usage.split()[0] for usage in _COMMANDS]
    parser.add_argument("command", choices=names, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser
