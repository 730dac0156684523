"""How much memory training takes, known before anything is compiled."""

import dataclasses
from collections.abc import Iterator, Set
from typing import Any, NamedTuple

import jax
from jax.extend.core import Jaxpr, Literal

from jaxdqn import pytrees, settings
from jaxdqn.assembly import apart, assemble
from jaxdqn.config import Config, shaping
from jaxdqn.errors import shown
from jaxdqn.evaluation import traced
from jaxdqn.method import State, Tally
from jaxdqn.metrics import Evaluation, Metrics
from jaxdqn.parallel.memory import written
from jaxdqn.precision import in_usual_numbers
from jaxdqn.training import outline

COPIED = 1.1
"""Bytes of an update per byte of its program's values; see ``peak``."""


class Bytes(NamedTuple):
    """What training one agent takes.

    Attributes:
        experience: that it keeps, and its environments.
        networks: their weights, and what the optimiser keeps.
        metrics: all rows.
        updates: during an iteration of acting and learning.
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
    networks = pytrees.size(state.agent)
    rows = len(dataclasses.fields(Metrics)) + len(dataclasses.fields(Evaluation))
    in_place = {(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state)}
    return Bytes(
        experience=pytrees.size(state) - networks,
        networks=networks,
        metrics=4 * rows * config.schedule.evaluations,
        updates=int(COPIED * peak(_one_iteration(config, state), in_place)),
        evaluation=peak(traced(config, state.agent.params)),
    )


@in_usual_numbers
def _one_iteration(config: Config, state: State) -> Jaxpr:
    """Return its program, not compiled, for states of such shapes."""
    config, env_params = apart(shaping(config))
    program: Jaxpr = _iterate.trace(config, env_params, state).jaxpr.jaxpr
    return program


@jax.jit
def _iterate(config: Config, env_params: Any, state: State) -> tuple[State, Tally]:
    return assemble(config, env_params).method.iterate(state, Tally.zero())


def peak(program: Jaxpr, in_place: Set[tuple[Any, Any]] = frozenset()) -> int:
    """Estimate the bytes of all values that are alive at once, at most; of arguments none.

    A value lives from its equation to the last that reads it. XLA fuses some equations and copies
    for others. Evaluations on a CPU took 0.6 to 1.6 of this, where it was megabytes; updates 0.9 to
    1.2, and less where a loss is of pairs of atoms, which it fuses: C51 0.6, QR-DQN 0.4.

    Args:
        program: what is run.
        in_place: shapes and dtypes of what is changed without a copy, which takes nothing.
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
        given = {value: _bytes(value, in_place) for value in equation.outvars if value in ends}
        inside = max((peak(inner, in_place) for inner in _within(equation)), default=0)
        most = max(most, sum(alive.values()) + max(inside, sum(given.values())))
        alive = {value: size for value, size in {**alive, **given}.items() if ends[value] > place}
    return most


def _variables(values: Any) -> Iterator[Any]:
    return (value for value in values if not isinstance(value, Literal))


def _within(equation: Any) -> Iterator[Jaxpr]:
    """Return the programs that an equation calls: loops, functions; a kernel keeps what is its."""
    if equation.primitive.name == "pallas_call":
        return
    for parameter in jax.tree.leaves(list(equation.params.values())):
        inner = getattr(parameter, "jaxpr", parameter)
        if isinstance(inner, Jaxpr):
            yield inner


def _bytes(value: Any, in_place: Set[tuple[Any, Any]]) -> int:
    shape, dtype = value.aval.shape, value.aval.dtype
    return 0 if (shape, dtype) in in_place else pytrees.size(jax.ShapeDtypeStruct(shape, dtype))


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
