"""How a wrong input is refused: in one sentence; and how sentences say things."""

import difflib
import operator
import os
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """A setting that can't be honoured; the message names the field, its value and the remedy."""


def reason_of(error: OSError, otherwise: str = "unknown reason") -> str:
    """Return why the system refused a file, in the words of a message."""
    return (error.strerror or otherwise).lower()


def shown(value: Any) -> str:
    """Return a value as a message shows it: on one line, without the addresses of objects."""
    text = " ".join(repr(value).split())
    if " at 0x" in text:
        return f"of type {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]} …"


def brief(value: Any) -> str:
    """Return a value as a message shows it where any may stand: of a large one only its type."""
    plain = value is None or isinstance(value, str | int | float)
    return shown(value) if plain else f"of type {type(value).__name__}"


def typed(path: Path) -> str:
    """Return a path as it is typed in a command, whatever letters are in its name."""
    text = os.path.join(os.curdir, path) if str(path).startswith("-") else str(path)
    return subprocess.list2cmdline([text]) if os.name == "nt" else shlex.quote(text)


def counted(number: int, what: str) -> str:
    """Return a number of things as a sentence says it: 1 seed, 2 seeds."""
    return f"{number} {what}{'s' * (number != 1)}"


def as_whole(value: Any) -> int | None:
    """Return a whole number as Python's, also one of NumPy's or JAX's; None where it is none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def unknown(kind: str, name: Any, known: Iterable[str], where: str = "") -> ConfigError:
    """Return the error for a misspelt name, with the nearest known one."""
    known = sorted(known)
    choices = f"use one of {', '.join(known)}." if known else "there are none, leave it out."
    meant = nearest(name, known)
    remedy = choices if meant is None else f"did you mean {meant!r}?"
    return ConfigError(f"{kind} {shown(name)} is not known{where}: {remedy}")


def nearest(name: Any, known: Iterable[str], least: float = 0.5) -> str | None:
    """Return the known name that a misspelt one is most like; None where it is like none.

    Args:
        name: as it was written.
        known: what there is.
        least: share of letters, as ``difflib`` counts them, from which they are alike.
    """
    word = name if isinstance(name, str) else ""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=least)), None)
