"""Where a run is put: a folder that is new, and held by the one process that trains into it."""

import contextlib
import contextvars
import errno
import itertools
import os
import socket
import sys
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from jaxdqn.errors import ConfigError, brief, reason_of, shown
from jaxdqn.runs import files

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

SETTINGS = "config.toml"
CHECKPOINT = "checkpoint.npz"
LANGUAGE = "language.npz"
"""The checkpoint of a language model."""
_LOCK = "jaxdqn.lock"
_BEFORE_TRAINING = {SETTINGS, "metrics.csv", _LOCK}
"""What a run folder holds before its first checkpoint, after which rows are written."""
_HELD = contextvars.ContextVar[frozenset[Path]]("held", default=frozenset())
"""Folders that this thread holds: who calls what holds one may hold it before."""
_FAR = 1 << 30
"""Place of the byte that is locked on Windows, where nobody else may read what is."""


def as_path(value: Any, name: str) -> Path:
    """Return a path as Python's, refusing with a ``ConfigError`` that names it what is none."""
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{name} ({brief(value)}) must be a path: write 'runs/mine' or the like.")
    try:
        os.lstat(value)
    except ValueError as error:
        said = str(error).removeprefix("lstat: ")  # from Python 3.13 on
        raise ConfigError(f"{name} ({shown(value)}) can't be a path ({said}): change it.") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigError(
                f"{name} ({shown(value)}) can't be a path ({reason_of(error)}): change it."
            ) from None
    return Path(value)


def by_time(name: str) -> Path:
    """Make a run folder where no place was given, and return it: a name, and the time.

    Raises:
        ConfigError: it can't be written.
    """
    named = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    for count in itertools.count(1):
        path = Path("runs") / (named if count == 1 else f"{named}-{count}")
        with writable(path), contextlib.suppress(FileExistsError):  # of the same second
            path.mkdir(parents=True)
            break
    return path


@contextlib.contextmanager
def given(path: Path | None, name: str) -> Iterator[Path]:
    """Give the place of a sweep: that which was named, or one ``by_time``.

    The latter goes again where an error comes before the sweep has begun.

    Raises:
        ConfigError: it can't be written.
    """
    if path is not None:
        yield path
        return
    path = by_time(name)
    with removed_if_useless(path):
        yield path


@contextlib.contextmanager
def new(path: Path, text: str | None = None) -> Iterator[None]:
    """Make a run folder and hold it; it goes again where nothing comes of it.

    Args:
        path: the folder.
        text: its ``config.toml``; None: it has none.

    Raises:
        ConfigError: something is there already, another process trains there, or the place can't
            be written to.
    """
    make_folder(path, text)
    with alone(path):
        begin(path, text)  # another process may have come and gone since
        with removed_if_useless(path):
            yield


@contextlib.contextmanager
def alone(run: Path) -> Iterator[None]:
    """Hold a run folder, so that nobody else trains into it meanwhile, in this process or another.

    The system forgets a lock with its process, however that ends and on whatever machine of those
    that see the folder: the file that it is on says who has it, and may stay. Where no file can be
    written or the disk knows no locks, nothing is held.

    Raises:
        ConfigError: somebody else has it.
    """
    path, here = run / _LOCK, run.resolve()
    file = None if here in _HELD.get() else _locked(path)
    if file is None:
        yield
        return
    held = _HELD.set(_HELD.get() | {here})
    try:
        with contextlib.suppress(OSError):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
        yield
    finally:
        _HELD.reset(held)
        if os.name == "posix":  # before another process can have it
            _remove(path)
        with contextlib.suppress(OSError):
            file.close()
        if os.name != "posix":  # where what is open can't be removed
            _remove(path)


def _locked(path: Path) -> TextIO | None:
    """Return the file, open and locked; None where there can be none."""
    while True:
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError:
            return None
        with contextlib.ExitStack() as stack:
            stack.callback(file.close)
            try:
                has = _lock(file)
            except OSError:  # the disk knows no locks
                _remove(path)
                return None
            if not has:
                file.seek(0)
                raise ConfigError(
                    f"run '{path.parent}' is being trained by {file.read() or 'another process'}: "
                    "wait for its end, or stop it first."
                )
            # It may have been removed since by the process that had it.
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    stack.pop_all()
                    return file


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _lock(file: TextIO) -> bool:
    """Lock a file until it is closed; return whether nobody else has.

    Raises:
        OSError: the disk knows no locks.
    """
    try:
        if sys.platform == "win32":
            file.seek(_FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def begin(path: Path, text: str | None) -> None:
    """Make a new run folder with the text of its ``config.toml``, if there is to be one.

    Raises:
        ConfigError: something is there already, or the place can't be written to.
    """
    make_folder(path, text)
    if text is not None:
        with writable(path), removed_if_useless(path):
            files.clear_drafts(path)
            files.write_text(path / SETTINGS, text)


@contextlib.contextmanager
def removed_if_useless(path: Path) -> Iterator[None]:
    """Remove a folder that was just made where an error or Ctrl-C comes before any result."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            there = list(path.iterdir())
            if {file.name for file in there} <= _BEFORE_TRAINING:
                for file in there:
                    file.unlink()
                path.rmdir()
        raise


def make_folder(path: Path, text: str | None = None) -> None:
    """Make a new folder, or take one that ``check_new`` finds to be like one.

    Raises:
        ConfigError: something is there already, or the place can't be written to.
    """
    check_new(path, text)
    with writable(path):
        path.mkdir(parents=True, exist_ok=True)


def check_new(path: Path, text: str | None = None) -> None:
    """Refuse a place where something is.

    Nothing is there in an empty folder, and in one with only what a training with the same
    settings leaves that was killed before its first checkpoint.

    Args:
        path: the place.
        text: the settings that are to be written there, if any.

    Raises:
        ConfigError: something is there.
    """
    with writable(path):
        if path.exists() and not is_unused(path, text):
            raise ConfigError(
                f"out ('{path}') exists already and is not overwritten: choose another folder."
            )


def is_unused(path: Path, text: str | None, but: Collection[str] = ()) -> bool:
    """Whether a folder has only what precedes every result, see ``check_new``, but for some."""
    return path.is_dir() and all(
        file.name in but or _is_no_result(file, text) for file in path.iterdir()
    )


def _is_no_result(file: Path, text: str | None) -> bool:
    if file.is_dir():
        return not any(file.iterdir())
    if file.name == SETTINGS:
        return file.read_text(encoding="utf-8", errors="replace") == text
    begun = file.name == "metrics.csv" and not file.stat().st_size
    return begun or file.name == _LOCK or files.is_draft(file.name)


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    """Refuse, with a ``ConfigError``, a place that can't be written to."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"out ('{path}') can't be written ({reason_of(error)}): choose another folder."
        ) from None
