"""A rival of our own making: DQN in JAX as it is usually written, to measure ours against.

It follows purejaxrl's ``dqn.py`` (Lu et al., 2022): one scan over vector steps, flashbax's flat
buffer, ``lax.cond`` around learning and around the target copy, a row of metrics for every step,
gymnax's ``LogWrapper``, and many seeds by a plain ``jax.vmap``. Only what the comparison asks to be
equal was changed to what ``jaxdqn.Config`` says: Double Q-learning, the Huber loss, clipping by
global norm, a warm-up of exactly ``warmup_steps`` random steps. As usual in that design, a time
limit counts as death and the transition after it leads to the reset; the arithmetic is the same.
"""

from collections.abc import Callable
from typing import Any

import flashbax
import gymnax
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from flax.training.train_state import TrainState
from gymnax.wrappers import LogWrapper

from jaxdqn import Config


class Network(nn.Module):
    """A multilayer perceptron over a batch of observations."""

    num_actions: int
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map observations ``[B, D]`` to values ``[B, A]``."""
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.num_actions)(x)


class ResidualNetwork(nn.Module):
    """A pre-activation residual network over a batch of grids, by flax's own convolution."""

    num_actions: int
    widths: tuple[int, ...]
    channels: int
    blocks: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map observations ``[B, H, W, C]`` to values ``[B, A]``."""
        x = nn.Conv(self.channels, (3, 3))(x)
        for _ in range(self.blocks):
            y = nn.Conv(self.channels, (3, 3))(nn.relu(x))
            x = x + nn.Conv(self.channels, (3, 3))(nn.relu(y))
        x = nn.relu(x).reshape(len(x), -1)
        return Network(self.num_actions, self.widths)(x)


@struct.dataclass
class TimeStep:
    """What the buffer stores; the next observation is found in the slot after."""

    obs: jax.Array
    action: jax.Array
    reward: jax.Array
    done: jax.Array


class LearnerState(TrainState):
    """flax's training state with a target network and counters."""

    target_params: Any
    timesteps: int
    updates: int


def make_environment(config: Config) -> tuple[LogWrapper, Any]:
    """Return the environment, which logs its episodes, and its parameters."""
    env, env_params = gymnax.make(config.env)
    return LogWrapper(env), env_params.replace(**config.env_params)


def make_network(config: Config, num_actions: int) -> nn.Module:
    """Return the network of these settings."""
    if config.network == "residual":
        return ResidualNetwork(num_actions, config.widths, config.channels, config.blocks)
    return Network(num_actions, config.widths)


def make_optimizer(config: Config) -> optax.GradientTransformation:
    """Return Adam behind a clipped gradient."""
    return optax.chain(
        optax.clip_by_global_norm(config.max_grad_norm),
        optax.adam(config.learning_rate, eps=config.adam_epsilon),
    )


def fresh(network: nn.Module, params: Any, optimizer: optax.GradientTransformation) -> LearnerState:
    """Return what learning starts from."""
    return LearnerState.create(
        apply_fn=network.apply,
        params=params,
        target_params=jax.tree.map(jnp.copy, params),
        tx=optimizer,
        timesteps=jnp.int32(0),
        updates=jnp.int32(0),
    )


def copy_to_target(config: Config, state: LearnerState, learning: jax.Array) -> LearnerState:
    """Copy the network to the target network where that is due."""
    return jax.lax.cond(
        learning & (state.updates % config.target_period == 0),
        lambda state: state.replace(target_params=state.params),
        lambda state: state,
        state,
    )


def measure(state: LearnerState, loss: jax.Array, info: dict[str, Any]) -> dict[str, jax.Array]:
    """Return the row of metrics of a step."""
    return {
        "timesteps": state.timesteps,
        "updates": state.updates,
        "loss": loss,
        "returns": info["returned_episode_returns"].mean(),
    }


