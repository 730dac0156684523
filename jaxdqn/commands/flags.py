"""The words of the chosen parts as options of the command line."""

import dataclasses
import itertools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from jaxdqn import environment, shipped
from jaxdqn.config import Config, load_config, parts, toml
from jaxdqn.errors import ConfigError
from jaxdqn.language.config import LanguageConfig
from jaxdqn.settings import as_float, descriptions, elsewhere, words

_WITHOUT_PREFIX: Any = tyro.conf.OmitArgPrefixes


def file_of(command: str, arguments: list[str]) -> Path | None:
    """Return the settings' file that a command line names.

    Args:
        command: ``"train"`` or any other of agents, or ``"pretrain"``.
        arguments: the words behind it.

    Raises:
        ConfigError: the file is for another command, or can't be read.
    """
    named = next((Path(word) for word in arguments if is_toml(word)), None)
    if named is not None:
        _check_command(command, named)
    return named


def check_file(given: Path) -> None:
    """Refuse, with a ``ConfigError``, what was given for a settings' file and is none."""
    if is_toml(given.name):
        return
    if str(given) in shipped.files() and not given.exists():
        raise ConfigError(f"CONFIG ({str(given)!r}) is a name, no file: write it before options.")
    near = shipped.nearest(given)
    raise ConfigError(
        f"CONFIG ({str(given)!r}) is neither the path of a .toml file nor the name of shipped "
        f"settings: {f'did you mean {near!r}?' if near else 'give one of them.'}"
    )


def is_toml(word: str) -> bool:
    """Whether a word of a command line is the path of a settings' file."""
    return word.lower().endswith(".toml")


def _check_command(command: str, given: Path) -> None:
    """Refuse what sets something that another command understands, and nothing of this one."""
    agents, texts = set(parts.every_word()), set(words(LanguageConfig))
    tables = {"env_kwargs", "env_params"}
    said = toml.parse(toml.read(given), f"config file {str(given)!r}", tables)
    of_agents, of_texts = ([name for name in said if name in kind]
                           for kind in (agents - texts, texts - agents))  # fmt: skip
    if command == "pretrain" and of_agents and not of_texts:
        what, right, known = "an agent", "train", of_agents
    elif command != "pretrain" and of_texts and not of_agents:
        what, right, known = "a language model", "pretrain", of_texts
    else:
        return
    raise ConfigError(
        f"CONFIG ({str(given)!r}) sets {known[0]!r}, which is of {what}: use jaxdqn {right} "
        f"{given}."
    )


def check_names(
    arguments: list[str], options: type, settings: Collection[str] | None = None
) -> None:
    """Refuse, with a ``ConfigError`` that says ours, what an option is called elsewhere.

    Likewise what mazes know in a table of theirs.

    Args:
        arguments: of the command line.
        options: dataclass of the command's own.
        settings: that can be set beside them; by default an agent's.
    """
    settings = parts.every_word() if settings is None else settings
    known = {*settings, *(field.name for field in dataclasses.fields(options))}
    for name, _ in typed(arguments):
        if name not in known and (name in elsewhere.NAMES or parts.table_of(name) in known):
            raise parts.unknown_word("option", name, known)


def typed(arguments: list[str]) -> list[tuple[str, str]]:
    """Return the options on a command line in turn, each with its value or the word behind it."""
    found = []
    for word, following in itertools.zip_longest(arguments, arguments[1:], fillvalue=""):
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            found.append((name.replace("-", "_"), value if equals else following))
    return found


def check_stay(arguments: list[str], free: Collection[str], apart: str) -> None:
    """Refuse, with a ``ConfigError``, settings that can't be changed once a run is there.

    Args:
        arguments: of the command line.
        free: settings that can.
        apart: what those are.
    """
    for name, _ in typed(arguments):
        known = name.partition(".")[0].removeprefix("no_")
        if known in parts.every_word() and known not in free:
            raise ConfigError(
                f"--{name} can't be changed for a run, whose settings stay ({apart} apart): "
                "leave it out, or train anew."
            )


def enter(arguments: list[str]) -> None:
    """Look up the parts of one's own that a command line names, so that their words are known.

    Raises:
        ConfigError: one of them can't be had.
    """
    option = ""
    for word in arguments:
        if word.startswith("--"):
            option, _, word = word.removeprefix("--").partition("=")
        if option in parts.PARTS and ":" in word:
            parts.kind(option, word)


def choose(named: Path | None, arguments: list[str]) -> Config:
    """Choose the parts that the command line names, so that their options are known.

    Args:
        named: file of the settings, if there is one.
        arguments: of the command line.

    Raises:
        ConfigError: the file can't be honoured, or an option is of a part that isn't chosen.
    """

    def settings(words: Mapping[str, Any]) -> Config:
        return load_config(named, **words) if named else Config(**words)

    given: dict[str, str] = {}
    turned: dict[str, bool] = {}
    for name, value in typed(arguments):
        known = name if name in parts.every_word() else name.removeprefix("no_")
        given[known] = value
        if known in parts.IMPLIED:
            turned[known] = known == name
    chosen: dict[str, Any] = {
        word: given[word]
        for word, names in parts.PARTS.items()
        if word in given and (given[word] in names or ":" in given[word])
    }
    if "env" in given:  # its tables depend on it
        chosen["env"] = given["env"]
    config = settings(chosen)
    if switches := {word: on for word, on in turned.items() if word in config.words}:
        config = settings({**chosen, **switches})
    for name in given.keys() & parts.every_word():
        parts.check_word(name, given[name], config.chosen)
    return config


