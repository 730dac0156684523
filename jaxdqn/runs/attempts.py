"""What may fail while a training goes on: learned in memory, it is worth more than a file."""

from collections.abc import Callable
from typing import Any

from jaxdqn.errors import ConfigError, reason_of
from jaxdqn.runs import console


class Attempts:
    """Tries to write, one after the other; a failure is said, and no error.

    One that lasts is said once, until it has succeeded in between.
    """

    def __init__(self) -> None:
        self._failing: set[str] = set()

    def __call__(self, what: str, write: Callable[..., Any], *arguments: Any) -> None:
        """Call ``write`` with these arguments.

        Args:
            what: is written, as a sentence names it.
            write: may raise ``OSError`` or ``ConfigError``.
            *arguments: of it.
        """
        try:
            write(*arguments)
            self._failing.discard(what)
        except (OSError, ConfigError) as error:
            said = str(error).rstrip(".")
            if isinstance(error, OSError):
                said = f"{what} can't be written ({reason_of(error)})"
            if what not in self._failing:
                console.warn(f"{said}; training goes on.")
            self._failing.add(what)
