"""Computing in 32 bits, whatever the caller's program does elsewhere."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import jax

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_32_bits(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Make a function compute in 32 bits also where ``jax_enable_x64`` is on.

    That setting changes what ``jax.random`` draws, what a sum is of, and so what environments,
    networks and replays keep: with it an agent would be another one, of twice the size.
    """

    @functools.wraps(function)
    def narrow(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
            return function(*args, **kwargs)
        with jax.enable_x64(False):
            return function(*args, **kwargs)

    return narrow
