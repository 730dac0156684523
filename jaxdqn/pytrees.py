"""Whether a state belongs to some settings: names, shapes and dtypes of the arrays of a pytree."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxdqn.types import ArrayTree, ConfigError


def named_leaves(tree: ArrayTree) -> dict[str, Any]:
    """Return the arrays of a pytree by the path that leads to them, as in ``agent.updates``."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in leaves}


def is_key(leaf: Any) -> bool:
    """Whether an array holds random keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def leading_axes(state: ArrayTree, outline: ArrayTree) -> tuple[int, ...]:
    """Return the axes that a state has before those of one agent: ``()``, or e.g. ``(S,)``.

    A replay of another size would be written and read without complaint, hence the care.
    Counters may lack the leading axes.

    Args:
        state: of one agent or of many.
        outline: what one agent's state looks like, from ``training.outline``.

    Raises:
        ConfigError: an array is missing, unknown, or of another shape or dtype.
    """
    wanted, found = named_leaves(outline), named_leaves(state)
    seen: set[tuple[int, ...]] = set()
    for name in wanted | found:  # the networks first, whose names say most
        want, have = wanted.get(name), found.get(name)
        axes = _axes_before(want, have)
        if axes is None:
            raise ConfigError(
                f"state.{name} ({_describe(have)}) is not what these settings make "
                f"({_describe(want)}): use the settings that the state was made with."
            )
        seen |= {axes} - {()}
    if len(seen) > 1:
        raise ConfigError(
            f"state has leading axes {' and '.join(map(str, sorted(seen)))}: "
            "give all arrays the same ones."
        )
    return seen.pop() if seen else ()


def _axes_before(want: Any, have: Any) -> tuple[int, ...] | None:
    if want is None or have is None:
        return None
    if have.dtype != want.dtype and not (is_key(have) and is_key(want)):
        return None
    count = len(have.shape) - len(want.shape)
    fits = count >= 0 and tuple(have.shape[count:]) == tuple(want.shape)
    return tuple(have.shape[:count]) if fits else None


def _describe(leaf: Any) -> str:
    return "nothing" if leaf is None else f"{leaf.dtype}[{', '.join(map(str, leaf.shape))}]"
