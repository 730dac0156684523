"""Signals to stop: heard wherever they fall, held back until there is something to keep."""

import _thread
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Self

STOPS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C, SIGTERM and, where there is one, the signal that a terminal is closed."""


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """While it is entered, Ctrl-C ends the process at once, whatever Python code is run.

    An extension that is imported makes an ``ImportError`` of it.
    """
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def repeated() -> Iterator[None]:
    """While it is entered, a Ctrl-C that falls where Python ignores errors comes again soon after.

    JAX has a callback in the garbage collector, which ignores them.
    """
    before = sys.unraisablehook

    def hook(ignored: Any) -> None:
        if ignored.exc_type is KeyboardInterrupt:
            threading.Timer(0.01, _thread.interrupt_main).start()
        else:
            before(ignored)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """While it is entered, each of ``STOPS`` that would end the process at once is as Ctrl-C.

    What was begun is then left as it should be, and said. Not where a person waits for nothing but
    the end: compiled code is finished first.
    """
    with contextlib.ExitStack() as stack:
        here = threading.current_thread() is threading.main_thread()
        for number in STOPS if here else ():
            if signal.getsignal(number) == signal.SIG_DFL:
                before = signal.signal(number, signal.default_int_handler)
                stack.callback(signal.signal, number, before)
        yield


class Held(contextlib.ExitStack):
    """While it is entered, ``STOPS`` only set ``heard``; a second one stops at once.

    A second one that says that the terminal is closed doesn't: shell and system both send it.
    Signals that are ignored, as under nohup, stay so. Whoever shows something meanwhile derives
    from it.
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
        for number in STOPS if self._holds else ():
            # None stands for a handler that Python can't put back.
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self.callback(signal.signal, number, signal.signal(number, self._hear))
        for end in self._ends:
            self.callback(end)
        return self

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            if number == getattr(signal, "SIGHUP", None):
                return
            raise KeyboardInterrupt
        self.heard = number
        self._say()
