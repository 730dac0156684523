"""Heads that learn the distribution of the return, not only its mean (Bellemare et al., 2017)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdqn.errors import ConfigError, shown
from jaxdqn.losses.heads import Head
from jaxdqn.settings import Float, RunSettings, leaf, static
from jaxdqn.types import Array


class CategoricalSettings(struct.PyTreeNode):
    """Probabilities of evenly spaced returns (C51)."""

    atoms: int = static(51, low=2)
    """Returns that have a probability, evenly spaced from v_min to v_max."""
    v_min: Float = leaf(-10.0)
    """Least of them: smaller returns are taken for it."""
    v_max: Float = leaf(10.0)
    """Greatest of them: larger returns are taken for it."""

    def make(self) -> Head:
        """Return what these settings mean."""
        return categorical(self.atoms, self.v_min, self.v_max)

    def check(self, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, returns that go down."""
        del run
        low, high = self.v_min, self.v_max
        if isinstance(low, jax.core.Tracer) or isinstance(high, jax.core.Tracer):
            return
        # Two sweeps of different shapes are not for one agent, and refused as that.
        shapes = {np.shape(low), np.shape(high)} - {()}
        if len(shapes) > 1:
            return
        with np.errstate(over="ignore"):
            width = np.asarray(high, np.float32) - np.asarray(low, np.float32)
        if np.any(width <= 0):
            raise ConfigError(
                f"v_max ({shown(high)}) must exceed v_min ({shown(low)}) in 32 bits: raise v_max "
                "or lower v_min."
            )
        if not np.isfinite(width).all():
            raise ConfigError(
                f"v_max ({shown(high)}) is too far from v_min ({shown(low)}) for 32 bits: lower "
                "v_max or raise v_min."
            )


class QuantileSettings(struct.PyTreeNode):
    """Evenly spaced quantiles of the return (QR-DQN)."""

    quantiles: int = static(51, low=1)
    """Quantiles of the return, at the midpoints of as many equal shares of probability."""
    huber_delta: Float = leaf(1.0, low=1e-8)
    """Error at which the loss turns from quadratic to linear; the smaller, the closer to quantiles,
    which it blurs by about as much."""

    def make(self) -> Head:
        """Return what these settings mean."""
        return quantile(self.quantiles, self.huber_delta)


class ImplicitQuantileSettings(struct.PyTreeNode):
    """Quantiles of the return at random fractions, which the network is asked at (IQN)."""

    fractions: int = static(32, low=1)
    """Quantiles drawn for a loss of either network, or to explore. What follows a step is chosen at
    midpoints, as in evaluation."""
    huber_delta: Float = leaf(1.0, low=1e-8)
    """Error at which the loss turns from quadratic to linear."""

    def make(self) -> Head:
        """Return what these settings mean."""
        return implicit_quantile(self.fractions, self.huber_delta)


def categorical(atoms: int, v_min: float | Array, v_max: float | Array) -> Head:
    """Logits of K returns (Bellemare et al., 2017, arXiv:1707.06887).

    The loss is the cross-entropy to the target's distribution, projected on these returns; the
    surprise is what of it could be learned, the Kullback-Leibler divergence.

    Args:
        atoms: returns (K), evenly spaced.
        v_min: the least.
        v_max: the greatest.
    """

    def evenly() -> tuple[Array, float | Array]:
        spacing = (v_max - v_min) / (atoms - 1)
        return v_min + spacing * jnp.arange(atoms).astype(jnp.float32), spacing

    def loss(
        logits_tm1: Array, target_t: Array, r_t: Array, discount_t: Array
    ) -> tuple[Array, Array]:
        returns, spacing = evenly()
        # Counted in atoms, in which rounding loses nothing that is to be shared out.
        after = jnp.clip((r_t + discount_t * returns - v_min) / spacing, 0.0, atoms - 1.0)
        # What stands between two returns is shared out so that its mean stays.
        shares = jnp.maximum(1.0 - jnp.abs(after[None, :] - jnp.arange(atoms)[:, None]), 0.0)
        # By a product, which takes less time than the sum on a CPU; a GPU would round it to TF32.
        wanted = jnp.matmul(shares, jax.nn.softmax(target_t), precision="highest")
        cross_entropy = -jnp.sum(wanted * jax.nn.log_softmax(logits_tm1))
        entropy = jnp.sum(jax.scipy.special.entr(wanted))
        return cross_entropy, jnp.maximum(jax.lax.stop_gradient(cross_entropy - entropy), 0.0)

    def mean(logits: Array) -> Array:
        return jnp.sum(jax.nn.softmax(logits) * _like(evenly()[0], logits), axis=-1)

    def distribution(logits: Array) -> tuple[Array, Array]:
        return jnp.broadcast_to(_like(evenly()[0], logits), logits.shape), jax.nn.softmax(logits)

    return Head(width=atoms, mean=mean, loss=loss, adds=False, returns=distribution)


