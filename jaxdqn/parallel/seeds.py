"""Many agents: seeds side by side, spread over all devices."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdqn import pytrees
from jaxdqn.config import Config
from jaxdqn.parallel import memory
from jaxdqn.replay.ring import ReplayState
from jaxdqn.training import Metrics, State, init, outline, run
from jaxdqn.types import Array, ArrayTree, ConfigError

WIDEST = {"mlp": 32, "residual": 1}
"""Most agents to train side by side on one CPU core; on other devices only memory bounds them.
Eight residual agents on two cores take 13.5 s four by four and 9.8 s one by one."""

# The counters are the same for all seeds and stay without a seed axis: an index that differs
# between seeds would turn every write to the replay from a slice into a scatter.
_PER_SEED: Any = 0
_SHARED: Any = None
STATE_AXES = State(
    agent=_PER_SEED,
    replay=ReplayState(storage=_PER_SEED, added=_SHARED),
    env_state=_PER_SEED,
    obs=_PER_SEED,
    episode_return=_PER_SEED,
    keys=_PER_SEED,
    vector_steps=_SHARED,
    evaluations=_SHARED,
)


def train_in_periods(
    config: Config, seeds: range, state: State | None = None
) -> Iterator[tuple[State, Metrics | None]]:
    """Train one agent per seed, pausing after each evaluation.

    Seed ``i`` is ``train(config, jax.random.key(i))``, whatever the others are.

    Args:
        config: the settings.
        seeds: numbers of the seeds (S).
        state: where to carry on, as yielded or restored, on any number of devices; by default
            the agents are new.

    Yields:
        First the warmed-up states and None, as soon as everything is compiled; then, after each
        evaluation, the states and one row of metrics, leaves ``[S]``. States, leaves ``[S, ...]``
        but for the counters, are consumed by the next step: keep none of them.

    Raises:
        ConfigError: a setting that can't be honoured, or a state of other settings or seeds.
    """
    chosen = jax.devices()[: len(seeds)]
    _check_memory(config, len(seeds))
    padded = -(-len(seeds) // len(chosen)) * len(chosen)
    mesh = Mesh(np.array(chosen), ("seeds",))
    per_seed, shared = PartitionSpec("seeds"), PartitionSpec()
    state_specs = jax.tree.map(
        lambda axis: shared if axis is None else per_seed, STATE_AXES, is_leaf=lambda x: x is None
    )
    spread = partial(jax.shard_map, mesh=mesh, check_vma=False)

    def start(config: Config, keys: jax.Array) -> State:
        return jax.vmap(init, (None, 0), STATE_AXES)(config, keys)

    def advance(config: Config, state: State) -> tuple[State, Metrics]:
        one_period = partial(run, evaluations=1)
        if chosen[0].platform == "cpu" and WIDEST[config.network] == 1:
            return _one_by_one(partial(one_period, config), state)
        return jax.vmap(one_period, (None, STATE_AXES), (STATE_AXES, 0))(config, state)

    begin = jax.jit(spread(start, in_specs=(shared, per_seed), out_specs=state_specs))
    proceed = jax.jit(
        spread(advance, in_specs=(shared, state_specs), out_specs=(state_specs, per_seed)),
        donate_argnums=1,
    )
    if state is None:
        state = begin(config, jax.vmap(jax.random.key)(seeds.start + jnp.arange(padded)))
    else:
        state = _with_padding(_of_seeds(config, seeds, state), padded)
        state = jax.device_put(state, jax.tree.map(partial(NamedSharding, mesh), state_specs))
    remaining = config.schedule.evaluations - int(state.evaluations)
    compiled = proceed.lower(config, state).compile()
    yield _without_padding(state, len(seeds)), None
    for _ in range(remaining):
        state, metrics = compiled(config, state)
        metrics = jax.tree.map(lambda x: np.asarray(x)[: len(seeds), 0], metrics)
        yield _without_padding(state, len(seeds)), metrics


def _one_by_one(
    advance: Callable[[State], tuple[State, Metrics]], state: State
) -> tuple[State, Metrics]:
    """Advance agents, leaves ``[S, ...]`` but for the counters, one after the other."""

    def turn(agents: State, index: Array) -> tuple[State, Metrics]:
        agent, metrics = advance(_map_axes(lambda x, _: x[index], lambda _, x: x, agents, state))
        return _map_axes(lambda x, y: x.at[index].set(y), lambda _, y: y, agents, agent), metrics

    return jax.lax.scan(turn, state, jnp.arange(len(state.obs)))


def _check_memory(config: Config, count: int) -> None:
    """Refuse agents that can't fit into memory, before XLA fails to allocate them."""
    each, there = memory.per_agent(config), sum(map(memory.free, jax.local_devices()))
    if each * count > there:
        raise ConfigError(
            f"{count} agents of {each / 1e9:.3g} GB don't fit into {there / 1e9:.3g} GB of memory: "
            f"train fewer seeds, or lower capacity ({config.capacity}) or the network's sizes."
        )


def _of_seeds(config: Config, seeds: range, state: State) -> State:
    """Return a state that holds these seeds, its counters shared."""
    if (axes := pytrees.leading_axes(state, outline(config))) != (len(seeds),):
        raise ConfigError(
            f"state holds agents along leading axes {axes}, and seeds names {len(seeds)}: "
            "give as many seeds as there are agents."
        )
    return _map_axes(lambda x: x, lambda x: x.reshape(-1)[0], state)


def _with_padding(state: State, count: int) -> State:
    if len(state.obs) == count:
        return state
    # The last agent again and again; what it learns is thrown away.
    agents = np.minimum(np.arange(count), len(state.obs) - 1)
    return _map_axes(lambda x: x[agents], lambda x: x, state)


def _without_padding(state: State, count: int) -> State:
    if len(state.obs) == count:
        return state
    return _map_axes(lambda x: x[:count], lambda x: x, state)


def _map_axes(
    per_seed: Callable[..., Array], shared: Callable[..., Array], *states: State
) -> State:
    """Map over the leaves of states, those with an axis of seeds and the counters, each its way."""

    def each(axis: int | None, *leaves: ArrayTree) -> ArrayTree:
        return jax.tree.map(shared if axis is None else per_seed, *leaves)

    return jax.tree.map(each, STATE_AXES, *states, is_leaf=lambda x: x is None)


def concatenate(rows: list[Metrics]) -> Metrics:
    """Join rows of metrics, leaves ``[S]``, to leaves ``[S, T]``."""
    return jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *rows)


def append(metrics: Metrics | None, row: Metrics) -> Metrics:
    """Add a row, leaves ``[S]``, to those so far, leaves ``[S, T]`` or None."""
    last = concatenate([row])
    if metrics is None:
        return last
    return jax.tree.map(lambda x, y: np.concatenate([x, y], axis=1), metrics, last)


def parameters_of(state: State, index: int) -> Any:
    """Return the online network of the ``index``-th seed."""
    return jax.tree.map(lambda x: x[index], state.agent.params)
