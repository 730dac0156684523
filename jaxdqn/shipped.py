"""The settings that come with the package, by their names."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

_PACKAGE = Path(__file__).parent
FOLDERS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
"""Where they are in a wheel, and in the source."""


def files() -> dict[str, Path]:
    """Return the files of all shipped settings by name; none where the package has lost them."""
    for folder in FOLDERS:
        if found := sorted(folder.glob("*.toml")):
            return {path.stem: path for path in found}
    return {}


def path(name: str | os.PathLike[str]) -> Path | None:
    """Return the file of shipped settings; None where the name is none of theirs, or of a file."""
    return None if os.path.isfile(name) else files().get(os.fspath(name))


def nearest(name: str | os.PathLike[str]) -> str | None:
    """Return the name of shipped settings that a path is near to, None where there is none."""
    return next(iter(difflib.get_close_matches(Path(name).stem, files(), 1)), None)


def spelled_out(arguments: Iterable[str], runs: bool = False) -> list[str]:
    """Return a command's arguments with files in place of shipped names before the first option.

    Args:
        arguments: of the command.
        runs: whether it takes run folders, too, so that a folder of such a name is meant.
    """
    said = list(arguments)
    for place, word in enumerate(said):
        if word.startswith("-"):
            break
        if not (runs and os.path.isdir(word)):
            said[place] = str(path(word) or word)
    return said