def quantile(quantiles: int, huber_delta: float | Array = 1.0) -> Head:
    """K quantiles at the midpoints of K shares (Dabney et al., 2018, arXiv:1710.10044).

    Args:
        quantiles: how many (K).
        huber_delta: error at which the loss turns linear.
    """

    def loss(
        values_tm1: Array, target_t: Array, r_t: Array, discount_t: Array
    ) -> tuple[Array, Array]:
        target = r_t + discount_t * target_t
        return quantile_loss(values_tm1, midpoints(quantiles), target, huber_delta)

    def mean(values: Array) -> Array:
        return jnp.mean(values, axis=-1)

    return Head(width=quantiles, mean=mean, loss=loss, returns=_alike)


def implicit_quantile(fractions: int, huber_delta: float | Array = 1.0) -> Head:
    """K quantiles at fractions that the network says (Dabney et al., 2018, arXiv:1806.06923).

    Its outputs are, for each action, K values and then the K fractions where they stand. Those of
    the online and of the target network are drawn independently.

    Args:
        fractions: how many (K).
        huber_delta: error at which the loss turns linear.
    """

    def loss(
        outputs_tm1: Array, target_t: Array, r_t: Array, discount_t: Array
    ) -> tuple[Array, Array]:
        values_tm1, at_tm1 = jnp.split(outputs_tm1, 2)
        target = r_t + discount_t * target_t[:fractions]
        return quantile_loss(values_tm1, at_tm1, target, huber_delta)

    def mean(outputs: Array) -> Array:
        return jnp.mean(outputs[..., :fractions], axis=-1)

    def distribution(outputs: Array) -> tuple[Array, Array]:
        return _alike(outputs[..., :fractions])

    return Head(width=fractions, mean=mean, loss=loss, at_fractions=True, returns=distribution)


def midpoints(count: int) -> Array:
    """Return the middles of ``count`` equal shares of probability, ``[count]``."""
    return (jnp.arange(count) + 0.5) / count


def quantile_loss(
    values: Array, fractions: Array, target: Array, huber_delta: float | Array
) -> tuple[Array, Array]:
    """Return the quantile Huber loss ``[]``, and how far the means are apart ``[]``.

    Args:
        values: quantiles of the return, ``[K]``.
        fractions: where they stand, ``[K]``.
        target: samples or quantiles of what it should be, ``[L]``.
        huber_delta: error at which the loss turns linear.
    """
    error = target[None, :] - values[:, None]
    weight = jnp.abs(fractions[:, None] - (error < 0)) / huber_delta
    # Huber's loss h has the slope c = clip(e), and h = c (e - c / 2): with c held fixed this has
    # its value and its gradient, of K · L errors each, in half the steps that others take.
    cut = jax.lax.stop_gradient(jnp.clip(error, -huber_delta, huber_delta))
    each = jax.lax.stop_gradient(weight) * cut * (error - cut / 2)
    surprise = jnp.abs(jnp.mean(target) - jnp.mean(jax.lax.stop_gradient(values)))
    return jnp.sum(jnp.mean(each, axis=1)), surprise


def _alike(values: Array) -> tuple[Array, Array]:
    """Return values ``[A, K]`` and that each is as likely as the others."""
    return values, jnp.full(values.shape, 1.0 / values.shape[-1])


def _like(vector: Array, array: Any) -> Array:
    """Return a vector ``[K]`` with as many axes as an array ``[..., K]``."""
    return vector.reshape((1,) * (array.ndim - 1) + vector.shape)
