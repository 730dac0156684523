"""Files that are either whole or not there: text, and arrays with checksums.

Arrays are kept in NumPy's ``.npz``: a zip of plain arrays, each with a checksum, among them
``about``, which says the rest as JSON. Nothing in it is ever executed, and ``numpy.load`` opens it
anywhere.
"""

import contextlib
import io
import json
import os
import socket
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdqn.errors import ConfigError, reason_of

_ABOUT = "about"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a draft that takes the place of ``path`` at the end, whole and lasting.

    Where something is raised, what was there before stays.
    """
    # In the same folder, so that the last step is one atomic rename.
    draft = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        yield draft
        with draft.open("r+b") as file:
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def clear_drafts(folder: Path) -> None:
    """Delete what processes that were killed left in a folder, and in those within it.

    Drafts of a process that is alive stay, and those of other machines, whose processes aren't
    known here.
    """
    for draft in folder.rglob(f"*.{socket.gethostname()}.*.tmp"):
        pid = draft.suffixes[-2].removeprefix(".")
        if pid.isdecimal() and not _is_alive(int(pid)):
            draft.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    """Whether a process of this machine is there; where the system can't be asked, it is."""
    if os.name == "posix":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # of another user
            return True
    return True


def _sync_folder(path: Path) -> None:
    """Make a rename in a folder last through a loss of power, where the system can."""
    if os.name == "posix":
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file; the one before stays until this one is whole."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_arrays(path: Path, about: Mapping[str, Any], arrays: Mapping[str, Any], kind: str) -> int:
    """Write arrays and what is to be said of them; return the file's size in bytes.

    Args:
        path: the file.
        about: what JSON can say.
        arrays: by name.
        kind: what a message calls the file.

    Raises:
        ConfigError: it can't be written; the one before is still there.
    """
    said = np.frombuffer(json.dumps(about).encode(), np.uint8)
    named: dict[str, Any] = {_ABOUT: said, **arrays}
    try:
        with replacing(path) as draft, draft.open("wb") as file:
            np.savez(file, **named)
    except OSError as error:
        raise ConfigError(
            f"{kind} '{path}' can't be written ({reason_of(error)}): "
            "make room or choose another place."
        ) from None
    return path.stat().st_size


def read_arrays(
    path: Path, kind: str, prefix: tuple[str, ...] = ("",)
) -> tuple[Any, dict[str, Any]]:
    """Read what ``write_arrays`` wrote: what is said of the arrays, and the arrays.

    Args:
        path: the file.
        kind: what a message calls the file.
        prefix: only arrays whose names begin with one of these are read.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # A member read whole is compared with its checksum; numpy.load would stop before that
            # where a damaged header says so.
            wanted = [name for name in archive.namelist() if _is_wanted(name, prefix)]
            members = {name: io.BytesIO(archive.read(name)) for name in wanted}
            arrays = {
                name.removesuffix(".npy"): np.load(member, allow_pickle=False)
                for name, member in members.items()
            }
    except FileNotFoundError:
        raise ConfigError(
            f"{kind} '{path}' doesn't exist: check the path, or train first."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{kind} '{path}' can't be read ({reason_of(error, 'unreadable')}): check the path."
        ) from None
    except Exception as error:  # zipfile meets damage with exceptions of many kinds
        raise damaged(path, kind, str(error)) from None
    try:
        return json.loads(arrays.pop(_ABOUT).tobytes()), arrays
    except (KeyError, ValueError):
        raise damaged(path, kind, "it isn't one of jaxdqn's") from None


def _is_wanted(name: str, prefix: tuple[str, ...]) -> bool:
    return name.startswith(prefix) or name == f"{_ABOUT}.npy"


def damaged(path: Path, kind: str, reason: str) -> ConfigError:
    """Return the error for a file that doesn't hold what it should."""
    first = reason.splitlines()[0].rstrip(".") if reason else "unreadable"
    return ConfigError(f"{kind} '{path}' is damaged ({first}): use another copy, or train again.")
