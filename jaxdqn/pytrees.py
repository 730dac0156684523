"""The arrays of a pytree: names, bytes, axes of agents, and whether they fit some settings."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdqn.errors import ConfigError, brief
from jaxdqn.types import Array, ArrayTree


def named_leaves(tree: ArrayTree) -> dict[str, Any]:
    """Return the arrays of a pytree by the path that leads to them, as in ``agent.updates``."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in leaves}


def nonfinite(tree: ArrayTree) -> list[str]:
    """Return the names of arrays of a pytree that hold NaN or infinity; traced ones are let by."""
    known = {
        name: leaf
        for name, leaf in named_leaves(tree).items()
        if not isinstance(leaf, jax.core.Tracer)
    }
    return [name for name, leaf in known.items() if not np.isfinite(np.asarray(leaf)).all()]


def is_key(leaf: Any) -> bool:
    """Whether an array holds random keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def size(tree: ArrayTree) -> int:
    """Return the bytes of the arrays of a pytree, or of their shapes."""
    return sum(_bytes(leaf) for leaf in jax.tree.leaves(tree))


def _bytes(leaf: Any) -> int:
    if is_key(leaf):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    return math.prod(leaf.shape) * leaf.dtype.itemsize


def plain(value: Any) -> Any:
    """Return what JSON can say: arrays and their numbers as lists and numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def agent_axes(tree: Any) -> Any:
    """Return where a state has its axis of agents: 0, and None in fields that are ``shared``.

    It is a prefix of the tree, as ``jax.vmap`` takes it.
    """
    if not any(field.metadata.get("shared") for field in _fields_within(tree)):
        return 0
    return tree.replace(
        **{
            field.name: None
            if field.metadata.get("shared")
            else agent_axes(getattr(tree, field.name))
            for field in dataclasses.fields(tree)
        }
    )


def _fields_within(tree: Any) -> list[Any]:
    if not dataclasses.is_dataclass(tree):
        return []
    own = list(dataclasses.fields(tree))
    return own + [inner for field in own for inner in _fields_within(getattr(tree, field.name))]


def map_agents(per_agent: Callable[..., Array], shared: Callable[..., Array], *trees: Any) -> Any:
    """Map over the leaves with an axis of agents, and over the shared ones, each its way."""

    def each(axis: int | None, *leaves: Any) -> Any:
        return jax.tree.map(shared if axis is None else per_agent, *leaves)

    return jax.tree.map(each, agent_axes(trees[0]), *trees, is_leaf=lambda x: x is None)


def leading_axes(
    state: ArrayTree,
    outline: ArrayTree,
    what: str = "state",
    remedy: str = "use the settings that the state was made with",
) -> tuple[int, ...]:
    """Return the axes that a state has before those of one agent: ``()``, or e.g. ``(S,)``.

    A replay of another size would be written and read without complaint, hence the care.
    Counters may lack the leading axes.

    Args:
        state: of one agent or of many.
        outline: what one agent's state looks like, from ``training.outline``.
        what: what it is called, if it isn't a state.
        remedy: what to do where it isn't of these settings.

    Raises:
        ConfigError: it is no state, or an array is missing, unknown, or of another shape or dtype.
    """
    if dataclasses.is_dataclass(outline) and not isinstance(state, type(outline)):
        raise ConfigError(
            f"{what} ({brief(state)}) must be a {type(outline).__name__}: give what init, run or "
            "train returned first."
        )
    wanted, found = named_leaves(outline), named_leaves(state)
    if wanted and not wanted.keys() & found.keys():
        raise ConfigError(
            f"{what} ({brief(state)}) is not what these settings make, which has such arrays as "
            f"{next(iter(wanted))!r}: {remedy}."
        )
    seen: set[tuple[int, ...]] = set()
    for name in wanted | found:  # the networks first, whose names say most
        want, have = wanted.get(name), found.get(name)
        axes = _axes_before(want, have)
        if axes is None:
            path = ".".join(filter(None, (what, name)))
            raise ConfigError(
                f"{path} ({_describe(have)}) is not what these settings make "
                f"({_describe(want)}): {remedy}."
            )
        seen |= {axes} - {()}
    if len(seen) > 1:
        raise ConfigError(
            f"{what} has leading axes {' and '.join(map(str, sorted(seen)))}: "
            "give all arrays the same ones."
        )
    return seen.pop() if seen else ()


def _axes_before(want: Any, have: Any) -> tuple[int, ...] | None:
    if want is None or not hasattr(have, "dtype"):
        return None
    if have.dtype != want.dtype and not (is_key(have) and is_key(want)):
        return None
    count = len(have.shape) - len(want.shape)
    fits = count >= 0 and tuple(have.shape[count:]) == tuple(want.shape)
    return tuple(have.shape[:count]) if fits else None


def _describe(leaf: Any) -> str:
    if not hasattr(leaf, "dtype"):
        return "nothing" if leaf is None else brief(leaf)
    return f"{leaf.dtype}[{', '.join(map(str, leaf.shape))}]"
