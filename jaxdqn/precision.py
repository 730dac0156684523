"""Computing with JAX's usual numbers, whatever the caller's program does elsewhere."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax

from jaxdqn.errors import ConfigError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_USUAL: dict[str, tuple[Callable[[Any], contextlib.AbstractContextManager[None]], Any]] = {
    # It changes what jax.random draws, what a sum is of, and so what environments, networks and
    # replays keep: with it an agent would be another one, of twice the size.
    "jax_enable_x64": (jax.enable_x64, False),
    # Optax computes with whole numbers and fractions at once, and so do environments.
    "jax_numpy_dtype_promotion": (jax.numpy_dtype_promotion, "standard"),
}


def in_usual_numbers(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Make a function compute in 32 bits, whole numbers and fractions together, as is usual."""

    @functools.wraps(function)
    def usual(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with contextlib.ExitStack() as stack:
            for name, (setting, value) in _USUAL.items():
                if getattr(jax.config, name) != value:
                    stack.enter_context(setting(value))
            return function(*args, **kwargs)

    return usual


def check_nans() -> None:
    """Refuse, with a ``ConfigError``, to look for NaN in the programs of a whole command."""
    if jax.config.jax_debug_nans:  # type: ignore[attr-defined]
        raise ConfigError(
            "JAX_DEBUG_NANS (True) takes the NaN of what wasn't measured for an error: unset it; a "
            "seed whose loss or network leaves the finite numbers halts and is named without."
        )
