"""Metrics as arrays with names, for tables and files, and back."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxdqn.evaluation import Evaluation
from jaxdqn.training import Metrics


def to_arrays(metrics: Metrics | Evaluation, prefix: str = "") -> dict[str, np.ndarray]:
    """Return what was measured by name; measures on held-out levels are ``held_out_*``."""
    named: dict[str, np.ndarray] = {}
    for name, rows in vars(metrics).items():
        if isinstance(rows, Evaluation):
            named |= to_arrays(rows, f"{name}_")
        elif rows is not None:
            named[prefix + name] = np.asarray(rows)
    return named


def from_arrays(named: Mapping[str, np.ndarray]) -> Metrics:
    """Invert ``to_arrays``.

    Raises:
        ValueError: a name that no measure has.
    """
    fields: dict[str, Any] = {name: named.get(name) for name in _fields(Metrics)}
    unseen: dict[str, Any] = {name: named.get(f"held_out_{name}") for name in _fields(Evaluation)}
    if strange := set(named) - set(fields) - {f"held_out_{name}" for name in unseen}:
        raise ValueError(f"measures {sorted(strange)} are not known")
    if any(rows is not None for rows in unseen.values()):
        fields["held_out"] = Evaluation(**unseen)
    return Metrics(**fields)


def _fields(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]
