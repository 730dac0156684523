"""Agents side by side and one after the other on every device, by programs that are kept."""

import functools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Wrapped

from jaxdqn import pytrees, training
from jaxdqn.assembly import assemble
from jaxdqn.config import Config
from jaxdqn.errors import ConfigError
from jaxdqn.method import State
from jaxdqn.metrics import Metrics
from jaxdqn.parallel import estimate, memory
from jaxdqn.parallel.estimate import Bytes
from jaxdqn.parallel.memory import written
from jaxdqn.types import Array

Numbers = Mapping[str, Any]
"""Settings that differ between agents: by name, arrays ``[agents]``."""


class Plan(NamedTuple):
    """How agents of one structure are laid out.

    Attributes:
        devices: of this process, over which they are spread.
        turns: one after the other on each device.
        width: agents side by side in a turn.
        need: estimate of the bytes that one takes.
        bytes_free: on the fullest device, as much as may be used.
    """

    devices: int
    turns: int
    width: int
    need: Bytes
    bytes_free: int

    @property
    def agents(self) -> int:
        """How many there are in this process, the last ones being padding."""
        return self.devices * self.turns * self.width

    @property
    def most(self) -> int:
        """How many fit into the memory of all devices."""
        # Those whose turn it is are copied out of all, and work.
        left = self.bytes_free - self.width * self.need.total
        return self.devices * max(self.width, left // self.need.held)


class Programs(NamedTuple):
    """The compiled programs of a layout; each compiles once for each structure of settings.

    Attributes:
        begin: ``(config, numbers, keys [agents]) -> state``, warmed up.
        advance: ``(config, numbers, state) -> (state, metrics [agents, 1])``, one evaluation on;
            the state is consumed.
    """

    begin: Wrapped
    advance: Wrapped


def plan(config: Config, agents: int, least: int = 1) -> Plan:
    """Lay ``agents`` out over all devices of this process, in turns that fit into memory.

    Args:
        config: the settings.
        agents: how many.
        least: fewest side by side, where that many are worth it.

    Raises:
        ConfigError: not even one fits.
    """
    devices = jax.local_devices()
    need, free = estimate.per_agent(config), min(map(memory.free, devices))
    fitting = free // need.total
    if fitting < 1:
        most, remedy = estimate.largest(config, need)
        raise ConfigError(
            f"one agent takes {written(need.total)} of memory, {most}, and {written(free)} are "
            f"free: lower {remedy}."
        )
    core, other = assemble(config).method.side_by_side
    widest = min(core if devices[0].platform == "cpu" else other or agents, fitting)
    least = min(least, widest, agents)
    used = min(len(devices), -(-agents // least))
    each = -(-agents // used)
    turns = -(-each // widest)
    return Plan(used, turns, max(-(-each // turns), least), need, free)


def with_numbers(config: Config, setting: Mapping[str, Any]) -> Config:
    """Return settings with some changed by name, ``env_params.slip`` for one of the environment."""
    changes: dict[str, Any] = {}
    for name, value in setting.items():
        table, _, key = name.partition(".")
        if key:
            changes[table] = {**changes.get(table, getattr(config, table)), key: value}
        else:
            changes[name] = value
    return config.replace(**changes)


def programs(config: Config, how: Plan) -> Programs:
    """Return the programs of a layout, those of an earlier call where there was one."""
    leaves, structure = jax.tree.flatten(_axes(config), is_leaf=lambda x: x is None)
    return _programs(how.devices, how.width, tuple(leaves), structure)


def place(config: Config, how: Plan, state: State) -> State:
    """Spread the agents of a state over the devices of a layout."""
    specs = _specs(_axes(config))
    return jax.device_put(state, jax.tree.map(partial(NamedSharding, _mesh(how.devices)), specs))


def _axes(config: Config) -> State:
    return pytrees.agent_axes(training.outline(config))


def _specs(axes: State) -> State:
    per_agent, shared = PartitionSpec("agents"), PartitionSpec()
    return jax.tree.map(
        lambda axis: shared if axis is None else per_agent, axes, is_leaf=lambda x: x is None
    )


def _mesh(devices: int) -> Mesh:
    return Mesh(np.array(jax.local_devices()[:devices]), ("agents",))


@functools.lru_cache(maxsize=64)
def _programs(devices: int, width: int, leaves: tuple[int | None, ...], structure: Any) -> Programs:
    """Build programs whose devices don't talk to each other."""
    axes = jax.tree.unflatten(structure, leaves)
    spread = partial(jax.shard_map, mesh=_mesh(devices), check_vma=False)
    per_agent, shared, states = PartitionSpec("agents"), PartitionSpec(), _specs(axes)

    def begin(config: Config, numbers: Numbers, keys: Array) -> State:
        def one(numbers: Numbers, key: Array) -> State:
            return training.init(with_numbers(config, numbers), key)

        return jax.vmap(one, 0, axes)(numbers, keys)

    def advance(config: Config, numbers: Numbers, state: State) -> tuple[State, Metrics]:
        def one(numbers: Numbers, state: State) -> tuple[State, Metrics]:
            return training.run(with_numbers(config, numbers), state, 1)

        return _in_turns(one, axes, width, numbers, state)

    return Programs(
        begin=jax.jit(spread(begin, in_specs=(shared, per_agent, per_agent), out_specs=states)),
        advance=jax.jit(
            spread(advance, in_specs=(shared, per_agent, states), out_specs=(states, per_agent)),
            donate_argnums=2,
        ),
    )


def _in_turns(
    advance: Callable[[Numbers, State], tuple[State, Metrics]],
    axes: State,
    width: int,
    numbers: Numbers,
    state: State,
) -> tuple[State, Metrics]:
    """Advance agents, leaves ``[agents, ...]`` but for what they share, ``width`` at a time."""
    together = jax.vmap(advance, (0, axes), (axes, 0))
    count = len(state.obs) // width
    if count == 1 and width > 1:
        return together(numbers, state)

    def turn(agents: State, index: Array) -> tuple[State, Metrics]:
        def taken(x: Array) -> Array:
            if width == 1:
                return x[index]
            return jax.lax.dynamic_slice_in_dim(x, index * width, width)

        def put(x: Array, new: Array) -> Array:
            if width == 1:
                return x.at[index].set(new)
            return jax.lax.dynamic_update_slice_in_dim(x, new, index * width, axis=0)

        # What agents share is the same before each turn, and after it.
        chosen = pytrees.map_agents(lambda x, _: taken(x), lambda _, x: x, agents, state)
        step = advance if width == 1 else together
        new, metrics = step(jax.tree.map(taken, numbers), chosen)
        return pytrees.map_agents(put, lambda _, x: x, agents, new), metrics

    state, metrics = jax.lax.scan(turn, state, jnp.arange(count))
    if width > 1:
        metrics = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), metrics)
    return state, metrics
