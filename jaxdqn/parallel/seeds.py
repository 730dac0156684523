"""Many agents: seeds side by side, spread over all devices, pausing after each evaluation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxdqn import pytrees
from jaxdqn.config import Config
from jaxdqn.errors import ConfigError
from jaxdqn.method import State
from jaxdqn.metrics import Metrics
from jaxdqn.parallel import estimate, executor
from jaxdqn.parallel.memory import written
from jaxdqn.training import outline
from jaxdqn.types import Array


def train_in_periods(
    config: Config,
    seeds: Sequence[int],
    state: State | None = None,
    *,
    numbers: Mapping[str, np.ndarray] | None = None,
    how: executor.Plan | None = None,
) -> Iterator[tuple[State, Metrics | None]]:
    """Train one agent per seed, pausing after each evaluation.

    Seed ``i`` is ``train(config, jax.random.key(i))``, whatever the others are; not of JAX's "rbg"
    keys, whose draws depend on what is beside them.

    Args:
        config: the settings.
        seeds: number of each agent's seed (S).
        state: where to carry on, as yielded or restored, on any number of devices; by default
            the agents are new.
        numbers: settings that differ between agents: by name, arrays ``[S]``.
        how: the layout; by default the agents are spread over all devices.

    Yields:
        First the warmed-up states and None, as soon as everything is compiled; then, after each
        evaluation, the states and one row of metrics, leaves ``[S]``. States, leaves ``[S, ...]``
        but for the counters, are consumed by the next step: keep none of them.

    Raises:
        ConfigError: a setting that can't be honoured, or a state of other settings or seeds.
    """
    how = how or executor.plan(config, len(seeds))
    check_memory(config, how, len(seeds))
    run = executor.programs(config, how)
    numbers, keys = arguments(seeds, numbers or {}, how)
    if state is None:
        state = run.begin(config, numbers, keys)
    else:
        state = _with_padding(_of_seeds(config, seeds, state), how.agents)
        state = executor.place(config, how, state)
    remaining = config.schedule.evaluations - int(state.evaluations)
    compiled = run.advance.lower(config, numbers, state).compile()
    yield _without_padding(state, len(seeds)), None
    for _ in range(remaining):
        state, metrics = compiled(config, numbers, state)
        metrics = jax.tree.map(lambda x: np.asarray(x)[: len(seeds), 0], metrics)
        yield _without_padding(state, len(seeds)), metrics


def arguments(
    seeds: Sequence[int], numbers: Mapping[str, np.ndarray], how: executor.Plan
) -> tuple[dict[str, np.ndarray], Array]:
    """Return what ``Programs.begin`` takes after the settings, an entry for each agent of a layout.

    The last agent comes again and again, to make the shares of all devices equal; what such a
    one learns is thrown away.
    """
    agents = _padding(len(seeds), how.agents)
    keys = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32)[agents])
    return {name: values[agents] for name, values in numbers.items()}, keys


def check_memory(config: Config, how: executor.Plan, count: int) -> None:
    """Refuse agents that can't fit into memory, before XLA fails to allocate them."""
    if how.most < count:
        most, remedy = estimate.largest(config, how.need)
        raise ConfigError(
            f"{count} agents that take {written(how.need.total)} of memory each, {most}, don't fit "
            f"into {written(how.bytes_free * how.devices)}: train fewer seeds, or lower {remedy}."
        )


def check_agents(config: Config, seeds: Sequence[int], state: State) -> None:
    """Refuse a state of other settings, or of more or fewer agents than there are seeds."""
    if (axes := pytrees.leading_axes(state, outline(config))) != (len(seeds),):
        raise ConfigError(
            f"state holds agents along leading axes {axes}, and seeds names {len(seeds)}: "
            "give as many seeds as there are agents."
        )


def _of_seeds(config: Config, seeds: Sequence[int], state: State) -> State:
    """Return a state that holds these seeds, its counters shared."""
    check_agents(config, seeds, state)
    # The next step consumes JAX's arrays, and of a checkpoint the keys are: it may begin another.
    return pytrees.map_agents(
        lambda x: jax.device_put(x, may_alias=False) if pytrees.is_key(x) else x,
        lambda x: x.reshape(-1)[0],
        state,
    )


def _padding(count: int, wanted: int) -> np.ndarray:
    return np.minimum(np.arange(wanted), count - 1)


def _with_padding(state: State, count: int) -> State:
    if len(state.obs) == count:
        return state
    return _taken(_on_one_device(state), _padding(len(state.obs), count))


def _without_padding(state: State, count: int) -> State:
    if len(state.obs) == count:
        return state
    return _taken(_on_one_device(state), np.arange(count))


@jax.jit
def _taken(state: State, agents: Array) -> State:
    """Return some of the agents: one program, where each leaf alone would be compiled for."""
    return pytrees.map_agents(lambda x: x[agents], lambda x: x, state)


def _on_one_device(tree: Any) -> Any:
    """Copy what may be spread over devices, so that it can be taken apart without a collective.

    A collective doesn't end where only one of several processes begins it, nor on a CPU whose
    threads are fewer than its devices.
    """
    return jax.device_put(tree, jax.local_devices()[0])


def parameters_of(state: State, index: int) -> Any:
    """Return the online network of the ``index``-th seed."""
    params = jax.device_get(state.agent.params)
    return jax.tree.map(lambda x: jax.device_put(x[index]), params)
