"""A last word where JAX ends a process because another one of the same sweep did."""

import os
import signal
from collections.abc import Callable

from jaxdqn.runs import signals

SENTENCE = (
    "jaxdqn: this process or another of the same sweep ended before its time: what is finished is "
    "kept, go on with the same command, on as many processes as there are."
)


def watch() -> Callable[[], None]:
    """Let a second process say so, should this one end without calling what is returned.

    JAX ends a process from a thread of its own, by ``abort``, of which Python hears nothing. Call
    this before JAX is loaded: a process with threads can't be doubled.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        for number in signals.STOPS:
            signal.signal(number, signal.SIG_IGN)
        if not os.read(reading, 1):
            os.write(2, f"{SENTENCE}\n".encode())
        os._exit(0)
    os.close(reading)

    def end() -> None:
        os.write(writing, b".")
        os.close(writing)
        os.waitpid(child, 0)

    return end
