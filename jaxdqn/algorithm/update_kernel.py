"""The program of ``fused``: one agent's double target, gradient, clipping, Adam and target move.

A program of the kernel's grid, on one multiprocessor, makes it for one agent. Arrays have powers of
two on each axis here, of 16 or more, as matrix units take them; what is beyond an array is 0.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from jaxdqn.losses import heads
from jaxdqn.types import Array

LEAST = 16
"""Rows and columns of the smallest product that a matrix unit takes."""
DECAYS = (0.9, 0.999)
"""Of Adam's moments, as Optax has them."""
TINY = 1.2e-38
"""The least normal number."""


class Numbers(NamedTuple):
    """What differs from agent to agent and from update to update, ``[]`` each.

    Attributes:
        rate: step size now.
        correction_mu: what the mean of gradients is divided by, since it began at 0.
        correction_nu: what the mean of their squares is divided by.
        adam_epsilon: as in the settings, like those that follow.
        max_grad_norm: of clipping.
        huber_delta: of the loss.
        discount: of a step.
        target_rate: of a move of the target network.
        due: whether it moves after this update; not 0: it does.
        halted: whether learning has stopped for good; not 0: it has.
    """

    rate: Any
    correction_mu: Any
    correction_nu: Any
    adam_epsilon: Any
    max_grad_norm: Any
    huber_delta: Any
    discount: Any
    target_rate: Any
    due: Any
    halted: Any


class Part(NamedTuple):
    """Where the numbers of one array of weights are.

    Attributes:
        shape: of the array, one or two axes; in the kernel each is ``padded``.
        offset: where it begins in the vector of all weights, as which Adam's moments are stored.
    """

    shape: tuple[int, ...]
    offset: int = 0

    @property
    def own(self) -> tuple[tuple[Array, ...], Array | None]:
        """Indices in the array itself, and which of them are inside; None: all."""
        sizes = [padded(size) for size in self.shape]
        indices = tuple(
            jnp.arange(size).reshape([-1 if i == axis else 1 for i in range(len(sizes))])
            for axis, size in enumerate(sizes)
        )
        mask = None
        for index, length, size in zip(indices, self.shape, sizes, strict=True):
            if length != size:
                inside = jnp.broadcast_to(index < length, sizes)
                mask = inside if mask is None else mask & inside
        return indices, mask

    @property
    def joined(self) -> tuple[Array, Array | None]:
        """Indices in the vector of all weights, and which of them are inside; None: all."""
        indices, mask = self.own
        index: Any = self.offset
        for axis, along in enumerate(indices):
            index += along * math.prod(self.shape[axis + 1 :])
        return index, mask


class Setup(NamedTuple):
    """What is the same for all agents.

    Attributes:
        parts: bias and kernel of each layer.
        activation: between layers.
        loss: ``"huber"`` or ``"squared"``.
        double: whether the online network chooses what the target network judges.
        num_actions: actions (A).
        categories: values of an observation that is a name; None: it is numbers.
        interpret: whether this runs without a GPU, for tests.
    """

    parts: Sequence[Part]
    activation: Callable[[Array], Array]
    loss: str
    double: bool
    num_actions: int
    categories: int | None
    interpret: bool


class Given(NamedTuple):
    """References to what is only read; names as in ``Transition``."""

    numbers: Any
    obs_tm1: Any
    a_tm1: Any
    r_t: Any
    discount_t: Any
    obs_t: Any
    weights: Any


class Held(NamedTuple):
    """References to what is changed in place."""

    mu: Any
    nu: Any
    online: Sequence[Any]
    target: Sequence[Any]

    @classmethod
    def of(cls, refs: Sequence[Any]) -> "Held":
        """Name references: both moments, then the weights of both networks."""
        mu, nu, *weights = refs
        count = len(weights) // 2
        return cls(mu, nu, weights[:count], weights[count:])


def program(setup: Setup) -> Callable[..., None]:
    """Return the kernel, which takes references to ``Given``, ``Held``, and what it returns.

    That is loss, mean value and norm of the gradient, ``[3]``; the surprise, ``[B]``; and ``Held``.
    """
    count = 2 + 2 * len(setup.parts)

    def kernel(*refs: Any) -> None:
        given, refs = Given(*refs[: len(Given._fields)]), refs[len(Given._fields) :]
        # The same memory under other names: so the compiler reads weights again where they are
        # used, rather than keep them, and what it made of them, in registers all the while.
        before, after = Held.of(refs[:count]), Held.of(refs[-count:])
        info, surprise = refs[count : count + 2]
        numbers = Numbers(*(given.numbers[i] for i in range(len(Numbers._fields))))
        loss, q_mean, surprise[...], grads = _gradient(setup, numbers, given, before, after)
        norm = jnp.sqrt(_sum_of_squares(grads))
        info[0], info[1], info[2] = loss, q_mean, norm
        # Not a number is neither below nor above another.
        sound = (jnp.abs(loss) < jnp.inf) & (norm < jnp.inf) & (numbers.halted == 0.0)
        scale = jnp.where(norm < numbers.max_grad_norm, 1.0, numbers.max_grad_norm / norm)
        _descend(setup, numbers, grads, scale, sound, before, after)

    return kernel


