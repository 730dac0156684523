"""Standard streams that outlive their readers: a training is worth more than a line about it."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from jaxdqn.errors import reason_of

_CALLED = {"stdout": "standard output", "stderr": "standard error"}


class Lasting:
    """A standard stream that any text can be written to, at any time.

    What can't be written is left out, which the other stream is told once: the reader of a pipe may
    be gone, a terminal closed, a disk full. What the encoding doesn't know becomes a question mark.
    """

    def __init__(self, name: str, stream: TextIO | None = None, tells: bool = True) -> None:
        """Lead to a stream.

        Args:
            name: ``"stdout"`` or ``"stderr"``.
            stream: what it leads to; None: to what ``sys`` calls so at the moment.
            tells: whether the other stream is told.
        """
        self._name, self._stream, self._tells = name, stream, tells

    def __getattr__(self, name: str) -> Any:
        return getattr(self._current(), name)

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        if (stream := self._current()) is not None:
            with self._forgiving():
                try:
                    stream.write(text)
                except UnicodeEncodeError:
                    known = text.encode(stream.encoding, "replace")
                    stream.write(known.decode(stream.encoding))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        if (stream := self._current()) is not None:
            with self._forgiving():
                stream.flush()

    def _current(self) -> TextIO | None:
        if self._stream is not None:
            return self._stream
        # While rich shows a live line, it puts a stand-in there that leads to its console.
        found = getattr(sys, self._name)
        return getattr(found, "rich_proxied_file", found)

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError:
            pass  # a signal's handler writes while a line is being written
        except OSError as error:
            if not self._tells:
                return
            self._tells = False
            other = sys.stderr if self._name == "stdout" else sys.stdout
            with contextlib.suppress(OSError):
                print(
                    f"jaxdqn: {_CALLED[self._name]} can't be written ({reason_of(error)}): what is "
                    "running goes on without it.",
                    file=other, flush=True,
                )  # fmt: skip


def outlive(tells: bool = True) -> None:
    """Let this process's standard streams last.

    Args:
        tells: whether what can't be written on one of them is told on the other.
    """
    for name in _CALLED:
        if (stream := getattr(sys, name)) is not None:
            setattr(sys, name, Lasting(name, stream, tells))
