"""Classes of one's own, by the name that settings give them: ``package.module:Class``."""

import importlib
import inspect
import sys
import traceback
from pathlib import Path
from typing import Any

from jaxdqn.errors import ConfigError

_LIBRARIES = {"chex", "flax", "gymnax", "jax", "jaxdqn", "jaxlib", "numpy"}
"""Packages that one's own code calls, or is called by."""


def class_of(word: str, name: str) -> Any:
    """Return the class that a setting names; as it is now, where a notebook has changed it.

    Args:
        word: the setting.
        name: its value, ``package.module:Class``.

    Raises:
        ConfigError: it can't be imported, or is no class.
    """
    module, _, attribute = name.partition(":")
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # whatever the module does when it is run
        raise ConfigError(
            f"{word} ({name!r}) names a module that can't be imported ({what(error)}): write "
            "package.module:Class of something that Python can import from here."
        ) from error
    try:
        found = getattr(imported, attribute)
    except AttributeError:
        raise ConfigError(
            f"{word} ({name!r}) names a class that {module} doesn't have: check its name."
        ) from None
    if not inspect.isclass(found):
        raise ConfigError(f"{word} ({name!r}) is no class: name the {word}'s class.")
    return found


def what(error: Exception) -> str:
    """Return the kind of an error, what it says, and where."""
    return f"{type(error).__name__}: {first_line(error)}{place(error)}"


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, without its stop."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def place(error: Exception) -> str:
    """Return where in one's own code an error comes from, such as " at myenv.py:27"."""
    at = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package not in _LIBRARIES | sys.stdlib_module_names:
            at = f" at {Path(frame.f_code.co_filename).name}:{line}"
    return at
