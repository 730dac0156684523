"""A rival of our own making: Rainbow in JAX as it is usually written, to measure ours against.

``standard_design.py`` with the parts of Rainbow (Hessel et al., 2018) put in as collections of JAX
algorithms have them: flashbax's prioritised trajectory buffer with windows of n + 1 steps, flax
layers that draw their noise by ``make_rng``, one draw for all acting environments, rlax's
categorical Double Q-learning. Its returns of n steps stop where an episode ends, and are
bootstrapped with the power of the discount that belongs to them: ours to compare with, not others'
mistakes.
"""

from collections.abc import Callable
from typing import Any

import flashbax
import jax
import jax.numpy as jnp
import rlax
from flax import linen as nn
from standard_design import (
    LearnerState,
    TimeStep,
    copy_to_target,
    fresh,
    make_environment,
    make_optimizer,
    measure,
)

from jaxdqn import Config


class NoisyDense(nn.Module):
    """A dense layer with factorised noise (Fortunato et al., 2018)."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``[B, D]`` to ``[B, features]``."""
        inputs = x.shape[-1]
        shape = (inputs, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, self.features)
        scale = nn.initializers.constant(0.5 / inputs**0.5)
        kernel_scale = self.param("kernel_scale", scale, shape)
        bias_scale = self.param("bias_scale", scale, self.features)

        def factors(size: int) -> jax.Array:
            drawn = jax.random.normal(self.make_rng("noise"), (size,))
            return jnp.sign(drawn) * jnp.sqrt(jnp.abs(drawn))

        of_inputs, of_outputs = factors(inputs), factors(self.features)
        kernel += kernel_scale * jnp.outer(of_inputs, of_outputs)
        return x @ kernel + bias + bias_scale * of_outputs


class Network(nn.Module):
    """A noisy, dueling multilayer perceptron over a batch of observations."""

    num_actions: int
    atoms: int
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map observations ``[B, D]`` to logits ``[B, A, K]``."""
        for width in self.widths[:-1]:
            x = nn.relu(NoisyDense(width)(x))
        value, advantage = (nn.relu(NoisyDense(self.widths[-1])(x)) for _ in range(2))
        value = NoisyDense(self.atoms)(value)[:, None]
        advantage = NoisyDense(self.num_actions * self.atoms)(advantage)
        advantage = advantage.reshape(len(x), self.num_actions, self.atoms)
        return value + advantage - advantage.mean(axis=1, keepdims=True)


def make_train(config: Config) -> Callable[[jax.Array], dict[str, Any]]:
    """Return ``train(key) -> {"state", "metrics"}`` for one seed, metrics of every vector step."""
    env, env_params = make_environment(config)
    network = Network(env.action_space(env_params).n, config.atoms, config.widths)
    atoms = jnp.linspace(config.v_min, config.v_max, config.atoms)
    optimizer = make_optimizer(config)
    buffer = flashbax.make_prioritised_trajectory_buffer(
        add_batch_size=config.num_envs,
        sample_batch_size=config.batch_size,
        sample_sequence_length=config.n_step + 1,
        period=1,
        min_length_time_axis=config.n_step + 1,
        max_size=config.capacity,
        priority_exponent=config.priority_exponent,
        device=jax.default_backend(),
    )
    warmup = config.schedule.warmup_env_steps
    vector_steps = config.schedule.env_steps // config.num_envs

    def q_values(logits: jax.Array) -> jax.Array:
        return jnp.sum(jax.nn.softmax(logits) * atoms, axis=-1)

    def logits_of(params: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
        return network.apply(params, obs, rngs={"noise": key})

    def learn(state: LearnerState, buffer_state: Any, key: jax.Array) -> tuple[Any, ...]:
        key_sample, *keys = jax.random.split(key, 4)
        sample = buffer.sample(buffer_state, key_sample)
        steps = sample.experience
        going_on = jnp.cumprod(1.0 - steps.done[:, :-1], axis=1)
        started = jnp.concatenate([jnp.ones_like(going_on[:, :1]), going_on[:, :-1]], axis=1)
        powers = config.discount ** jnp.arange(config.n_step)
        reward = jnp.sum(powers * started * steps.reward[:, :-1], axis=1)
        discount = config.discount**config.n_step * going_on[:, -1]
        last_obs = steps.obs[:, -1]
        selector = q_values(logits_of(state.params, last_obs, keys[0]))
        target = logits_of(state.target_params, last_obs, keys[1])
        beta = config.importance_start + (config.importance_end - config.importance_start) * (
            state.updates / config.schedule.updates
        )
        weights = (1.0 / sample.probabilities) ** beta
        weights /= jnp.max(weights)

        def loss_fn(params: Any) -> tuple[jax.Array, jax.Array]:
            logits = logits_of(params, steps.obs[:, 0], keys[2])
            each = jax.vmap(rlax.categorical_double_q_learning, (None, 0, 0, 0, 0, None, 0, 0))(
                atoms, logits, steps.action[:, 0], reward, discount, atoms, target, selector
            )
            return jnp.mean(weights * each), each

        (loss, each), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        state = state.apply_gradients(grads=grads)
        buffer_state = buffer.set_priorities(buffer_state, sample.indices, each)
        return state.replace(updates=state.updates + 1), buffer_state, loss

    def update_step(carry: tuple[Any, ...], _: None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        state, buffer_state, env_state, obs, key = carry
        key, key_noise, key_action, key_step, key_learn = jax.random.split(key, 5)
        q = q_values(logits_of(state.params, obs, key_noise))
        random_action = jax.random.randint(key_action, q.shape[:1], 0, q.shape[-1])
        actions = jnp.where(state.timesteps < warmup, random_action, jnp.argmax(q, axis=-1))
        next_obs, env_state, rewards, terminated, truncated, info = jax.vmap(
            env.step, in_axes=(0, 0, 0, None)
        )(jax.random.split(key_step, config.num_envs), env_state, actions, env_params)
        done = jnp.logical_or(terminated, truncated)
        state = state.replace(timesteps=state.timesteps + config.num_envs)
        step = jax.tree.map(lambda x: x[:, None], TimeStep(obs, actions, rewards, done))
        buffer_state = buffer.add(buffer_state, step)

        learning = buffer.can_sample(buffer_state) & (state.timesteps > warmup)
        state, buffer_state, loss = jax.lax.cond(
            learning,
            learn,
            lambda state, buffer_state, _: (state, buffer_state, jnp.float32(0.0)),
            *(state, buffer_state, key_learn),
        )
        state = copy_to_target(config, state, learning)
        return (state, buffer_state, env_state, next_obs, key), measure(state, loss, info)

    def train(key: jax.Array) -> dict[str, Any]:
        key, key_reset, key_network, key_noise = jax.random.split(key, 4)
        obs, env_state = jax.vmap(env.reset, in_axes=(0, None))(
            jax.random.split(key_reset, config.num_envs), env_params
        )
        params = network.init({"params": key_network, "noise": key_noise}, obs)
        state = fresh(network, params, optimizer)
        example = TimeStep(obs[0], jnp.int32(0), jnp.float32(0.0), jnp.bool_(False))
        carry = (state, buffer.init(example), env_state, obs, key)
        carry, metrics = jax.lax.scan(update_step, carry, length=vector_steps)
        return {"state": carry, "metrics": metrics}

    return train
