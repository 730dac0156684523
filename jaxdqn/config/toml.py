"""Configurations as TOML: keys are words, tables are headings."""

import difflib
import os
import tomllib
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import tomli_w

from jaxdqn import shipped
from jaxdqn.config import parts
from jaxdqn.config.check import check
from jaxdqn.config.config import Config, as_array
from jaxdqn.errors import ConfigError, brief, reason_of, shown
from jaxdqn.pytrees import plain
from jaxdqn.settings import Word

SWEEP = "sweep"
"""Name of the table of a sweep."""


def load_config(path: str | Path, **overrides: Any) -> Config:
    """Read a configuration from a TOML file.

    Keys are the words of ``Config``. A table groups keys under a heading that means nothing,
    except ``[env_kwargs]`` and ``[env_params]``, whose entries go to the environment, and
    ``[sweep]``, which only ``jaxdqn sweep`` reads.

    Args:
        path: the file, or the name of settings that come with the package, such as ``"maze"``.
        **overrides: words that replace the file's; mappings for ``env_kwargs`` and
            ``env_params`` replace entry by entry. What the file sets of a part that another
            replaces, such as widths of an MLP, goes with it.

    Raises:
        ConfigError: the file is missing or isn't TOML, a key is unknown or of a part that isn't
            chosen, or a value can't be honoured.
    """
    return from_toml(read(path), f"config file {str(path)!r}", **overrides)


def sweep_table(path: str | Path) -> dict[str, Any]:
    """Return the table ``[sweep]`` of a TOML file, which says what ``jaxdqn sweep`` sweeps.

    It is no part of the settings, which ``load_config`` reads: empty where there is none.

    Raises:
        ConfigError: the file is missing or isn't TOML.
    """
    return _split(read(path), f"config file {str(path)!r}")[1]


def read(path: str | Path) -> str:
    """Return the text of a configuration's file, refusing with a ``ConfigError`` what is none."""
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(
            f"path ({brief(path)}) must be that of a TOML file: write "
            "jaxdqn.load_config('configs/maze.toml') or the like."
        )
    try:
        file = shipped.path(path) or Path(path)
        return file.read_text(encoding="utf-8-sig")  # editors on Windows begin it with a mark
    except OSError as error:
        near = shipped.nearest(path)
        raise ConfigError(
            f"config file {str(path)!r} can't be read ({reason_of(error, 'unreadable')}): check "
            f"the path{f', or give the name of shipped settings, {near!r}' if near else ''}."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"config file {str(path)!r} is not TOML ({error}): mend it.") from None
    except ValueError as error:
        raise ConfigError(
            f"config file {str(path)!r} can't be a path ({error}): change it."
        ) from None


def _split(text: str, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what TOML text says of the settings, and what of a sweep."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not TOML ({error}): mend it.") from None
    table = content.pop(SWEEP, {})
    if not isinstance(table, Mapping):
        raise ConfigError(f"key 'sweep' in {source} must be a table: write [sweep] above it.")
    return content, dict(table)


def from_toml(text: str, source: str, **overrides: Any) -> Config:
    """Read a configuration from TOML text; the inverse of ``to_toml``.

    Args:
        text: the settings.
        source: what error messages call the text.
        **overrides: as for ``load_config``.

    Raises:
        ConfigError: the text isn't TOML, a key is unknown or of a part that isn't chosen, or a
            value can't be honoured.
    """
    every = parts.every_word()
    tables = {name for name, known in every.items() if known is not None and known.is_table}
    given = parse(text, source, tables)
    chosen = parts.choose({**given, **overrides})
    words = parts.words(chosen)
    kept = {name: value for name, value in given.items() if name in chosen or name in words}
    for name in [name for name in given if name not in kept]:
        # It is of a part that is replaced, or of none.
        parts.check_word(name, given[name], parts.choose(given), "key", f" in {source}")
    # A file that was written down sets what its switches imply, too.
    for name in parts.no_longer_implied(given, overrides):
        kept.pop(name, None)
    for name, value in overrides.items():
        parts.check_word(name, value, chosen, "override")
        known = every[name]
        merge = known is not None and known.is_table and isinstance(value, Mapping)
        kept[name] = {**kept.get(name, {}), **value} if merge else value
    config = Config(
        **{
            name: as_value(name, words[name], value) if name in words else value
            for name, value in kept.items()
        }
    )
    check(config)
    return config


def to_toml(config: Config) -> str:
    """Return all words of the chosen parts as TOML text that ``load_config`` reads back unchanged.

    Only arguments of the environment that are None, as by default, are left out.

    Raises:
        ConfigError: a value that TOML has no way to write.
    """
    config = config.settled()
    return dump({name: getattr(config, name) for name in (*config.chosen, *config.words)})


def dump(values: Mapping[str, Any]) -> str:
    """Return words as TOML text, without empty tables.

    Raises:
        ConfigError: a value that TOML has no way to write.
    """
    said = {name: plain(_without_none(value)) for name, value in values.items()}
    kept = {name: value for name, value in said.items() if value != {}}
    for name, value in kept.items():
        try:
            tomli_w.dumps({name: value})
        except TypeError:
            raise ConfigError(
                f"{name} ({shown(value)}) can't be written down: give plain values, as TOML has."
            ) from None
    return tomli_w.dumps(kept, multiline_strings=True)


def parse(text: str, source: str, tables: Set[str]) -> dict[str, Any]:
    """Return the keys of TOML text without their headings, and without what is said of a sweep.

    Args:
        text: the settings.
        source: what error messages call the text.
        tables: words that are tables themselves.

    Raises:
        ConfigError: the text isn't TOML, a heading is a table's misspelt name, or a key stands
            twice.
    """
    flat: dict[str, Any] = {}
    for key, value in _split(text, source)[0].items():
        heading = isinstance(value, Mapping) and key not in tables
        if heading and (meant := difflib.get_close_matches(key, {*tables, SWEEP}, 1, 0.8)):
            raise ConfigError(f"table [{key}] in {source} is not known: did you mean {meant[0]!r}?")
        for name, item in value.items() if heading else [(key, value)]:
            if name in flat:
                raise ConfigError(f"key {name!r} stands twice in {source}: remove one.")
            flat[name] = item
    return flat


def as_value(name: str, word: Word, value: Any) -> Any:
    """Return what TOML read as what a word takes: arrays for lists, 1.0 for 1 where it is one."""
    if word.is_table or not word.is_number:
        return value
    return word.as_leaf(as_array(name, value))


def _without_none(value: Any) -> Any:
    """TOML has no None; where that is an argument's default, nothing says the same."""
    if not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if item is not None}