def make_train(config: Config) -> Callable[[jax.Array], dict[str, Any]]:
    """Return ``train(key) -> {"state", "metrics"}`` for one seed, metrics of every vector step."""
    env, env_params = make_environment(config)
    network = make_network(config, env.action_space(env_params).n)
    optimizer = make_optimizer(config)
    buffer = flashbax.make_flat_buffer(
        max_length=config.capacity,
        min_length=config.batch_size,
        sample_batch_size=config.batch_size,
        add_batch_size=config.num_envs,
    )
    warmup = config.schedule.warmup_env_steps
    vector_steps = config.schedule.env_steps // config.num_envs

    def explore(key: jax.Array, q: jax.Array, timesteps: jax.Array) -> jax.Array:
        key_coin, key_action = jax.random.split(key)
        slope = (config.epsilon_end - config.epsilon_start) / config.epsilon_steps
        epsilon = config.epsilon_start + slope * (timesteps - warmup)
        epsilon = jnp.clip(epsilon, config.epsilon_end, config.epsilon_start)
        epsilon = jnp.where(timesteps < warmup, 1.0, epsilon)
        random_action = jax.random.randint(key_action, q.shape[:1], 0, q.shape[-1])
        coin = jax.random.uniform(key_coin, q.shape[:1])
        return jnp.where(coin < epsilon, random_action, jnp.argmax(q, axis=-1))

    def learn(state: LearnerState, buffer_state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        batch = buffer.sample(buffer_state, key).experience
        q_next = network.apply(state.target_params, batch.second.obs)
        if config.double:
            chosen_next = jnp.argmax(network.apply(state.params, batch.second.obs), axis=-1)
            q_next = jnp.take_along_axis(q_next, chosen_next[:, None], axis=-1).squeeze(-1)
        else:
            q_next = jnp.max(q_next, axis=-1)
        target = batch.first.reward + config.discount * (1 - batch.first.done) * q_next

        def loss_fn(params: Any) -> jax.Array:
            q = network.apply(params, batch.first.obs)
            chosen = jnp.take_along_axis(q, batch.first.action[:, None], axis=-1).squeeze(-1)
            return jnp.mean(optax.huber_loss(chosen, target, delta=config.huber_delta))

        loss, grads = jax.value_and_grad(loss_fn)(state.params)
        state = state.apply_gradients(grads=grads)
        return state.replace(updates=state.updates + 1), loss

    def update_step(carry: tuple[Any, ...], _: None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        state, buffer_state, env_state, obs, key = carry
        key, key_action, key_step, key_learn = jax.random.split(key, 4)
        actions = explore(key_action, network.apply(state.params, obs), state.timesteps)
        next_obs, env_state, rewards, terminated, truncated, info = jax.vmap(
            env.step, in_axes=(0, 0, 0, None)
        )(jax.random.split(key_step, config.num_envs), env_state, actions, env_params)
        done = jnp.logical_or(terminated, truncated)
        state = state.replace(timesteps=state.timesteps + config.num_envs)
        buffer_state = buffer.add(buffer_state, TimeStep(obs, actions, rewards, done))

        learning = buffer.can_sample(buffer_state) & (state.timesteps > warmup)
        state, loss = jax.lax.cond(
            learning,
            learn,
            lambda state, *_: (state, jnp.float32(0.0)),
            *(state, buffer_state, key_learn),
        )
        state = copy_to_target(config, state, learning)
        return (state, buffer_state, env_state, next_obs, key), measure(state, loss, info)

    def train(key: jax.Array) -> dict[str, Any]:
        key, key_reset, key_network = jax.random.split(key, 3)
        obs, env_state = jax.vmap(env.reset, in_axes=(0, None))(
            jax.random.split(key_reset, config.num_envs), env_params
        )
        params = network.init(key_network, obs)
        state = fresh(network, params, optimizer)
        example = TimeStep(obs[0], jnp.int32(0), jnp.float32(0.0), jnp.bool_(False))
        carry = (state, buffer.init(example), env_state, obs, key)
        carry, metrics = jax.lax.scan(update_step, carry, length=vector_steps)
        return {"state": carry, "metrics": metrics}

    return train
