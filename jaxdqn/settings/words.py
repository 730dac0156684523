"""How a part of the library says what can be set: sizes and names, or numbers.

A part's settings are one ``flax.struct.PyTreeNode`` beside the code that reads them; its fields are
made by ``static`` and ``leaf``, and the string under each is what ``--help`` says of it.
"""

import ast
import dataclasses
import functools
import inspect
import itertools
import math
import re
import sys
import textwrap
import typing
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from flax.core import FrozenDict

if TYPE_CHECKING:
    from jaxdqn.types import Array

    # A leaf may be one number or, in a sweep, an array of them.
    Float = float | Array
    Int = int | Array
else:
    Float, Int = float, int


def static(
    default: Any,
    low: int | None = None,
    remedy: str = "write it in quotes",
    idle: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Structure: part of the compiled program, hashable, the same for all agents in it.

    Args:
        default: a name, a size, sizes, whether, or ``{}`` for an empty table.
        low: least size.
        remedy: what to do where a name was wanted and something else was given.
        idle: structure beside which this changes nothing, by name, so that it is said.
    """
    return _field(default, False, {"low": low, "remedy": remedy, "idle": idle})


def leaf(
    default: Any,
    low: float = -math.inf,
    high: float = math.inf,
    infinite: bool = False,
    idle: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """A number: changing it compiles nothing, and an array of it is a sweep.

    Args:
        default: a number.
        low: least value.
        high: greatest value.
        infinite: whether it may be infinite, too.
        idle: structure beside which this changes nothing, as of ``static``.
    """
    return _field(default, True, {"low": low, "high": high, "infinite": infinite, "idle": idle})


def _field(default: Any, is_number: bool, metadata: dict[str, Any]) -> Any:
    if isinstance(default, dict):  # structure is hashed, and settings don't change in place
        return struct.field(is_number, metadata=metadata, default_factory=FrozenDict)
    return struct.field(is_number, metadata=metadata, default=default)


class Word(NamedTuple):
    """One thing that can be set.

    Attributes:
        name: what it is called everywhere.
        kind: its type, of one agent.
        is_number: whether it is a leaf; otherwise it is structure.
        bounds: what its constructor was told.
    """

    name: str
    kind: Any
    is_number: bool
    bounds: Mapping[str, Any]

    @property
    def is_table(self) -> bool:
        """Whether it is a mapping, whose entries the environment knows."""
        return typing.get_origin(self.kind) is Mapping

    def as_leaf(self, value: Any) -> Any:
        """Return a value as a leaf."""
        return as_float(value) if self.kind is float else plain(value)


def plain(value: Any) -> Any:
    """Return a number of NumPy's or JAX's as Python's; what isn't one stays as it is.

    JAX compiles for each of them. What is of 64 bits, and can't be Python's, is brought to 32: by
    JAX from an array of NumPy's, which a check may look at first, or here where it is traced.
    """
    if isinstance(value, np.integer):
        return int(value)
    if not isinstance(value, jax.Array) or not jnp.issubdtype(value.dtype, np.number):
        return value
    wide = value.dtype.itemsize == 8
    if isinstance(value, jax.core.Tracer):
        whole = jnp.issubdtype(value.dtype, np.integer)
        return value.astype(np.int32 if whole else np.float32) if wide else value
    if value.ndim == 0:
        return value.item()
    return np.asarray(value) if wide else value


def as_float(value: Any) -> Any:
    """Return a number as a float, and what isn't one as ``plain`` does."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int | np.floating):
        return value
    return value if isinstance(value, int) and abs(value) > sys.float_info.max else float(value)


@functools.cache
def words(part: type) -> dict[str, Word]:
    """Return what a part's class says can be set, by name."""
    kinds = typing.get_type_hints(part)
    return {
        field.name: Word(
            field.name, kinds[field.name], field.metadata["pytree_node"], field.metadata
        )
        for field in dataclasses.fields(part)
    }


def descriptions(part: type) -> dict[str, str]:
    """Return the strings under the fields of a part's class, by name."""
    said: dict[str, str] = {}
    for kind in reversed(part.__mro__[: part.__mro__.index(struct.PyTreeNode)]):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        except OSError:  # of a class that was typed in, and stands in no file
            continue
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, below in itertools.pairwise(statements):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                name, text = ast.unparse(field.target), ast.literal_eval(below.value)
                said[name] = " ".join(text.split())
    return said


def told(of: Any) -> dict[str, str]:
    """Return what a docstring says under ``Args`` or ``Attributes``, by name."""
    entries = re.findall(r"(?m)^    (\w+): (.+(?:\n {8}.+)*)", inspect.getdoc(of) or "")
    return {name: " ".join(text.replace("``", "").split()) for name, text in entries}
