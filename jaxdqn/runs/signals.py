"""Ctrl-C and SIGTERM, held back until there is something to keep."""

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Self


class Held(contextlib.ExitStack):
    """While it is entered, Ctrl-C and SIGTERM only set ``heard``; a second one stops at once.

    Whoever shows something meanwhile derives from it.
    """

    def __init__(
        self, say: Callable[[], None], *ends: Callable[[], None], holds: bool = True
    ) -> None:
        """Call ``say`` at the first one, and ``ends`` before the signals are as they were.

        Without ``holds``, or in a thread that signals don't reach, they stay as they are.
        """
        super().__init__()
        self.heard: int | None = None
        self._say, self._ends = say, ends
        self._holds = holds and threading.current_thread() is threading.main_thread()

    @property
    def asked(self) -> bool:
        """Whether one was heard."""
        return self.heard is not None

    def __enter__(self) -> Self:
        """Start listening, until the end."""
        super().__enter__()
        for number in (signal.SIGINT, signal.SIGTERM) if self._holds else ():
            self.callback(signal.signal, number, signal.signal(number, self._hear))
        for end in self._ends:
            self.callback(end)
        return self

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.heard = number
        self._say()
