"""The whole of training as one pure function: init, warm-up, then nested scans."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxdqn import pytrees, unread
from jaxdqn.assembly import Parts, apart, assemble
from jaxdqn.config import Config, check, check_single, chosen_length, shaping
from jaxdqn.errors import ConfigError
from jaxdqn.evaluation import measure
from jaxdqn.method import Keys, State, Tally
from jaxdqn.metrics import Evaluation, Metrics
from jaxdqn.precision import in_usual_numbers
from jaxdqn.random import check_key, unrolled
from jaxdqn.types import PRNGKey


@in_usual_numbers
def train(config: Config, key: PRNGKey) -> tuple[State, Metrics]:
    """Train one agent: ``init``, then ``run``.

    Pure: ``jax.vmap(train, in_axes=(None, 0))`` trains many agents, and an array in place of a
    number of the configuration, with a matching ``in_axes``, trains many settings. It computes in
    32 bits, also where ``jax_enable_x64`` is on.

    >>> axes = jax.tree.map(lambda _: None, config).replace(learning_rate=0)
    >>> jax.vmap(train, in_axes=(axes, None))(config.replace(learning_rate=rates), key)

    Inside ``jax.shard_map`` set ``check_vma=False``, and put ``jax.jit`` around it. This isn't made
    to be differentiated: Adam's square root has no derivative where a weight has had gradients of 0
    only, and NaN comes of it. Ctrl-C returns at once while the compiled program goes on to its end;
    ``session.train``, or ``run`` of one evaluation at a time, ends after the one under way.

    Args:
        config: the settings.
        key: consumed.

    Returns:
        The state at the end and one row of metrics per evaluation. Where no episode ended since
        the row before, ``episode_return`` is NaN, which ``jax_debug_nans`` refuses in what any
        compiled program returns: set that only for trainings whose episodes are short enough.

    Raises:
        ConfigError: a setting that can't be honoured; nothing has been traced yet.
    """
    state = init(config, key)
    # Not by run, which looks at the state and so waits for it.
    return _run(*apart(config), state, config.schedule.evaluations)


@in_usual_numbers
def init(config: Config, key: PRNGKey) -> State:
    """Make a new agent and warm it up.

    Its replay, if it has one, then holds ``warmup_steps`` of random actions, rounded up to steps of
    all environments.

    Args:
        config: the settings.
        key: consumed.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    check(config)
    check_single(config)
    check_key(key)
    unread.check_begins(config)
    return _init(*apart(config), key)


@in_usual_numbers
def run(config: Config, state: State, evaluations: int | None = None) -> tuple[State, Metrics]:
    """Carry on training from any state.

    ``run(a + b)`` equals ``run(a)`` followed by ``run(b)``, bit for bit.

    Args:
        config: the settings; numbers may differ from those that the state was made with,
            structure may not.
        state: from ``init``, ``run`` or ``train``.
        evaluations: how long, in evaluations (rows of metrics); all of the schedule by default.

    Raises:
        ConfigError: a setting or a number of evaluations that can't be honoured, a state that isn't
            one agent of these, or one that has made as many steps as can be counted.
    """
    check(config)
    check_single(config)
    length = chosen_length(evaluations, config.schedule.evaluations)
    if axes := pytrees.leading_axes(state, outline(config)):
        raise ConfigError(
            f"state holds many agents (leading axes {axes}), and run takes one: "
            "map over them with jax.vmap."
        )
    _check_count(config, state, length)
    return _run(*apart(config), state, length)


def _check_count(config: Config, state: State, length: int) -> None:
    """Refuse, with a ``ConfigError``, steps beyond what is counted, unless they are traced."""
    if isinstance(state.vector_steps, jax.core.Tracer):
        return
    plan = config.schedule
    made = int(state.vector_steps) * config.num_envs
    more = length * plan.env_steps_per_evaluation
    if made + more >= 2**31:
        raise ConfigError(
            f"state has made {made} steps, and {more} more would reach 2147483648, since steps are "
            "counted in 32 bits: run fewer evaluations, or begin anew."
        )


def outline(config: Config) -> State:
    """Return the shapes and dtypes of one agent's state, as ``jax.ShapeDtypeStruct``.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    check(config)
    apart(config)  # forgets what was traced with a class of the environment that is another now
    return jax.eval_shape(init, shaping(config), jax.random.key(0))


def measured(config: Config) -> Metrics:
    """Return the shapes and dtypes of one agent's metrics, as ``jax.ShapeDtypeStruct``.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    return jax.eval_shape(run, shaping(config), outline(config))[1]


@in_usual_numbers
def bytes_per_transition(config: Config) -> int:
    """Return how many bytes of the replay buffer one transition takes.

    Raises:
        ConfigError: a setting that can't be honoured.
    """
    check(config)
    return assemble(config).method.bytes_per_transition


@jax.jit
def _init(config: Config, env_params: Any, key: PRNGKey) -> State:
    parts = assemble(config, env_params)
    key_network, key_reset, *rest = jax.random.split(key, 8)
    keys = jax.random.split(unrolled(key_reset), config.num_envs)
    obs, env_state = jax.vmap(parts.environment.reset, (0, None))(keys, env_params)
    state = State(
        *parts.method.init(key_network),
        env_state=env_state,
        obs=obs,
        episode_return=jnp.zeros(config.num_envs),
        memory=jax.tree.map(
            lambda x: jnp.broadcast_to(x, (config.num_envs, *x.shape)), parts.method.memory()
        ),
        keys=Keys(*rest),
        vector_steps=jnp.int32(0),
        evaluations=jnp.int32(0),
    )
    # Environments may start with weakly typed numbers, which would compile run a second time.
    state = jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)
    return parts.method.warmup(state)


@functools.partial(jax.jit, static_argnames="length")
def _run(config: Config, env_params: Any, state: State, length: int) -> tuple[State, Metrics]:
    parts = assemble(config, env_params)

    def iterate(carry: tuple[State, Tally], _: None) -> tuple[tuple[State, Tally], None]:
        return parts.method.iterate(*carry), None

    def period(state: State, _: None) -> tuple[State, Metrics]:
        (state, tally), _ = jax.lax.scan(
            iterate, (state, Tally.zero()), length=config.schedule.iterations_per_evaluation
        )
        key_eval = jax.random.fold_in(unrolled(state.keys.eval), state.evaluations)
        evaluation = measure(parts, state.agent.params, key_eval)
        state = state.replace(evaluations=state.evaluations + 1)
        return state, _metrics(parts, state, tally, evaluation)

    return jax.lax.scan(period, state, length=length)


def _metrics(parts: Parts, state: State, tally: Tally, evaluation: Evaluation) -> Metrics:
    plan = parts.config.schedule
    updates = plan.updates_per_evaluation
    return Metrics(
        env_steps=state.vector_steps * parts.config.num_envs,
        updates=state.agent.updates,
        epsilon=parts.method.epsilon(state),
        loss=tally.loss / updates,
        q_mean=tally.q_mean / updates,
        grad_norm=tally.grad_norm / updates,
        episodes=tally.episodes,
        # 0 / 0 is NaN: no episode ended, no return was measured.
        episode_return=tally.returns / tally.episodes,
        **vars(evaluation),
    )
