"""Ctrl-C and SIGTERM, held back until there is something to keep."""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType


class Held:
    """While it is entered, Ctrl-C and SIGTERM only set ``asked``; a second one stops at once."""

    def __init__(self, say: Callable[[], None]) -> None:
        """Call ``say`` at the first one."""
        self.asked = False
        self._say = say

    def __enter__(self) -> "Held":
        """Start listening."""
        self._previous = {
            number: signal.signal(number, self._hear) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the signals as they were."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _hear(self, _signal: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._say()
