"""How results came about, for whoever wants them again: versions, devices, the command."""

import importlib.metadata
import shlex
import sys
from pathlib import Path
from typing import Any

import jax

from jaxdqn.runs.checkpoint import versions

_PACKAGES = ("jaxlib", "flax", "optax", "gymnax", "numpy")


def provenance() -> dict[str, Any]:
    """Return versions, devices and, where a command is running, what was typed."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    found = {
        "versions": {**versions(), **packages},
        "devices": [str(device) for device in jax.devices()],
    }
    return found if (typed := command()) is None else {"command": typed, **found}


def command() -> str | None:
    """Return the command line without the place of the program, None in another program."""
    program, *words = sys.argv or [""]
    path = Path(program)
    ours = path.stem == "jaxdqn" or (path.name, path.parent.name) == ("__main__.py", "jaxdqn")
    return shlex.join(["jaxdqn", *words]) if ours else None