def offer(config: Config) -> Any:
    """Return the words of the chosen parts, with these settings as defaults, for tyro.

    Tables apart, which the environment knows; ``taken`` reads what tyro makes of it.
    """
    groups = {}
    for word, kind in parts.kinds(config.chosen).items():
        choice = {}
        if names := parts.PARTS.get(word):
            said = " ".join(f"{name}: {part.__doc__}" for name, part in names.items())
            choice[word] = _flag(Literal[tuple(names)], said, "compiled")
        groups[word] = group(word, kind, config, choice)
    kinds = [(word, _WITHOUT_PREFIX[type(made)]) for word, made in groups.items()]
    return dataclasses.make_dataclass("Settings", kinds, frozen=True)(**groups)


def group(name: str, kind: type, values: Any, choice: dict[str, Any] | None = None) -> Any:
    """Return the words of one part's class, tables apart, for tyro.

    Args:
        name: of the class that is made.
        kind: the part's.
        values: has the defaults as attributes.
        choice: options that stand before the words.
    """
    flags, said_of = dict(choice or {}), descriptions(kind)
    for word, known in words(kind).items():
        if not known.is_table:
            how = "sweepable" if known.is_number else "compiled"
            flags[word] = _flag(known.kind, said_of.get(word, ""), how)
    return _made(name, flags, values)


def of_one(name: str, kind: type, values: Any, without: Collection[str] = ()) -> Any:
    """Return the words of a class as ``group``, where none is swept and some aren't offered."""
    said_of = descriptions(kind)
    return _made(
        name,
        {
            word: _flag(known.kind, said_of[word])
            for word, known in words(kind).items()
            if not known.is_table and word not in without
        },
        values,
    )


def _made(name: str, flags: dict[str, Any], values: Any) -> Any:
    made = dataclasses.make_dataclass(name, flags.items(), frozen=True)
    return made(**{word: getattr(values, word) for word in flags})


def tables(
    config: Config,
    without: Collection[str] = (),
    how: tuple[str, str] = ("compiled", "sweepable"),
) -> dict[str, Any]:
    """Return the entries of the environment's two tables, for tyro, these settings as defaults.

    Args:
        config: the settings.
        without: arguments of the constructor that aren't offered.
        how: those of either table are set.

    Raises:
        ConfigError: an unknown environment or argument.
    """
    kwargs, params = environment.defaults(config)
    about_kwargs, about_params = environment.described(config)
    given = {name: x for name, x in {**kwargs, **config.env_kwargs}.items() if name not in without}
    return {
        "env_kwargs": table(
            "Arguments of the environment's constructor.", how[0], given, about_kwargs
        ),
        "env_params": table(
            "Parameters of the environment.", how[1],
            {**params, **config.env_params}, about_params,
        ),
    }  # fmt: skip


def table(
    said: str, how: str, values: Mapping[str, Any], known: Mapping[str, tuple[Any, str]]
) -> Any:
    """Return the entries of one of the environment's tables, for tyro.

    Args:
        said: of the table.
        how: entries are set.
        values: defaults by name.
        known: kinds and descriptions by name; other entries are as their values.
    """
    flags, defaults = {}, {}
    for name, value in values.items():
        kind, about = known.get(name, (type(value), ""))
        # An array in the file, where there may be one number, is shown and stays.
        flags[name] = _flag(np.ndarray if isinstance(value, np.ndarray) else kind, about, how)
        defaults[name] = as_float(value) if kind is float else value
    made = dataclasses.make_dataclass("Table", flags.items(), frozen=True)
    made.__doc__ = said
    return made(**defaults)


def expecting(arguments: type, offered: Any, **tables: Any) -> Any:
    """Return a command's dataclass of arguments with ``offered`` as its ``settings``."""
    kinds = {name: type(entries) for name, entries in tables.items()}
    return dataclasses.make_dataclass(
        arguments.__name__,
        [("settings", _WITHOUT_PREFIX[type(offered)]), *kinds.items()],
        bases=(arguments,),
        frozen=True,
        kw_only=True,
        namespace={"__doc__": arguments.__doc__},
    )


def taken(offered: Any) -> dict[str, Any]:
    """Return the words of what ``offer`` made, flat."""
    groups = vars(offered).values()
    return {name: value for group in groups for name, value in vars(group).items()}


def changed(chosen: Any, defaults: Any, in_file: Any) -> dict[str, Any]:
    """Keep what the file or the command line said, so that ``config.toml`` says no more."""
    return {
        key: value
        for key, value in chosen.items()
        if key in in_file or key not in defaults or value != defaults[key]
    }


def _flag(kind: Any, said: str, how: str = "") -> Any:
    def hint(default: str) -> str:
        return f"{how} (default: {default})".lstrip()

    return Annotated[kind, tyro.conf.arg(help=said, help_behavior_hint=hint)]
