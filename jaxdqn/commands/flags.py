"""The words of the chosen parts as options of the command line."""

import dataclasses
from typing import Annotated, Any, Literal

import tyro

from jaxdqn.config import Config, parts
from jaxdqn.settings import descriptions, words

_WITHOUT_PREFIX: Any = tyro.conf.OmitArgPrefixes


def choose(config: Config, arguments: list[str]) -> Config:
    """Choose the parts that the command line names, so that their options are known.

    Raises:
        ConfigError: an option of a part that isn't chosen.
    """
    given: dict[str, str] = {}
    turned: dict[str, bool] = {}
    for option, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if option.startswith("--"):
            name, _, value = option.removeprefix("--").partition("=")
            name = name.replace("-", "_")
            known = name if name in parts.every_word() else name.removeprefix("no_")
            given[known] = value or following
            if known in parts.IMPLIED:
                turned[known] = known == name
    chosen = {word: given[word] for word, names in parts.PARTS.items() if given.get(word) in names}
    config = config.replace(**chosen)
    config = config.replace(**{word: on for word, on in turned.items() if word in config.words})
    for name in given.keys() & parts.every_word():
        parts.check_word(name, given[name], config.chosen)
    return config


def offer(config: Config) -> Any:
    """Return the words of the chosen parts, with these settings as defaults, for tyro.

    Tables apart, which the environment knows; ``taken`` reads what tyro makes of it.
    """
    groups = {}
    for word, kind in parts.kinds(config.chosen).items():
        flags = {}
        if names := parts.PARTS.get(word):
            said = " ".join(f"{name}: {part.__doc__}" for name, part in names.items())
            flags[word] = _flag(Literal[tuple(names)], said, "compiled")
        said_of = descriptions(kind)
        for name, known in words(kind).items():
            if not known.is_table:
                how = "sweepable" if known.is_number else "compiled"
                flags[name] = _flag(known.kind, said_of[name], how)
        group = dataclasses.make_dataclass(word, flags.items(), frozen=True)
        groups[word] = group(**{name: getattr(config, name) for name in flags})
    kinds = [(word, _WITHOUT_PREFIX[type(group)]) for word, group in groups.items()]
    return dataclasses.make_dataclass("Settings", kinds, frozen=True)(**groups)


def expecting(arguments: type, offered: Any) -> Any:
    """Return a command's dataclass of arguments with ``offered`` as its ``settings``."""
    return dataclasses.make_dataclass(
        arguments.__name__,
        [("settings", _WITHOUT_PREFIX[type(offered)])],
        bases=(arguments,),
        frozen=True,
        namespace={"__doc__": arguments.__doc__},
    )


def taken(offered: Any) -> dict[str, Any]:
    """Return the words of what ``offer`` made, flat."""
    groups = vars(offered).values()
    return {name: value for group in groups for name, value in vars(group).items()}


def _flag(kind: Any, said: str, how: str) -> Any:
    def hint(default: str) -> str:
        return f"{how} (default: {default})"

    return Annotated[kind, tyro.conf.arg(help=said, help_behavior_hint=hint)]
