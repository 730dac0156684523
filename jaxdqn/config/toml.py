"""Configurations as TOML: keys are field names, tables are headings."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from jaxdqn.config.check import FIELDS, check
from jaxdqn.config.config import Config
from jaxdqn.types import ConfigError, reason_of, unknown

_TABLES = ("env_kwargs", "env_params")


def load_config(path: str | Path, **overrides: Any) -> Config:
    """Read a configuration from a TOML file.

    Keys are the field names of ``Config``. A table groups keys under a heading that means
    nothing, except ``[env_kwargs]`` and ``[env_params]``, whose entries go to the environment.

    Args:
        path: the file.
        **overrides: fields that replace the file's; mappings for ``env_kwargs`` and
            ``env_params`` replace entry by entry.

    Raises:
        ConfigError: the file is missing or isn't TOML, a key is unknown, or a value can't be
            honoured.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"config file {str(path)!r} can't be read ({reason_of(error, 'unreadable')}): "
            "check the path."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"config file {str(path)!r} is not TOML ({error}): mend it.") from None
    return from_toml(text, f"config file {str(path)!r}", **overrides)


def from_toml(text: str, source: str, **overrides: Any) -> Config:
    """Read a configuration from TOML text; the inverse of ``to_toml``.

    Args:
        text: the settings.
        source: what error messages call the text.
        **overrides: as for ``load_config``.

    Raises:
        ConfigError: the text isn't TOML, a key is unknown, or a value can't be honoured.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not TOML ({error}): mend it.") from None
    fields = _flatten(content, source)
    for name, value in overrides.items():
        if name not in FIELDS:
            raise unknown("override", name, FIELDS)
        merge = name in _TABLES and isinstance(value, Mapping)
        fields[name] = {**fields.get(name, {}), **value} if merge else value
    config = Config(**{name: _as_field(name, value) for name, value in fields.items()})
    check(config)
    return config


def to_toml(config: Config) -> str:
    """Return the whole configuration as TOML text that ``load_config`` reads back unchanged."""
    fields = {name: _plain(getattr(config, name)) for name in FIELDS}
    said = {name: value for name, value in fields.items() if name not in _TABLES or value}
    return tomli_w.dumps(said, multiline_strings=True)


def _flatten(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in content.items():
        heading = isinstance(value, Mapping) and key not in _TABLES
        for name, item in value.items() if heading else [(key, value)]:
            if name not in FIELDS:
                raise unknown("key", name, FIELDS, f" in {source}")
            if name in fields:
                raise ConfigError(f"key {name!r} stands twice in {source}: remove one.")
            fields[name] = item
    return fields


def _as_field(name: str, value: Any) -> Any:
    if name in _TABLES:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name} ({value!r}) must be a table: write [{name}].")
        if name == "env_params":
            return {key: _as_leaf(item) for key, item in value.items()}
        return value
    if FIELDS[name].metadata.get("pytree_node", True):
        # 1 and 1.0 would be different programs to JAX.
        whole = type(value) is int and FIELDS[name].type is float
        return float(value) if whole else _as_leaf(value)
    return value


def _as_leaf(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    try:
        return np.asarray(value)
    except ValueError:
        raise ConfigError(f"the list {value!r} is ragged: give all rows the same length.") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value