def values(setup: Setup) -> Callable[..., None]:
    """Return the kernel that reads observations and weights and writes action values ``[E, A]``."""

    def kernel(obs: Any, *refs: Any) -> None:
        *weights, out = refs
        # Units as rows, which are divided among warps: observations are few, see _forward.
        x = _observe(setup, obs).T
        loaded = (load(ref, part.own) for ref, part in zip(weights, setup.parts, strict=True))
        for _ in range(len(weights) // 2 - 1):
            bias = next(loaded)
            x = setup.activation(product(next(loaded).T, x, onto=bias[:, None]))
        bias = next(loaded)
        store(out, Part(out.shape).own, product(next(loaded), x, onto=bias[:, None]).T)

    return kernel


def _gradient(
    setup: Setup, numbers: Numbers, given: Given, before: Held, after: Held
) -> tuple[Array, Array, Array, list[Array]]:
    """Return the loss ``[]``, the mean value ``[]``, the surprise ``[B]``, the gradient by part."""
    head = heads.expected(setup.loss, numbers.huber_delta)
    x_t = _observe(setup, given.obs_t)
    target_t, _ = _forward(setup, before.target, x_t)
    chooser = _forward(setup, before.online, x_t)[0] if setup.double else target_t
    actions = jnp.arange(target_t.shape[1])[None, :]
    chooser = jnp.where(actions < setup.num_actions, chooser, -jnp.inf)
    best = actions == jnp.argmax(chooser, axis=1)[:, None]
    chosen_t = jnp.sum(jnp.where(best, target_t, 0.0), axis=1)

    x_tm1, taken = _observe(setup, given.obs_tm1), actions == given.a_tm1[...][:, None]
    outputs, layers = _forward(setup, before.online, x_tm1)
    q_tm1 = jnp.sum(jnp.where(taken, outputs, 0.0), axis=1)
    discount_t = numbers.discount * given.discount_t[...]

    def objective(q_tm1: Array) -> tuple[Array, Array]:
        losses, surprise = head.loss(q_tm1[None], chosen_t[None], given.r_t[...], discount_t)
        return jnp.sum(given.weights[...] * losses) / len(losses), surprise

    (loss, surprise), slope = jax.value_and_grad(objective, has_aux=True)(q_tm1)
    slope = jnp.where(taken, slope[:, None], 0.0)
    grads = _backward(setup, after.online, [x_tm1, *map(setup.activation, layers)], layers, slope)
    return loss, jnp.sum(q_tm1) / len(q_tm1), surprise, grads


def _observe(setup: Setup, ref: Any) -> Array:
    """Return a batch of observations as rows."""
    if setup.categories is None:
        return load(ref, Part(ref.shape).own)
    names = jnp.arange(padded(setup.categories))
    return (ref[...][:, None] == names[None, :]).astype(jnp.float32)


def _forward(setup: Setup, refs: Sequence[Any], x: Array) -> tuple[Array, list[Array]]:
    """Return outputs ``[B, A]``, and each hidden layer before its activation."""
    weights = (load(ref, part.own) for ref, part in zip(refs, setup.parts, strict=True))
    layers = []
    for _ in range(len(refs) // 2 - 1):
        bias = next(weights)
        layers.append(product(x, next(weights), onto=bias[None, :]))
        x = setup.activation(layers[-1])
    bias = next(weights)
    # Of the last layer's kernel, [outputs, inputs], see dense.BY_OUTPUT.
    return product(x, next(weights).T, onto=bias[None, :]), layers


def _backward(
    setup: Setup, refs: Sequence[Any], inputs: list[Array], layers: list[Array], slope: Array
) -> list[Array]:
    """Return the gradient by part, from that of the outputs.

    Args:
        setup: of the kernel.
        refs: to the weights.
        inputs: of each layer, ``[B, inputs]``.
        layers: each hidden one before its activation.
        slope: gradient of the outputs, ``[B, A]``.
    """
    grads = [jnp.sum(slope, axis=0), product(slope.T, inputs[-1])]
    slope = product(slope, load(refs[-1], setup.parts[-1].own))
    for i in reversed(range(len(layers))):
        (slope,) = jax.vjp(setup.activation, layers[i])[1](slope)
        grads = [jnp.sum(slope, axis=0), product(inputs[i].T, slope), *grads]
        if i:
            slope = product(slope, load(refs[2 * i + 1], setup.parts[2 * i + 1].own).T)
    return grads


def _descend(
    setup: Setup, numbers: Numbers, grads: list[Array], scale: Array, sound: Array,
    before: Held, after: Held,
) -> None:  # fmt: skip
    """Take Adam's step, and move the target network where it is time.

    Args:
        setup: of the kernel.
        numbers: likewise.
        grads: by part.
        scale: of the gradient, which clips it.
        sound: whether it is finite; else weights stay as they are.
        before: where moments are read.
        after: where all is written.
    """

    def all_have_read() -> None:
        # Several threads may hold the same number, which one of them is going to replace.
        if not setup.interpret:
            triton.debug_barrier()

    share_mu, share_nu = (1 - DECAYS[0]) * scale, (1 - DECAYS[1]) * scale * scale
    rate, inverse_nu = numbers.rate / numbers.correction_mu, 1.0 / numbers.correction_nu
    for part, gradient, online, target in zip(
        setup.parts, grads, after.online, after.target, strict=True
    ):
        mu, nu = load(before.mu, part.joined), load(before.nu, part.joined)
        mu = DECAYS[0] * mu + share_mu * gradient
        nu = DECAYS[1] * nu + share_nu * (gradient * gradient)
        all_have_read()
        store(after.mu, part.joined, mu)
        store(after.nu, part.joined, nu)
        # A root that is exact to the last bit takes four times as many steps.
        square = nu * inverse_nu
        root = square * jax.lax.rsqrt(jnp.maximum(square, TINY))
        change = rate * mu / (root + numbers.adam_epsilon)
        weight = load(online, part.own)
        weight = jnp.where(sound, weight - change, weight)
        all_have_read()
        store(online, part.own, weight)

        @pl.when(sound & (numbers.due != 0.0))
        def _move(part: Part = part, target: Any = target, weight: Array = weight) -> None:
            old = load(target, part.own)
            moved = numbers.target_rate * weight + (1.0 - numbers.target_rate) * old
            all_have_read()
            store(target, part.own, moved)


def padded(size: int) -> int:
    """Return the next power of two that a product takes."""
    return max(LEAST, pl.next_power_of_2(size))


def load(ref: Any, place: tuple[Any, Array | None]) -> Array:
    """Return what is at a place, ``Part.own`` or ``Part.joined``; 0 outside."""
    index, mask = place
    found: Array = triton.load(ref.at[index], mask=mask, other=None if mask is None else 0.0)
    return found


def store(ref: Any, place: tuple[Any, Array | None], value: Array) -> None:
    """Put numbers at a place; see ``load``."""
    index, mask = place
    triton.store(ref.at[index], value, mask=mask)


def product(a: Array, b: Array, onto: Array | float = 0.0) -> Array:
    """Return ``a @ b + onto``, exact to some 1e-5, by three products of bfloat16.

    More exact than the one of TF32 that XLA makes of it on a GPU by default, and quicker here:
    matrix units take 16 bits in either order of storage, and of wider numbers one order only.
    """
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)

    def dot(a: Array, b: Array) -> Array:
        return jnp.dot(a, b, preferred_element_type=jnp.float32)

    return dot(a_high, b_high) + (dot(a_high, b_low) + (dot(a_low, b_high) + onto))


def _halves(x: Array) -> tuple[Array, Array]:
    """Return two bfloat16 numbers for each float32 number, whose sum has 16 of its bits."""
    bits = jax.lax.bitcast_convert_type(x, jnp.int32) & jnp.int32(-(2**16))
    high = jax.lax.bitcast_convert_type(bits, jnp.float32)
    return high.astype(jnp.bfloat16), (x - high).astype(jnp.bfloat16)


def _sum_of_squares(grads: list[Array]) -> Array:
    """Return it, of arrays of one shape together, since each sum over threads takes a while."""
    squares: dict[tuple[int, ...], Array] = {}
    for g in grads:
        squares[g.shape] = squares[g.shape] + g * g if g.shape in squares else g * g
    return sum((jnp.sum(x.reshape(-1)) for x in squares.values()), jnp.float32(0.0))
