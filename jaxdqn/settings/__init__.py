"""How a part says what can be set of it, and what can be set whatever the parts are."""

from jaxdqn.settings.own import MethodSettings, NetworkSettings
from jaxdqn.settings.run import RunSettings, Schedule, check_steps, schedule
from jaxdqn.settings.words import (
    Float,
    Int,
    Word,
    as_float,
    descriptions,
    leaf,
    plain,
    static,
    told,
    words,
)

__all__ = [
    "Float",
    "Int",
    "MethodSettings",
    "NetworkSettings",
    "RunSettings",
    "Schedule",
    "Word",
    "as_float",
    "check_steps",
    "descriptions",
    "leaf",
    "plain",
    "schedule",
    "static",
    "told",
    "words",
]
