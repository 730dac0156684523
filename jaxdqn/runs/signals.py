"""Ctrl-C and SIGTERM, held back until there is something to keep."""

import contextlib
import signal
from collections.abc import Callable
from types import FrameType
from typing import Self


class Held(contextlib.ExitStack):
    """While it is entered, Ctrl-C and SIGTERM only set ``asked``; a second one stops at once.

    Whoever shows something meanwhile derives from it.
    """

    def __init__(self, say: Callable[[], None], *ends: Callable[[], None]) -> None:
        """Call ``say`` at the first one, and ``ends`` before the signals are as they were."""
        super().__init__()
        self.asked = False
        self._say, self._ends = say, ends

    def __enter__(self) -> Self:
        """Start listening, until the end."""
        super().__enter__()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.callback(signal.signal, number, signal.signal(number, self._hear))
        for end in self._ends:
            self.callback(end)
        return self

    def _hear(self, _signal: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._say()
