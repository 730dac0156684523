"""Files that are either whole or not there: text, and arrays with checksums.

Arrays are kept in NumPy's ``.npz``: a zip of plain arrays, each with a checksum, among them
``about``, which says the rest as JSON. Nothing in it is ever executed, and ``numpy.load`` opens it
anywhere.
"""

import contextlib
import errno
import io
import json
import os
import re
import socket
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxdqn.errors import ConfigError, reason_of

_ABOUT = "about"
_NAMES = "arrays"
"""What ``about`` calls the names of all arrays: in a damaged zip, some may be hidden."""
_DRAFT = re.compile(
    r".+\.(csv|gif|jax|json|msgpack|npz|png|toml)\.(?P<host>.+)\.(?P<pid>[0-9]+)\.tmp"
)
_DAY = 24 * 3600.0
"""Seconds after which a draft is nobody's: writing one takes seconds."""
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES}
"""By which a system says that it can't sync folders, as on some network and encrypted disks."""
_LONGEST = 80
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)
"""Names that are devices on Windows, whatever comes behind a dot."""


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


def is_draft(name: str) -> bool:
    """Whether a file's name is of a draft."""
    return _DRAFT.fullmatch(name) is not None


def clear_drafts(folder: Path) -> None:
    """Delete what processes that were killed left in a folder, and in those within it.

    Drafts of a process that is alive stay. So do those of others that can't be asked, such as of
    other machines, but no longer than a day.
    """
    for draft in folder.rglob("*.tmp"):
        if (said := _DRAFT.fullmatch(draft.name)) is None:
            continue
        with contextlib.suppress(FileNotFoundError):  # another process clears, too
            here = said["host"] == socket.gethostname()
            dead = here and not _is_alive(int(said["pid"]))
            if dead or time.time() - draft.stat().st_mtime > _DAY:
                draft.unlink()


def _is_alive(pid: int) -> bool:
    """Whether a process of this machine is there; where the system can't be asked, it is."""
    if os.name == "posix":  # elsewhere this number is a signal that ends it
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:  # of another user
            return True
    return True


def _sync_folder(path: Path) -> None:
    """Make a rename in a folder last through a loss of power, where the system can."""
    if os.name != "posix":
        return
    try:
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def plain_names(names: Sequence[str]) -> list[str]:
    """Return a file's name without its ending for each of some names, for any file system.

    They have letters, digits and ``-_.=`` only, at most 90, and differ in more than their case.

    Args:
        names: what people call things, all different.
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_.=]+", "-", name)[:_LONGEST].strip("-.") or "unnamed"
        plain = f"_{plain}" if _RESERVED.match(plain) else plain
        free, count = plain, 1
        while free.lower() in taken:
            count += 1
            free = f"{plain}-{count}"
        taken.add(free.lower())
        found.append(free)
    return found


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
    text = json.dumps({**about, _NAMES: list(arrays)})
    said = np.frombuffer(text.encode(), np.uint8)
    named: dict[str, Any] = {_ABOUT: said, **arrays}
    try:
        with replacing(path) as draft:
            with draft.open("wb") as file:
                np.savez(file, **named)
            # What is in place may be another process's by now, or gone.
            return draft.stat().st_size
    except OSError as error:
        raise ConfigError(
            f"{kind} '{path}' can't be written ({reason_of(error)}): "
            "make room or choose another place."
        ) from None


def read_arrays(
    path: Path, kind: str, prefix: tuple[str, ...] = ("",), made_by: str = "train"
) -> tuple[Any, dict[str, Any]]:
    """Read what ``write_arrays`` wrote: what is said of the arrays, and the arrays.

    Args:
        path: the file.
        kind: what a message calls the file.
        prefix: only arrays whose names begin with one of these are read.
        made_by: the command that leaves such a file.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    try:
        arrays = unpacked(path, prefix)
    except FileNotFoundError:
        raise ConfigError(
            f"{kind} '{path}' doesn't exist: check the path, or {made_by} first."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{kind} '{path}' can't be read ({reason_of(error, 'unreadable')}): check the path."
        ) from None
    except Exception as error:  # zipfile meets damage with exceptions of many kinds
        raise damaged(path, kind, str(error)) from None
    try:
        about = json.loads(arrays.pop(_ABOUT).tobytes())
        names = about.pop(_NAMES, arrays)  # older files don't tell
    except (KeyError, ValueError, AttributeError):
        raise damaged(path, kind, "it isn't one of jaxdqn's") from None
    if {name for name in names if name.startswith(prefix)} != arrays.keys():
        raise damaged(path, kind, "it doesn't have the arrays that it was written with")
    return about, arrays


def unpacked(file: Path | BinaryIO, prefix: tuple[str, ...] = ("",)) -> dict[str, Any]:
    """Return the arrays of a ``.npz``, each compared with its checksum.

    Args:
        file: which.
        prefix: only arrays whose names begin with one of these are read, and ``about``.

    Raises:
        Exception: of many kinds, where the file is missing or damaged.
    """
    with zipfile.ZipFile(file) as archive:
        # A member read whole is compared with its checksum; numpy.load would stop before that
        # where a damaged header says so.
        wanted = [name for name in archive.namelist() if _is_wanted(name, prefix)]
        members = {name: io.BytesIO(archive.read(name)) for name in wanted}
        return {
            name.removesuffix(".npy"): np.load(member, allow_pickle=False)
            for name, member in members.items()
        }


def _is_wanted(name: str, prefix: tuple[str, ...]) -> bool:
    return name.startswith(prefix) or name == f"{_ABOUT}.npy"


def damaged(path: Path, kind: str, reason: str) -> ConfigError:
    """Return the error for a file that doesn't hold what it should."""
    first = reason.splitlines()[0].rstrip(".") if reason else "unreadable"
    return ConfigError(f"{kind} '{path}' is damaged ({first}): use another copy, or train again.")
