"""What scores ``[S]`` or ``[S, M]`` amount to (Agarwal et al., 2021, arXiv:2108.13264).

Each raises ConfigError for other shapes.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxdqn.errors import ConfigError, brief, shown
from jaxdqn.types import Array

Numbers = ArrayLike | Sequence[ArrayLike] | Sequence[Sequence[ArrayLike]]
"""One number, an array, or lists of numbers."""


def _of_scores(estimator: Callable[[Array], Array]) -> Callable[[Numbers], Array]:
    """Make an estimator one program, rather than one for each operation, of checked scores."""
    compiled = jax.jit(estimator)

    @functools.wraps(estimator)
    def checked(scores: Numbers) -> Array:
        return compiled(as_scores("scores", scores))

    return checked


@_of_scores
def mean(scores: Array) -> Array:
    """Return the mean over tasks of each one's mean over seeds, ``[]``."""
    return jnp.nanmean(jnp.nanmean(scores, axis=0))


@_of_scores
def median(scores: Array) -> Array:
    """Return the median over seeds of one task, or over tasks of their mean over seeds, ``[]``."""
    return jnp.nanmedian(scores if scores.ndim == 1 else jnp.nanmean(scores, axis=0))


@_of_scores
def iqm(scores: Array) -> Array:
    """Return the interquartile mean, that of the middle half of all scores, ``[]``.

    A quarter of them, rounded down, is cut off at each end, as ``scipy.stats.trim_mean`` does.
    Outliers sway it less than the mean, and it varies less than the median.
    """
    ordered = jnp.sort(scores.reshape(-1))  # NaN last
    rank, measured = jnp.arange(ordered.size), jnp.sum(~jnp.isnan(ordered))
    cut = measured // 4
    return jnp.mean(ordered, where=(rank >= cut) & (rank < measured - cut))


def optimality_gap(scores: Numbers, target: Numbers = 1.0) -> Array:
    """Return how far scores fall short of a target in the mean, ``[]``; beyond it none counts.

    The target is one number, or ``[M]``, one for each task.
    """
    scores, target = as_scores("scores", scores), as_numbers("target", target)
    if target.shape not in ((), scores.shape[1:]):
        tasks = f" or {scores.shape[1]}, one for each task" if scores.ndim == 2 else ""
        raise ConfigError(f"target has shape {target.shape}: give one number{tasks}.")
    target = jnp.broadcast_to(target, scores.shape)
    return mean(target - jnp.minimum(scores, target))


def performance_profile(scores: Numbers, thresholds: Numbers) -> Array:
    """Return the share of runs that score above each of the thresholds ``[K]``, ``[K]``."""
    scores, thresholds = as_scores("scores", scores), as_numbers("thresholds", thresholds)
    if thresholds.ndim != 1:
        raise ConfigError(f"thresholds has shape {thresholds.shape}: give a list, shape (K,).")
    return jax.vmap(lambda threshold: mean(_where_measured(scores, scores > threshold)))(thresholds)


def probability_of_improvement(x: Numbers, y: Numbers) -> Array:
    """Return P(X > Y) + P(X = Y) / 2 for a run of each on one task, ``[]``, averaged over tasks.

    It is the statistic of Mann and Whitney (1947) as a share of all pairs of runs; the agents may
    have different numbers of seeds.
    """
    x, y = as_pair(x, y)
    return _won(x, y)


def as_numbers(name: str, values: Numbers) -> Array:
    """Return an array of floats.

    Raises:
        ConfigError: they are none, lists of many lengths, hidden by a mask or too large for floats.
    """
    try:
        if not isinstance(values, jax.Array):
            _check_given(name, values)
        return jnp.asarray(values, float)
    except ConfigError:
        raise
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"{name} ({shown(values)}) must be numbers in lists of equal length: write "
            "[0.1, 0.4, 0.2] or the like."
        ) from None


def _check_given(name: str, values: Numbers) -> None:
    """Refuse what JAX would read as other numbers than are meant.

    Raises:
        ConfigError: some are hidden by a mask, or too large.
        TypeError: they are words, dates or records.
    """
    parts = jax.tree.leaves(values)
    if any(map(np.ma.is_masked, parts)):
        raise ConfigError(
            f"{name} ({brief(values)}) hides some numbers by a mask: write array.filled(np.nan), "
            "of which NaN isn't counted."
        )
    if any(isinstance(part, jax.core.Tracer) for part in parts):
        return
    given = np.asarray(values)
    if given.dtype.kind in "mMSTU" or given.dtype.names:
        raise TypeError
    if given.dtype.kind in "fiuO":
        size = np.abs(given.astype(float))
        most = jnp.finfo(jax.dtypes.canonicalize_dtype(float)).max
        if np.any(np.isfinite(size) & (size > most)):
            raise ConfigError(
                f"{name} ({shown(values)}) has a number beyond {most:.2g}: divide all of them, or "
                "write infinity as such."
            )


def as_scores(name: str, scores: Numbers) -> Array:
    """Return scores as floats; ConfigError where they are neither ``[S]`` nor ``[S, M]``."""
    scores = as_numbers(name, scores)
    if scores.ndim not in (1, 2) or not scores.size:
        raise ConfigError(
            f"{name} has shape {scores.shape}: give one number per seed, shape (S,), "
            "or per seed and task, shape (S, M)."
        )
    return scores


def check_one_task(name: str, scores: Numbers) -> None:
    """Refuse, with a ``ConfigError``, scores that aren't ``[S]``, or not known on the host."""
    if any(isinstance(part, jax.core.Tracer) for part in jax.tree.leaves(scores)):
        raise ConfigError(
            f"{name} (traced) must be known, since Python's floats are made of it: call it outside "
            "of jax.jit, or write bootstrap_interval or difference."
        )
    shape = as_scores(name, scores).shape
    if len(shape) > 1:
        raise ConfigError(
            f"{name} has shape {shape}: give one number per seed, shape (S,), such as the mean "
            "over tasks."
        )


def as_pair(x: Numbers, y: Numbers, *, paired: bool = False) -> tuple[Array, Array]:
    """Return the scores of two agents as floats; of pairs, those that both measured.

    Raises:
        ConfigError: they aren't of the same tasks or, if paired, of the same seeds; or nobody says
            whether they are pairs.
    """
    if not isinstance(paired, bool | np.bool_):
        raise ConfigError(
            f"paired ({shown(paired)}) must be True, where entry i of x and of y share a seed, or "
            "False: write one of them."
        )
    x, y = as_scores("x", x), as_scores("y", y)
    if x.shape[1:] != y.shape[1:]:
        raise ConfigError(f"x has shape {x.shape} and y {y.shape}: give both on the same tasks.")
    if not paired:
        return x, y
    if len(x) != len(y):
        raise ConfigError(
            f"x has shape {x.shape} and y {y.shape}: give the same seeds in the same order, "
            "or say paired=False."
        )
    return _where_measured(y, x), _where_measured(x, y)


@jax.jit
def _won(x: Array, y: Array) -> Array:
    wins = jax.vmap(jax.vmap(_win, (None, 0)), (0, None))(x, y)
    return jnp.nanmean(jnp.nanmean(wins, axis=(0, 1)))


def _win(x: Array, y: Array) -> Array:
    won = jnp.where(x > y, 1.0, jnp.where(x == y, 0.5, 0.0))
    return _where_measured(x, _where_measured(y, won))


@jax.jit
def _where_measured(scores: Array, values: Array) -> Array:
    return jnp.where(jnp.isnan(scores), jnp.nan, values)
