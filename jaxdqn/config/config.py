"""The settings as one pytree: structure is static, numbers are leaves."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from flax import struct
from flax.core import freeze

from jaxdqn.types import ConfigError, unknown

if TYPE_CHECKING:
    from jaxdqn.types import Array

    # A leaf may be one number or, in a sweep, an array of them.
    Float = float | Array
    Int = int | Array
else:
    Float, Int = float, int


def _static(default: Any, low: int | None = None) -> Any:
    """Structure: part of the compiled program, hashable, the same for all agents in it."""
    return struct.field(pytree_node=False, default=default, metadata={"low": low})


def _leaf(default: Any, low: float, high: float = math.inf, infinite: bool = False) -> Any:
    """A number: changing it compiles nothing, an array of it is a sweep."""
    metadata = {"low": low, "high": high, "infinite": infinite}
    return struct.field(default=default, metadata=metadata)


class Schedule(NamedTuple):
    """What a configuration really runs, per agent; remainders are always rounded up.

    One iteration is ``train_every`` steps of all environments, then ``updates_per_step`` updates.
    """

    warmup_iterations: int  # steps of all environments before learning starts
    evaluations: int  # T
    iterations_per_evaluation: int
    env_steps_per_iteration: int
    warmup_env_steps: int
    env_steps: int  # all of them, warm-up included; never fewer than total_steps
    updates: int  # gradient updates


class Config(struct.PyTreeNode):
    """Settings of one agent's training; sizes and names are static, numbers are pytree leaves."""

    env: str = _static("Maze-jaxdqn")
    """Name of any registered gymnax environment with discrete actions, or package.module:Class."""
    env_kwargs: Mapping[str, Any] = struct.field(pytree_node=False, default_factory=dict)
    """Arguments of the environment's constructor, as for gymnax.make."""
    env_params: Mapping[str, Any] = struct.field(default_factory=dict)
    """Changes to the environment's default parameters, e.g. max_steps_in_episode."""

    total_steps: int = _static(100_000, low=1)
    """Environment steps per agent, warm-up included; rounded up to whole iterations."""
    num_envs: int = _static(16, low=1)
    """Parallel environments of one agent (E)."""
    train_every: int = _static(1, low=1)
    """Steps of all environments between two moments of learning."""
    updates_per_step: int = _static(1, low=1)
    """Gradient updates at each moment of learning."""
    warmup_steps: int = _static(3_000, low=1)
    """Transitions of uniformly random actions stored before learning starts."""
    capacity: int = _static(10_000, low=1)
    """Transitions that the replay buffer holds (N)."""
    replay: Literal["observations", "states"] = _static("observations")
    """What it stores: what the agent saw, or the state of a maze, to be seen anew when sampled."""
    batch_size: int = _static(64, low=1)
    """Transitions in one gradient update (B), drawn uniformly with replacement."""

    double: bool = _static(True)
    """Double Q-learning: the online network chooses the action that the target network judges."""
    head: Literal["expected"] = _static("expected")
    """What the network predicts for each action."""
    loss: Literal["huber", "squared"] = _static("huber")
    """Loss on the temporal-difference error."""
    huber_delta: Float = _leaf(1.0, low=1e-8)
    """Error at which the Huber loss turns from quadratic to linear."""
    discount: Float = _leaf(0.99, low=0.0, high=1.0)
    """Discount factor (gamma)."""
    learning_rate: Float = _leaf(1e-4, low=0.0, high=1e3)
    """Adam's step size at the start of learning."""
    learning_rate_end_factor: Float = _leaf(1.0, low=0.0, high=1e3)
    """The step size falls linearly to this fraction of itself at the last update; 1: constant."""
    adam_epsilon: Float = _leaf(1e-8, low=1e-20)
    """Adam's epsilon."""
    max_grad_norm: Float = _leaf(10.0, low=1e-8, infinite=True)
    """The gradient is scaled down to this global norm; inf: never."""
    target_period: Int = _leaf(200, low=1)
    """Updates between two moves of the target network."""
    target_rate: Float = _leaf(1.0, low=0.0, high=1.0)
    """How far the target network moves: 1 is a hard copy, less is Polyak averaging."""
    epsilon_start: Float = _leaf(1.0, low=0.0, high=1.0)
    """Probability of a random action when learning starts."""
    epsilon_end: Float = _leaf(0.05, low=0.0, high=1.0)
    """Probability of a random action once epsilon_steps have passed."""
    epsilon_steps: Int = _leaf(20_000, low=1)
    """Environment steps, counted from the end of warm-up, over which epsilon falls linearly; more
    than there are: it stays above epsilon_end."""

    network: Literal["mlp", "residual"] = _static("mlp")
    """Network: mlp for any observation, residual (convolutional) for grids (H, W, C)."""
    widths: tuple[int, ...] = _static((128, 128), low=1)
    """Widths of the dense layers."""
    channels: int = _static(32, low=1)
    """Channels of the residual network."""
    blocks: int = _static(2, low=1)
    """Blocks of the residual network."""
    activation: Literal["relu", "tanh", "gelu", "silu", "elu"] = _static("relu")
    """Non-linearity."""
    layer_norm: bool = _static(False)
    """Layer normalisation before each non-linearity."""

    evaluations: int = _static(50, low=1)
    """Rows of metrics (T), evenly spaced over learning; the greedy policy is evaluated at each. At
    most one for each iteration."""
    eval_episodes: int = _static(8, low=1)
    """Greedy episodes in one evaluation."""
    eval_steps: int = _static(500, low=1)
    """Steps after which an evaluation episode that has not ended is cut."""

    oracle_levels: int = _static(64, low=1)
    """On mazes: levels, from the bank's first, on which values are compared with exact ones."""

    def __new__(cls, *_: Any, **words: Any) -> "Config":
        """Refuse, with a ``ConfigError``, words that are no settings."""
        for word in words:
            if word not in cls.__dataclass_fields__:
                raise unknown("setting", word, cls.__dataclass_fields__)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Make structure hashable. Leaves may be tracers here, so none is checked."""
        check_table("env_kwargs", self.env_kwargs)
        object.__setattr__(self, "env_kwargs", freeze(_hashable(dict(self.env_kwargs))))
        if isinstance(self.widths, list):
            object.__setattr__(self, "widths", tuple(self.widths))

    @property
    def schedule(self) -> Schedule:
        """Exact counts: warm-up, iterations per evaluation, environment steps, updates."""
        per_iteration = self.num_envs * self.train_every
        warmup = -(-self.warmup_steps // self.num_envs)
        learning_steps = max(self.total_steps - warmup * self.num_envs, 1)
        evaluations = min(self.evaluations, -(-learning_steps // per_iteration))
        per_evaluation = -(-learning_steps // (per_iteration * evaluations))
        iterations = per_evaluation * evaluations
        return Schedule(
            warmup_iterations=warmup,
            evaluations=evaluations,
            iterations_per_evaluation=per_evaluation,
            env_steps_per_iteration=per_iteration,
            warmup_env_steps=warmup * self.num_envs,
            env_steps=warmup * self.num_envs + iterations * per_iteration,
            updates=iterations * self.updates_per_step,
        )


def check_table(name: str, value: Any) -> None:
    """Refuse, with a ``ConfigError``, what isn't a mapping from names."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(
            f"{name} ({value!r}) must be a table of names and values: write {{}} for none."
        )


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _hashable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in value)
    return value
