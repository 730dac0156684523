"""How much memory training takes, known before anything is compiled."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import Jaxpr, Literal

from jaxdqn import pytrees, settings
from jaxdqn.assembly import assemble
from jaxdqn.config import Config, shaping
from jaxdqn.errors import shown
from jaxdqn.evaluation import traced
from jaxdqn.metrics import Evaluation, Metrics
from jaxdqn.parallel.memory import written
from jaxdqn.training import outline
from jaxdqn.types import Params

BACKWARD = 1.6
"""Bytes of a backward pass per byte that the forward pass keeps for it; XLA takes 1.5 to 1.6 for
residual networks (CPU)."""


class Bytes(NamedTuple):
    """What training one agent takes.

    Attributes:
        experience: that it keeps, and its environments.
        networks: their weights, and what the optimiser keeps.
        metrics: all rows.
        updates: during one, experience that is gathered and forgotten, the gradient, and what the
            backward pass keeps of a batch.
        evaluation: during one.
    """

    experience: int
    networks: int
    metrics: int
    updates: int
    evaluation: int

    @property
    def held(self) -> int:
        """What it takes all the time."""
        return self.experience + self.networks + self.metrics

    @property
    def total(self) -> int:
        """What it takes at its peak; there is no update during an evaluation."""
        return self.held + max(self.updates, self.evaluation)


def per_agent(config: Config) -> Bytes:
    """Estimate the bytes that training one agent takes.

    Its state counts once, since the compiled loops change it in place.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    state = outline(config)
    parts = assemble(shaping(config))
    environment, outputs = parts.environment, parts.method.outputs
    params, networks = state.agent.params, pytrees.size(state.agent)
    rows = len(dataclasses.fields(Metrics)) + len(dataclasses.fields(Evaluation))
    shape = (config.schedule.batch_size, *environment.obs.shape)
    batch = jax.ShapeDtypeStruct(shape, environment.obs.dtype)

    def backward(params: Params, batch: jax.Array) -> Any:
        return jax.vjp(lambda p: jax.vmap(outputs, (None, 0))(p, batch), params)[1]

    gradient = pytrees.size(params)
    kept = int(BACKWARD * max(pytrees.size(jax.eval_shape(backward, params, batch)) - gradient, 0))
    return Bytes(
        experience=pytrees.size(state) - networks,
        networks=networks,
        metrics=4 * rows * config.schedule.evaluations,
        updates=parts.method.bytes_gathered + gradient + kept,
        evaluation=peak(traced(config, params)),
    )


def peak(program: Jaxpr) -> int:
    """Estimate the bytes of all values that are alive at once, at most; of arguments none.

    A value lives from its equation to the last that reads it. XLA fuses some equations and copies
    for others: evaluations on a CPU took 0.6 to 1.6 of this, where it was megabytes.
    """
    ends = {
        value: place
        for place, equation in enumerate(program.eqns)
        for value in _variables(equation.invars)
    }
    ends |= dict.fromkeys(_variables(program.outvars), len(program.eqns))
    alive: dict[Any, int] = {}
    most = 0
    for place, equation in enumerate(program.eqns):
        given = {value: _bytes(value) for value in equation.outvars if value in ends}
        inside = max(map(peak, _within(equation)), default=0)
        most = max(most, sum(alive.values()) + max(inside, sum(given.values())))
        alive = {value: size for value, size in {**alive, **given}.items() if ends[value] > place}
    return most


def _variables(values: Any) -> Iterator[Any]:
    return (value for value in values if not isinstance(value, Literal))


def _within(equation: Any) -> Iterator[Jaxpr]:
    """Return the programs that an equation calls: loops, functions."""
    for parameter in jax.tree.leaves(list(equation.params.values())):
        inner = getattr(parameter, "jaxpr", parameter)
        if isinstance(inner, Jaxpr):
            yield inner


def _bytes(value: Any) -> int:
    return pytrees.size(jax.ShapeDtypeStruct(value.aval.shape, value.aval.dtype))


def largest(config: Config, need: Bytes) -> tuple[str, str]:
    """Return, as messages say it, what takes most of an agent's bytes, and what is to be lowered.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    parts, sizes = assemble(config), _sizes(config)
    judged = ("eval_episodes", *(["oracle_levels"] if parts.environment.is_maze else []))
    lower = {
        "experience": parts.method.kept_by,
        "networks": sizes,
        "metrics": ("evaluations",),
        "updates": (*parts.method.learned_by, *sizes),
        "evaluation": (*judged, *sizes),
    }
    name = max(lower, key=lambda name: int(getattr(need, name)))
    said = [f"{word} ({shown(getattr(config, word))})" for word in lower[name]]
    *others, last = said or ["the network's sizes"]
    remedy = f"{', '.join(others)} or {last}" if others else last
    return f"{written(getattr(need, name))} of it for {name}", remedy


def _sizes(config: Config) -> list[str]:
    """Return the words that say how large the network is, and its memory."""
    return [
        name
        for part in ("network", "memory")
        if part in config.chosen
        for name, word in settings.words(config.part(part).__class__).items()
        if word.kind in (int, tuple[int, ...]) and not word.is_number and getattr(config, name)
    ]
